"""A run's logs, from whichever peer has them: the file here or the peer that runs the attempt while it goes on, the
blob once its result is known."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog
import trio

from clockmesh.coordinator import view
from clockmesh.coordinator.view import JobView
from clockmesh.daemon.errors import NotFound
from clockmesh.daemon.logfiles import follow_file
from clockmesh.daemon.member import Member
from clockmesh.daemon.network import NetworkError
from clockmesh.protocol.errors import ProtocolError
from clockmesh.protocol.ids import AttemptRef, BlobHash, JobKey, PeerId, RunId
from clockmesh.protocol.messages import LogData, LogEnd, LogRequest
from clockmesh.runner.spec import job_dir

log = structlog.get_logger()
_BUFFERED_LINES = 256
_RETRY_SECONDS = 1.0
"""Before a peer that did not give a running job's log is asked again."""


@dataclass(frozen=True, slots=True)
class LogLine:
    key: JobKey
    line: bytes
    """One JSON text, without its line feed."""
    missing: str = ""
    """Instead of a line: that no peer could be asked for a part of the log, and which."""


async def read(member: Member, run: RunId, key: JobKey | None, *, follow: bool) -> AsyncGenerator[LogLine, None]:
    """See `Service.read_log`. The reading is done by a task of the member's, so that who iterates may stop anywhere."""
    _check(member, run, key)
    send, receive = trio.open_memory_channel[LogLine](_BUFFERED_LINES)
    scope = trio.CancelScope()

    async def work() -> None:
        with scope, send:
            try:
                await _Reading(member, run, follow, send).read(key)
            except trio.BrokenResourceError:
                return
            except OSError as error:
                log.warning("request_failed", request="log", run=run.hex(), error=str(error))

    member.start_soon(work)
    try:
        with receive:
            async for line in receive:
                yield line
    finally:
        scope.cancel()


def _check(member: Member, run: RunId, key: JobKey | None) -> None:
    if run not in member.machine.runs:
        raise NotFound(f"there is no run {run.hex()[:12]} here; `clockmesh run list` shows all")
    jobs = view.run_view(member.machine, run).jobs
    if key is not None and key not in {job.key for job in jobs}:
        raise NotFound(f"run {run.hex()[:12]} has no job '{key}'; its jobs are " + ", ".join(job.key for job in jobs))


class _Reading:
    """One reader's way through the logs of one run."""

    def __init__(self, member: Member, run: RunId, follow: bool, out: trio.MemorySendChannel[LogLine]) -> None:
        self._member = member
        self._run = run
        self._follow = follow
        self._out = out

    async def read(self, key: JobKey | None) -> None:
        if key is not None:
            await self._job(key)
        elif self._follow:
            await self._follow_all()
        else:
            for job in view.run_view(self._member.machine, self._run).jobs:
                await self._job(job.key)

    async def _follow_all(self) -> None:
        """What has ended in the plan's order, then the others at once, those too that a resolved plan brings later."""
        begun: set[JobKey] = set()
        for job in view.run_view(self._member.machine, self._run).jobs:
            if job.conclusion is not None:
                begun.add(job.key)
                await self._job(job.key)
        async with trio.open_nursery() as nursery:
            while True:
                changed = self._member.changes.next(self._run)
                now = view.run_view(self._member.machine, self._run)
                for job in now.jobs:
                    if job.key not in begun:
                        begun.add(job.key)
                        nursery.start_soon(self._job, job.key)
                if now.conclusion is not None:
                    return
                await changed.wait()

    async def _job(self, key: JobKey) -> None:
        """One job, attempt by attempt, to its end (or as far as it is, without `follow`)."""
        attempt = 0
        lines = _Lines(key, self._out)
        while True:
            changed = self._member.changes.next(self._run)
            job = self._find(key)
            if job is None:
                return
            if job.attempt != attempt:
                attempt, lines = job.attempt, _Lines(key, self._out)
            if job.conclusion is not None:
                await self._rest(job, lines)
                return
            running = job.status == "in_progress" and job.peer is not None
            if running and job.peer is not None:
                await self._stream(AttemptRef(self._run, key, attempt), job.peer, lines)
            if not self._follow:
                return
            with trio.move_on_after(_RETRY_SECONDS if running else float("inf")):
                await changed.wait()

    def _find(self, key: JobKey) -> JobView | None:
        jobs = view.run_view(self._member.machine, self._run).jobs
        return next((job for job in jobs if job.key == key), None)

    async def _stream(self, ref: AttemptRef, peer: PeerId, lines: _Lines) -> None:
        """What the running attempt's log has beyond what was read."""
        member = self._member
        if peer == member.me:
            path = job_dir(member.home.path, ref) / "log"
            ended = member.performer.running(ref) if self._follow else None
            async for data in follow_file(path, lines.offset, ended):
                await lines.feed(data)
            return
        request = LogRequest(ref.run, ref.key, ref.attempt, lines.offset, self._follow)
        try:
            async with member.network.ask(peer, request) as answers:
                async for message in answers:
                    match message:
                        case LogData(offset, data) if offset == lines.offset:
                            await lines.feed(data)
                        case LogEnd():
                            return
        except (NetworkError, ProtocolError) as error:
            name = member.machine.name_of(peer)
            log.info("request_failed", request="log", run=ref.run.hex(), job=ref.key, peer=name, error=str(error))
            if not self._follow:
                part = "a part of " if lines.offset else ""
                await self._miss(ref.key, f"{name} runs it and does not answer: {part}its log is missing here")

    async def _miss(self, key: JobKey, why: str) -> None:
        await self._out.send(LogLine(key, b"", why))

    async def _rest(self, job: JobView, lines: _Lines) -> None:
        """The final log beyond what was read."""
        if job.log is not None:
            if await have_blob(self._member, job.log, job.log_peer):
                async for data in follow_file(self._member.blobs.path(job.log), lines.offset, None):
                    await lines.feed(data)
            else:
                await self._miss(job.key, "no peer that answers has its log" + (", or the rest of it" if lines.offset
                                                                               else ""))
        await lines.finish()


async def have_blob(member: Member, blob: BlobHash, first: PeerId | None) -> bool:
    """Whether it is here, or was to be had from `first`, who made it, or from another peer."""
    if member.blobs.has(blob):
        return True
    peers = ([first] if first is not None else []) + list(member.sources(blob))
    return (await member.fetcher.fetch(blob, [peer for peer in peers if peer != member.me])).got


class _Lines:
    """Bytes in, whole lines out."""

    def __init__(self, key: JobKey, out: trio.MemorySendChannel[LogLine]) -> None:
        self.offset = 0
        """Bytes taken in."""
        self._key = key
        self._out = out
        self._rest = b""

    async def feed(self, data: bytes) -> None:
        self.offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            await self._out.send(LogLine(self._key, line))

    async def finish(self) -> None:
        """The last line may lack its line feed."""
        if self._rest:
            await self._out.send(LogLine(self._key, self._rest))
            self._rest = b""
