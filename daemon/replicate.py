"""Keeping content where it belongs: the three peers nearest to a blob fetch it when a node names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog
import trio

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.fetch import Fetcher, nearest
from clockmesh.daemon.reserve import Reserve
from clockmesh.protocol.events import ResultProposed, RunSubmitted
from clockmesh.protocol.ids import BlobHash, PeerId
from clockmesh.protocol.limits import MAX_BLOBS_ASKED
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Plan, Snapshot
from clockmesh.protocol.reports import JobReported
from clockmesh.protocol.schedules import ScheduleSet

COPIES = 3
"""k: a blob survives the loss of two peers (DESIGN 6)."""
_WAITING = 10_000
"""Blobs waiting to be fetched; above it they are left to who needs them."""
_COMPANY = 0.5
"""Seconds that a log waits for others of the same peer: one request and one visit to the disk serve them all."""
_NEEDED_COMPANY = 0.02
"""The same for what jobs need to run: without it a run ends with the peer that brought it."""
_PAUSES = (1.0, 5.0, 30.0, 120.0)
"""Seconds before each further try: its author may be offline."""
_ROOM_SECONDS = 1.0
"""Between two looks whether a full disk has room again."""

log = structlog.get_logger()


class _Due:
    """Blobs to fetch, each with the author of the node that named it."""

    def __init__(self, company: float) -> None:
        self._company = company
        self._blobs: dict[BlobHash, PeerId] = {}
        self._filled = trio.Event()

    def add(self, blob: BlobHash, author: PeerId) -> None:
        if len(self._blobs) < _WAITING:
            self._blobs[blob] = author
            self._filled.set()

    async def take(self) -> dict[BlobHash, PeerId]:
        """All of them, as soon as the first has had its time to find company."""
        await self._filled.wait()
        await trio.sleep(self._company)
        taken, self._blobs, self._filled = self._blobs, {}, trio.Event()
        return taken


class Keeper:
    """Fetches what this peer is to keep."""

    def __init__(self, me: PeerId, members: Callable[[], Iterable[PeerId]], blobs: BlobStore, fetcher: Fetcher,
                 reserve: Reserve) -> None:
        self._me = me
        self._members = members
        self._blobs = blobs
        self._fetcher = fetcher
        self._reserve = reserve
        self._needed = _Due(_NEEDED_COMPANY)
        self._logs = _Due(_COMPANY)

    def stored(self, node: Node) -> None:
        """Look at a node that entered the store."""
        if node.author == self._me:
            return
        for blob, needed in named_blobs(node):
            if self._me in nearest(blob, self._members(), COPIES) and not self._blobs.has(blob):
                (self._needed if needed else self._logs).add(blob, node.author)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for due in (self._needed, self._logs):
                nursery.start_soon(self._keep_fetching, due, nursery)

    async def _keep_fetching(self, due: _Due, nursery: trio.Nursery) -> None:
        while True:
            taken = await due.take()
            while self._reserve.low:  # noqa: ASYNC110  copies can wait for room; a disk tells nobody when it has some
                await trio.sleep(_ROOM_SECONDS)
            for blob, author in await self._fetch(taken):
                nursery.start_soon(self._retry, blob, author)

    async def _fetch(self, due: dict[BlobHash, PeerId]) -> list[tuple[BlobHash, PeerId]]:
        """Ask each author for its own, all at once; what it did not give is returned."""
        of_author: dict[PeerId, list[BlobHash]] = {}
        for blob, author in due.items():
            of_author.setdefault(author, []).append(blob)
        for author, blobs in of_author.items():
            for start in range(0, len(blobs), MAX_BLOBS_ASKED):
                with _noted_when_full(author):
                    await self._fetcher.fetch_together(blobs[start : start + MAX_BLOBS_ASKED], author)
        return [(blob, author) for blob, author in due.items() if not self._blobs.has(blob)]

    async def _retry(self, blob: BlobHash, author: PeerId) -> None:
        for pause in _PAUSES:
            await trio.sleep(pause)
            if await self._try(blob, author):
                return

    async def _try(self, blob: BlobHash, author: PeerId) -> bool:
        keepers = nearest(blob, self._members(), COPIES)
        peers = [peer for peer in (author, *keepers) if peer != self._me]
        with _noted_when_full(author):
            return self._blobs.has(blob) or (await self._fetcher.fetch(blob, peers)).got
        return False


@contextmanager
def _noted_when_full(author: PeerId) -> Iterator[None]:
    """A disk that cannot take a copy (it filled up on the way) ends nothing but the copying."""
    try:
        yield
    except OSError as error:
        log.warning("blob_missed", peer=author.hex(), error=str(error))


def named_blobs(node: Node) -> Iterator[tuple[BlobHash, bool]]:
    """The content that a node's events name, and whether jobs need it to run."""
    for event in node.events:
        match event:
            case RunSubmitted(plan=plan) | ScheduleSet(plan=plan):
                yield from ((blob, True) for blob in plan_blobs(plan))
            case JobReported(report=report) if report.summary is not None:
                yield report.summary, False
            case ResultProposed(result=result):
                if result.log is not None:
                    yield result.log, False
                if result.resolved is not None:
                    yield from ((blob, True) for blob in plan_blobs(result.resolved))


def plan_blobs(plan: Plan) -> Iterator[BlobHash]:
    """The content that a plan's jobs need: the workflow, and the snapshot where there is one."""
    if plan.workflow is not None:
        yield plan.workflow
    if isinstance(plan.source, Snapshot) and plan.source.blob is not None:
        yield plan.source.blob
