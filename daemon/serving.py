"""What this peer answers to members: nodes they lack, blobs, and logs of attempts that ran here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import trio

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.logfiles import follow_file
from clockmesh.daemon.loop import Loop
from clockmesh.protocol.blobs import Manifest
from clockmesh.protocol.ids import AttemptRef, BlobHash, JobKey, NodeHash, PeerId, RunId
from clockmesh.protocol.messages import (
    BlobChunk,
    BlobManifest,
    BlobMissing,
    BlobRequest,
    BlobsRequest,
    LogData,
    LogEnd,
    LogRequest,
    Message,
    NodesRequest,
    Refused,
    SyncDone,
    SyncNodes,
    SyncRequest,
    batches,
)
from clockmesh.protocol.vector import lacks


class Serving:
    """Answers requests of members."""

    def __init__(self, loop: Loop, blobs: BlobStore, *, log_path: Callable[[AttemptRef], Path],
                 running: Callable[[AttemptRef], trio.Event | None],
                 newest: Callable[[RunId, JobKey], int], lacking: Callable[[PeerId], None]) -> None:
        """`running`: see `Performer.running`. `newest`: the last attempt at a job that this peer ran, 0 for none.
        `lacking` is told of a peer that has nodes which we have not."""
        self._loop = loop
        self._blobs = blobs
        self._log_path = log_path
        self._running = running
        self._newest = newest
        self._lacking = lacking

    async def answer(self, peer: PeerId, message: Message) -> AsyncIterator[Message]:
        match message:
            case SyncRequest(vector):
                answers = self._nodes(peer, vector)
            case NodesRequest(hashes):
                answers = self._named(hashes)
            case BlobRequest() as request:
                answers = self._blob(request)
            case BlobsRequest(blobs):
                answers = self._blobs_in_order(blobs)
            case LogRequest() as request:
                answers = self._log(request)
            case _:
                yield Refused("this request is not known here")
                return
        async for each in answers:
            yield each

    async def _nodes(self, peer: PeerId, vector: Mapping[PeerId, int]) -> AsyncIterator[Message]:
        if lacks(self._loop.clock.vector(), vector):
            self._lacking(peer)
        for nodes in batches(node.data for node in self._loop.durable_nodes(vector)):
            yield SyncNodes(nodes)
            await trio.lowlevel.checkpoint()
        yield SyncDone(self._loop.clock.vector())

    async def _named(self, hashes: tuple[NodeHash, ...]) -> AsyncIterator[Message]:
        """Those of these nodes that are here, or the heads."""
        for nodes in batches(node.data for node in self._loop.durable(hashes or self._loop.clock.heads)):
            yield SyncNodes(nodes)
        yield SyncDone(self._loop.clock.vector())

    async def _blob(self, request: BlobRequest) -> AsyncIterator[Message]:
        index = request.first_chunk
        manifest, chunk = await trio.to_thread.run_sync(self._opening, request.blob, index)
        if manifest is None:
            yield BlobMissing(request.blob)
            return
        yield BlobManifest(manifest.size, manifest.chunks)
        while index < len(manifest.chunks):
            yield BlobChunk(index, chunk)
            index += 1
            if index < len(manifest.chunks):
                chunk = await trio.to_thread.run_sync(self._blobs.chunk, request.blob, index)

    def _opening(self, blob: BlobHash, index: int) -> tuple[Manifest | None, bytes]:
        """Most blobs have one chunk: one visit to the disk for all of it."""
        manifest = self._blobs.manifest(blob)
        return manifest, b"" if manifest is None else self._blobs.chunk(blob, index)

    async def _blobs_in_order(self, blobs: Iterable[BlobHash]) -> AsyncIterator[Message]:
        for blob in blobs:
            async for answer in self._blob(BlobRequest(blob, 0)):
                yield answer

    async def _log(self, request: LogRequest) -> AsyncIterator[Message]:
        attempt = request.attempt or self._newest(request.run, request.key)
        ref = AttemptRef(request.run, request.key, attempt)
        ended = self._running(ref)
        path = self._log_path(ref)
        if ended is None and not path.exists():
            yield LogEnd(0, False)
            return
        offset = request.offset
        yield LogData(offset, b"")  # the asker waits for a first answer only so long, and a job may be quiet for longer
        async for data in follow_file(path, offset, ended if request.follow else None):
            yield LogData(offset, data)
            offset += len(data)
        yield LogEnd(max(offset, 0), True)
