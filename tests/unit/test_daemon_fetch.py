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
from clockmesh.protocol.ids import BlobHash, PeerId
from clockmesh.protocol.limits import CHUNK_BYTES
from clockmesh.protocol.messages import BlobChunk, BlobManifest, BlobMissing, BlobRequest, BlobsRequest, Message

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


class Shelf:
    """Stands for the network: peer A answers one request for several blobs with those of `has`, then breaks off after
    `messages` answers."""

    def __init__(self, has: list[bytes], messages: int = 1000) -> None:
        self.has = {manifest_of(data).blob: data for data in has}
        self.messages = messages
        self.asked: list[tuple[BlobHash, ...]] = []

    @asynccontextmanager
    async def ask(self, peer: PeerId, message: Message) -> AsyncIterator[AsyncIterator[Message]]:
        assert isinstance(message, BlobsRequest)
        self.asked.append(message.blobs)
        yield self._answers(message.blobs)

    async def _answers(self, blobs: tuple[BlobHash, ...]) -> AsyncIterator[Message]:
        left = self.messages
        for blob in blobs:
            for each in self._of(blob):
                if not left:
                    raise Unreachable(A, "lost")
                left -= 1
                yield each

    def _of(self, blob: BlobHash) -> list[Message]:
        if blob not in self.has:
            return [BlobMissing(blob)]
        data, manifest = self.has[blob], manifest_of(self.has[blob])
        chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        whole = BlobManifest(manifest.size, manifest.chunks)
        return [whole, *(BlobChunk(index, chunk) for index, chunk in enumerate(chunks))]


async def test_blobs_fetched_together_come_with_one_request_whatever_their_size(tmp_path: Path) -> None:
    contents = [b"one", DATA, b"", b"four"]
    names = [manifest_of(data).blob for data in contents]
    shelf = Shelf([data for data in contents if data != b"one"])
    fetch, blobs = fetcher(tmp_path, shelf)  # type: ignore[arg-type]
    await fetch.fetch_together([*names, names[1]], A)
    assert shelf.asked == [tuple(names)]
    assert [blobs.get(name) for name in names] == [None, *contents[1:]]
    assert all(blobs.keeps(name) for name in names[1:])


async def test_what_came_before_a_peer_broke_off_is_kept(tmp_path: Path) -> None:
    contents = [b"one", b"two", b"three"]
    names = [manifest_of(data).blob for data in contents]
    fetch, blobs = fetcher(tmp_path, Shelf(contents, messages=3))  # type: ignore[arg-type]
    await fetch.fetch_together(names, A)
    assert [blobs.get(name) for name in names] == [b"one", None, None]
    assert len(list((tmp_path / "blobs").iterdir())) == 1
