"""Fetching: from several peers, resumed, each chunk checked, once however many ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.fetch import Fetcher, Outcome
from clockmesh.daemon.network import Unreachable
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.limits import CHUNK_BYTES
from clockmesh.protocol.messages import BlobChunk, BlobManifest, BlobMissing, BlobRequest, Message

A, B, C = (PeerId(bytes([i]) * 32) for i in range(1, 4))
DATA = bytes(range(256)) * 1500 + b"tail"
MANIFEST = manifest_of(DATA)
CHUNKS = [DATA[start : start + CHUNK_BYTES] for start in range(0, len(DATA), CHUNK_BYTES)]


class Peers:
    """Stands for the network. Each peer gives its chunks, then breaks off; one that is not there is unreachable."""

    def __init__(self, **gives: list[bytes] | None) -> None:
        self.gives = {{"a": A, "b": B, "c": C}[name]: chunks for name, chunks in gives.items()}
        self.asked: list[tuple[PeerId, int]] = []

    @asynccontextmanager
    async def ask(self, peer: PeerId, message: Message) -> AsyncIterator[AsyncIterator[Message]]:
        assert isinstance(message, BlobRequest)
        await trio.lowlevel.checkpoint()
        self.asked.append((peer, message.first_chunk))
        if peer not in self.gives:
            raise Unreachable(peer, "it is not connected")
        yield self._answers(peer, message.first_chunk)

    async def _answers(self, peer: PeerId, first: int) -> AsyncIterator[Message]:
        chunks = self.gives[peer]
        if chunks is None:
            yield BlobMissing(MANIFEST.blob)
            return
        yield BlobManifest(MANIFEST.size, MANIFEST.chunks)
        for index, chunk in enumerate(chunks):
            if index >= first:
                yield BlobChunk(index, chunk)
        if len(chunks) < len(CHUNKS):
            raise Unreachable(peer, "lost")


def fetcher(tmp_path: Path, peers: Peers) -> tuple[Fetcher, BlobStore]:
    blobs = BlobStore(tmp_path / "blobs")
    return Fetcher(peers, blobs), blobs  # type: ignore[arg-type]


async def test_a_blob_broken_off_at_one_peer_is_finished_at_the_next(tmp_path: Path) -> None:
    peers = Peers(a=CHUNKS[:2], b=CHUNKS)
    fetch, blobs = fetcher(tmp_path, peers)
    assert (await fetch.fetch(MANIFEST.blob, [A, B])).got
    assert peers.asked == [(A, 0), (B, 2)]
    assert blobs.get(MANIFEST.blob) == DATA


async def test_a_changed_chunk_sends_the_fetch_to_the_next_peer(tmp_path: Path) -> None:
    peers = Peers(a=[CHUNKS[0], b"x" * CHUNK_BYTES, *CHUNKS[2:]], b=CHUNKS)
    fetch, blobs = fetcher(tmp_path, peers)
    assert (await fetch.fetch(MANIFEST.blob, [A, B])).got
    assert peers.asked == [(A, 0), (B, 1)]
    assert blobs.get(MANIFEST.blob) == DATA


async def test_what_no_peer_has_is_told_apart_from_who_is_silent(tmp_path: Path) -> None:
    fetch, blobs = fetcher(tmp_path, Peers(a=None, b=CHUNKS[:1]))
    assert await fetch.fetch(MANIFEST.blob, [A, B, C]) == Outcome(False, (A,), (B, C))
    assert list((tmp_path / "blobs").iterdir()) == []
    assert not blobs.has(MANIFEST.blob)


async def test_two_who_want_one_blob_ask_once(tmp_path: Path) -> None:
    peers = Peers(a=CHUNKS)
    fetch, blobs = fetcher(tmp_path, peers)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(fetch.fetch, MANIFEST.blob, [A])
    assert peers.asked == [(A, 0)]
    assert blobs.get(MANIFEST.blob) == DATA
