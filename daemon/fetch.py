"""Content from other peers: each chunk checked as it comes, resumed at the next peer where one breaks off.

`Fetcher.fetch` is for who needs a blob now. `Keeper` (see `replicate`) copies what the three peers nearest to a blob's
hash are to keep, so that a run's content outlives the peer that brought it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
import trio

from clockmesh.daemon.blobs import BlobStore, Draft
from clockmesh.daemon.network import Network, NetworkError
from clockmesh.protocol.blobs import Manifest, check_chunk, check_manifest
from clockmesh.protocol.errors import ProtocolError, RemoteError
from clockmesh.protocol.ids import BlobHash, PeerId
from clockmesh.protocol.limits import MAX_BLOBS_ASKED
from clockmesh.protocol.messages import BlobChunk, BlobManifest, BlobMissing, BlobRequest, BlobsRequest, Message

log = structlog.get_logger()
_SILENCE_SECONDS = 10.0
"""A peer that sends nothing for so long is given up, and the next one asked for the rest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a fetch went; `missing` answered that they do not have it, `silent` did not answer in full."""

    got: bool
    missing: tuple[PeerId, ...] = ()
    silent: tuple[PeerId, ...] = ()


class Fetcher:
    """Gets blobs, each once at a time however many ask."""

    def __init__(self, network: Network, blobs: BlobStore) -> None:
        self._network = network
        self._blobs = blobs
        self._going: dict[BlobHash, trio.Event] = {}

    async def fetch(self, blob: BlobHash, peers: Iterable[PeerId]) -> Outcome:
        """Have `blob` here, asking `peers` in their order."""
        candidates = list(dict.fromkeys(peers))
        while (going := self._going.get(blob)) is not None:
            await going.wait()
        if self._blobs.has(blob):
            return Outcome(True)
        self._going[blob] = trio.Event()
        try:
            return await self._fetch(blob, candidates)
        finally:
            self._going.pop(blob).set()

    async def fetch_together(self, blobs: Iterable[BlobHash], peer: PeerId) -> None:
        """Have as many of `blobs` here as `peer` gives, asked once and made durable together. Nothing is raised for the
        others; `fetch` says what became of them."""
        blobs = [blob for blob in dict.fromkeys(blobs) if blob not in self._going and not self._blobs.has(blob)]
        parts = [Part(blob, self._blobs.draft()) for blob in blobs[:MAX_BLOBS_ASKED]]
        for part in parts:
            self._going[part.blob] = trio.Event()
        try:
            try:
                await self._ask_together(peer, parts)
            except (NetworkError, ProtocolError, trio.TooSlowError) as error:
                log.info("blob_missed", blob=blobs[0].hex(), peer=peer.hex(), error=str(error))
            came = {part.blob: part.draft for part in parts if part.complete}
            await trio.to_thread.run_sync(self._blobs.keep_all, came)
            for part in parts:
                if part.complete:
                    log.info("blob_fetched", blob=part.blob.hex(), peer=peer.hex(), size=part.size)
        finally:
            for part in parts:
                part.draft.discard()
                self._going.pop(part.blob).set()

    async def _ask_together(self, peer: PeerId, parts: Iterable[Part]) -> None:
        left = deque(parts)
        if not left:
            return
        request = BlobsRequest(tuple(part.blob for part in left))
        with trio.fail_after(_SILENCE_SECONDS) as patience:
            async with self._network.ask(peer, request) as answers:
                async for message in answers:
                    patience.deadline = trio.current_time() + _SILENCE_SECONDS
                    if left[0].take(message) or isinstance(message, BlobMissing):
                        left.popleft()
                    if not left:
                        return

    async def _fetch(self, blob: BlobHash, peers: list[PeerId]) -> Outcome:
        missing: list[PeerId] = []
        silent: list[PeerId] = []
        draft = self._blobs.draft()
        part = Part(blob, draft)
        try:
            for peer in peers:
                try:
                    has_it = await self._ask(peer, part)
                except (NetworkError, ProtocolError, trio.TooSlowError) as error:
                    log.info("blob_missed", blob=blob.hex(), peer=peer.hex(), error=str(error))
                    silent.append(peer)
                    continue
                if part.complete:
                    await trio.to_thread.run_sync(draft.keep_as, blob)
                    log.info("blob_fetched", blob=blob.hex(), peer=peer.hex(), size=part.size)
                    return Outcome(True)
                (silent if has_it else missing).append(peer)
        finally:
            draft.discard()
        return Outcome(False, tuple(missing), tuple(silent))

    async def _ask(self, peer: PeerId, part: Part) -> bool:
        """Take what `peer` gives; False when it says that it has nothing."""
        with trio.fail_after(_SILENCE_SECONDS) as patience:
            async with self._network.ask(peer, BlobRequest(part.blob, part.next_chunk)) as answers:
                async for message in answers:
                    patience.deadline = trio.current_time() + _SILENCE_SECONDS
                    if isinstance(message, BlobMissing):
                        return False
                    if part.take(message):
                        return True
        return True


class Part:
    """As much of one blob as has come."""

    def __init__(self, blob: BlobHash, draft: Draft) -> None:
        self.blob = blob
        self.next_chunk = 0
        self.draft = draft
        self._manifest: Manifest | None = None

    @property
    def size(self) -> int:
        return self._manifest.size if self._manifest else 0

    @property
    def complete(self) -> bool:
        return self._manifest is not None and self.next_chunk == len(self._manifest.chunks)

    def take(self, message: Message) -> bool:
        """A peer's next answer; True when that was the last. RemoteError when it is not what its name says."""
        match message:
            case BlobManifest(size, chunks):
                self.begin(size, chunks)
            case BlobChunk(index, data):
                self.add(index, data)
        return self.complete

    def begin(self, size: int, chunks: tuple[bytes, ...]) -> None:
        """RemoteError unless this is the manifest that the blob's name commits to."""
        manifest = Manifest(size, chunks)
        check_manifest(self.blob, manifest)
        self._manifest = manifest

    def add(self, index: int, data: bytes) -> None:
        """RemoteError unless this is the next chunk, unchanged."""
        if self._manifest is None or index != self.next_chunk:
            raise RemoteError("a chunk came out of turn")
        check_chunk(self._manifest, index, data)
        self.draft.write(data)
        self.next_chunk += 1


def nearest(blob: BlobHash, peers: Iterable[PeerId], count: int) -> list[PeerId]:
    """The peers that are to keep `blob`: the `count` nearest to it by Hamming distance of SHA-256 of their keys."""
    name = int.from_bytes(blob, "big")

    def distance(peer: PeerId) -> tuple[int, PeerId]:
        return (name ^ int.from_bytes(hashlib.sha256(peer).digest(), "big")).bit_count(), peer

    return sorted(peers, key=distance)[:count]
