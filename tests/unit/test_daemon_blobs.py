"""Content under its own name: whole or not there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.errors import TooLarge
from clockmesh.daemon.fetch import Part, nearest
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import BlobHash, PeerId
from clockmesh.protocol.limits import CHUNK_BYTES

LARGE = bytes(range(256)) * 1024 + b"tail"


def test_content_comes_back_under_the_name_that_the_protocol_gives_it(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    for data in (b"", b"x", LARGE):
        blob = blobs.put(data)
        assert blob == manifest_of(data).blob
        assert blobs.get(blob) == data
        assert blobs.manifest(blob) == manifest_of(data)


async def test_pieces_of_any_size_make_the_same_blob(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 1000):
            yield LARGE[start : start + 1000]

    blobs = BlobStore(tmp_path / "blobs")
    assert await blobs.put_stream(pieces()) == blobs.put(LARGE)
    assert len(list((tmp_path / "blobs").iterdir())) == 1


def test_a_draft_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with pytest.raises(TooLarge):
        blobs.put_pieces([b"x" * 10, b"y" * 10], limit=15)
    assert list((tmp_path / "blobs").iterdir()) == []


def test_content_that_the_disk_changed_is_not_served(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    blob = blobs.put(b"content")
    blobs.path(blob).write_bytes(b"c0ntent")
    assert blobs.manifest(blob) is None
    assert not blobs.has(blob)


def fetched(tmp_path: Path, data: bytes) -> tuple[BlobStore, Part]:
    blobs = BlobStore(tmp_path / "blobs")
    return blobs, Part(manifest_of(data).blob, blobs.draft())


def test_a_fetch_goes_on_where_another_peer_broke_off(tmp_path: Path) -> None:
    blobs, part = fetched(tmp_path, LARGE)
    manifest = manifest_of(LARGE)
    part.begin(manifest.size, manifest.chunks)
    part.add(0, LARGE[:CHUNK_BYTES])
    part.begin(manifest.size, manifest.chunks)
    while not part.complete:
        part.add(part.next_chunk, LARGE[part.next_chunk * CHUNK_BYTES :][:CHUNK_BYTES])
    part.draft.keep_as(part.blob)
    assert blobs.get(part.blob) == LARGE


def test_a_changed_chunk_or_manifest_is_refused_as_it_comes(tmp_path: Path) -> None:
    _, part = fetched(tmp_path, LARGE)
    manifest = manifest_of(LARGE)
    with pytest.raises(RemoteError):
        part.begin(manifest.size - 1, manifest.chunks)
    with pytest.raises(RemoteError):
        part.add(0, LARGE[:CHUNK_BYTES])
    part.begin(manifest.size, manifest.chunks)
    with pytest.raises(RemoteError):
        part.add(0, b"x" * CHUNK_BYTES)
    with pytest.raises(RemoteError):
        part.add(1, LARGE[CHUNK_BYTES:][:CHUNK_BYTES])
    assert part.next_chunk == 0


def test_all_peers_agree_who_keeps_a_blob() -> None:
    peers = [PeerId(bytes([i]) * 32) for i in range(10)]
    blob = BlobHash(b"b" * 32)
    assert nearest(blob, peers, 3) == nearest(blob, reversed(peers), 3)
    assert len(set(nearest(blob, peers, 3))) == 3


def test_a_file_is_adopted_as_it_lies_there_and_copied_where_another_name_leads_to_it(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    log = tmp_path / "log"
    log.write_bytes(LARGE)
    blob = blobs.adopt(log)
    assert blobs.get(blob) == LARGE
    assert os.path.samefile(log, blobs.path(blob))
    other = tmp_path / "other"
    other.write_bytes(b"written by two")
    os.link(other, tmp_path / "second")
    copied = blobs.adopt(other)
    other.write_bytes(b"changed later")
    assert blobs.get(copied) == b"written by two"
    (tmp_path / "link").symlink_to("other")
    with pytest.raises(OSError, match="symbolic links"):
        blobs.adopt(tmp_path / "link")
