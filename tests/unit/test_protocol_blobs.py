from __future__ import annotations

from hashlib import sha256

import pytest

from clockmesh.protocol.blobs import Manifest, ManifestMaker, blob_hash, check_chunk, check_manifest, manifest_of
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.limits import CHUNK_BYTES, MAX_BLOB_BYTES

CONTENT = bytes(range(256)) * 1100  # 2 chunks and a bit


def test_a_manifest_names_each_chunk_and_the_last_may_be_shorter():
    manifest = manifest_of(CONTENT)
    assert manifest.size == len(CONTENT)
    assert len(manifest.chunks) == 3
    assert manifest.chunks[2] == sha256(CONTENT[2 * CHUNK_BYTES :]).digest()
    assert [manifest.chunk_size(index) for index in range(3)] == [CHUNK_BYTES, CHUNK_BYTES, len(CONTENT) % CHUNK_BYTES]


def test_content_in_pieces_of_any_length_has_the_same_manifest():
    for size in (1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(CONTENT)):
        maker = ManifestMaker()
        for start in range(0, len(CONTENT), size):
            maker.feed(CONTENT[start : start + size])
        assert maker.finish() == manifest_of(CONTENT)


def test_an_empty_blob_has_no_chunks():
    empty = manifest_of(b"")
    assert empty == Manifest(0, ())
    check_manifest(blob_hash(0, ()), empty)
    with pytest.raises(RemoteError):
        check_chunk(empty, 0, b"")


def test_every_chunk_is_checked_against_the_name():
    manifest = manifest_of(CONTENT)
    check_manifest(manifest.blob, manifest)
    chunks = [CONTENT[start : start + CHUNK_BYTES] for start in range(0, len(CONTENT), CHUNK_BYTES)]
    for index, chunk in enumerate(chunks):
        check_chunk(manifest, index, chunk)
    for index, chunk in ((0, chunks[2]), (2, chunks[2] + b"\0"), (2, chunks[2][:-1]), (3, b""), (-1, chunks[2])):
        with pytest.raises(RemoteError):
            check_chunk(manifest, index, chunk)


def test_a_manifest_that_the_name_does_not_commit_to_is_refused():
    manifest = manifest_of(CONTENT)
    for other in (
        Manifest(manifest.size - 1, manifest.chunks),
        Manifest(manifest.size, manifest.chunks[:-1]),
        Manifest(manifest.size, manifest.chunks[::-1]),
    ):
        with pytest.raises(RemoteError):
            check_manifest(manifest.blob, other)
    odd = Manifest(5, (bytes(32), bytes(32)))
    with pytest.raises(RemoteError, match="size"):
        check_manifest(odd.blob, odd)


def test_content_above_the_limit_is_refused_as_it_comes():
    maker = ManifestMaker()
    maker._size = MAX_BLOB_BYTES  # as if that much had come
    with pytest.raises(LocalError):
        maker.feed(b"x")
