"""Keeping content where it belongs: the three peers nearest to a blob fetch it when a node names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import structlog
import trio

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.fetch import Fetcher, nearest
from clockmesh.daemon.reserve import Reserve
from clockmesh.protocol.events import ResultProposed, RunSubmitted
from clockmesh.protocol.ids import BlobHash, PeerId
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Plan, Snapshot
from clockmesh.protocol.schedules import ScheduleSet

COPIES = 3
"""k: a blob survives the loss of two peers (DESIGN 6)."""
_WAITING = 10_000
"""Blobs waiting to be fetched; above it they are left to who needs them."""
_PAUSES = (1.0, 5.0, 30.0, 120.0)
"""Seconds before each further try: its author may be offline."""

_ROOM_SECONDS = 1.0
"""Between two looks whether a full disk has room again."""

log = structlog.get_logger()


class Keeper:
    """Fetches, one after another, what this peer is to keep."""

    def __init__(self, me: PeerId, members: Callable[[], Iterable[PeerId]], blobs: BlobStore, fetcher: Fetcher,
                 reserve: Reserve) -> None:
        self._me = me
        self._members = members
        self._blobs = blobs
        self._fetcher = fetcher
        self._reserve = reserve
        self._send, self._receive = trio.open_memory_channel[tuple[BlobHash, PeerId]](_WAITING)

    def stored(self, node: Node) -> None:
        """Look at a node that entered the store."""
        if node.author == self._me:
            return
        for blob in named_blobs(node):
            if self._me in nearest(blob, self._members(), COPIES) and not self._blobs.has(blob):
                try:
                    self._send.send_nowait((blob, node.author))
                except trio.WouldBlock:
                    return

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            async for blob, author in self._receive:
                while self._reserve.low:  # others' copies can wait; what this peer promised cannot
                    await trio.sleep(_ROOM_SECONDS)
                if not await self._try(blob, author):
                    nursery.start_soon(self._retry, blob, author)

    async def _retry(self, blob: BlobHash, author: PeerId) -> None:
        for pause in _PAUSES:
            await trio.sleep(pause)
            if await self._try(blob, author):
                return

    async def _try(self, blob: BlobHash, author: PeerId) -> bool:
        keepers = nearest(blob, self._members(), COPIES)
        peers = [peer for peer in (author, *keepers) if peer != self._me]
        try:
            return self._blobs.has(blob) or (await self._fetcher.fetch(blob, peers)).got
        except OSError as error:
            log.warning("blob_missed", blob=blob.hex(), error=str(error))
            return False


def named_blobs(node: Node) -> Iterator[BlobHash]:
    """The content that a node's events name."""
    for event in node.events:
        match event:
            case RunSubmitted(plan=plan) | ScheduleSet(plan=plan):
                yield from plan_blobs(plan)
            case ResultProposed(result=result):
                if result.log is not None:
                    yield result.log
                if result.resolved is not None:
                    yield from plan_blobs(result.resolved)


def plan_blobs(plan: Plan) -> Iterator[BlobHash]:
    """The content that a plan's jobs need: the workflow, and the snapshot where there is one."""
    if plan.workflow is not None:
        yield plan.workflow
    if isinstance(plan.source, Snapshot) and plan.source.blob is not None:
        yield plan.source.blob
