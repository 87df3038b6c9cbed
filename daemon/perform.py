"""What the machine wants done to jobs, done: gather what an attempt needs, hand it to the runner host, bring back what
came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog
import trio

from clockmesh.coordinator import view
from clockmesh.coordinator.effects import Extend, Forget, Stop, StopReason
from clockmesh.coordinator.inputs import HostJob, Input, JobEnded
from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.schedule_view import line_of_run
from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.external import ExternalDesk
from clockmesh.daemon.fetch import Fetcher, Outcome
from clockmesh.daemon.home import Home
from clockmesh.daemon.hostlink import HostLink
from clockmesh.daemon.replicate import plan_blobs
from clockmesh.daemon.reporting import report_of
from clockmesh.daemon.reserve import Reserve
from clockmesh.daemon.vault import Sealed, Vault
from clockmesh.protocol.codec import decode_result, encode_result
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import RESOLVE, AttemptRef, BlobHash, PeerId
from clockmesh.protocol.limits import MAX_NODE_BYTES
from clockmesh.protocol.plan import Plan, Snapshot
from clockmesh.protocol.reports import NO_REPORT, Report
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner import host_messages
from clockmesh.runner.faults import Faults, Point
from clockmesh.runner.named_secrets import NO_SECRETS, NamedSecrets, named_secrets
from clockmesh.runner.spec import JobSpec, NeedResult, job_dir

log = structlog.get_logger()
_SEARCH_SECONDS = 30.0
"""How long content that some peer may still have is looked for; longer than a daemon takes to restart."""
_SEARCH_PAUSE = 1.0
_MAX_RESULT = MAX_NODE_BYTES - 4096
"""Bytes of a result that its node can carry."""


class _Hopeless(Exception):
    """The content is nowhere: the attempt fails with this message."""


@dataclass(slots=True)
class _Attempt:
    """One that this peer holds, from Start to its end."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Of its preparation."""
    handed: bool = False
    """The host has it."""
    cancelled: bool = False
    ended: trio.Event = field(default_factory=trio.Event)


class Performer:
    """One peer's attempts on their way through the runner host."""

    def __init__(self, home: Home, me: PeerId, machine: Machine, blobs: BlobStore, fetcher: Fetcher,
                 take: Callable[[Input], None], sources: Callable[[BlobHash], Iterable[PeerId]],
                 reserve: Reserve, now: Callable[[], float], faults: Faults, vault: Vault) -> None:
        """`take` feeds the loop. `sources` names the peers that may have a blob, the likeliest first."""
        self._home = home
        self._me = me
        self._machine = machine
        self._blobs = blobs
        self._fetcher = fetcher
        self._take = take
        self._sources = sources
        self._reserve = reserve
        self._now = now
        self._faults = faults
        self._vault = vault
        self._attempts: dict[AttemptRef, _Attempt] = {}
        self.desk = ExternalDesk(machine, me, self._end, now)
        """The attempts that other programs execute; none of them reaches the host."""
        self._host: HostLink | None = None
        self._nursery: trio.Nursery | None = None

    def attach(self, host: HostLink, nursery: trio.Nursery,
               jobs: Iterable[host_messages.KnownJob]) -> tuple[HostJob, ...]:
        """Begin with what the host has; what the machine is told of it."""
        self._host = host
        self._nursery = nursery
        known = tuple(jobs)
        for job in known:
            self._attempts[job.ref] = _Attempt(handed=True)
        return tuple(HostJob(job.ref, job.deadline) for job in known)

    def running(self, ref: AttemptRef) -> trio.Event | None:
        """Set when this attempt ends; None when it does not run here."""
        attempt = self._attempts.get(ref)
        return attempt.ended if attempt else None

    # ---- effects ----

    def at_once(self, effect: Extend | Stop) -> None:
        """What needs no commit."""
        match effect:
            case Extend(ref, deadline):
                if (attempt := self._attempts.get(ref)) and attempt.handed:
                    self._send(host_messages.Extend(ref, deadline))
            case Stop(ref, reason):
                self._stop(ref, reason)

    def start(self, ref: AttemptRef) -> None:
        """The attempt's claim is granted, and durable."""
        if self._nursery is not None:
            attempt = self._attempts.setdefault(ref, _Attempt())
            if self.desk.is_for(ref):
                self.desk.begin(ref)
            elif not attempt.handed:
                self._nursery.start_soon(self._bring_up, ref, attempt)

    def forget(self, effect: Forget) -> None:
        self._attempts.pop(effect.ref, None)
        self._send(host_messages.Forget(effect.ref))

    def _stop(self, ref: AttemptRef, reason: StopReason) -> None:
        attempt = self._attempts.setdefault(ref, _Attempt())
        attempt.cancelled = True
        if self.desk.holds(ref):
            self.desk.stop(ref, reason)
        elif attempt.handed:
            polite = reason is StopReason.CANCEL
            self._send(host_messages.Stop(ref) if polite else host_messages.Kill(ref))
        elif reason is StopReason.OUTRANKED:
            attempt.scope.cancel()

    # ---- starting ----

    async def _bring_up(self, ref: AttemptRef, attempt: _Attempt) -> None:
        with attempt.scope:
            if not self._fits(ref):
                self._end(ref, Result(Conclusion.CANCELLED))
                return
            try:
                plan = view.plan_of(self._machine, ref.run)
                for blob in () if ref.key == RESOLVE else plan_blobs(plan):
                    await self._gather(ref, blob)
                given = await self._vault.given(plan, await self._named(plan), lambda: self._passed(ref))
            except (_Hopeless, Sealed) as error:
                self._end(ref, Result(Conclusion.FAILURE, error=str(error)))
                return
            except OSError as error:  # another peer may have the room that this one has not
                log.warning("attempt_dropped", run=ref.run.hex(), job=ref.key, attempt=ref.attempt, error=str(error))
                self._end(ref, None)
                return
            deadline = self._machine.deadline(ref, self._now())
            if deadline is not None and deadline > self._now():
                attempt.handed = True
                spec = replace(self._spec(ref, plan, attempt.cancelled), given=given)
                self._send(host_messages.Start(spec, deadline))
                return
        log.info("attempt_dropped", run=ref.run.hex(), job=ref.key, attempt=ref.attempt)
        self._end(ref, None)

    async def _named(self, plan: Plan) -> NamedSecrets:
        """What its workflow asks for."""
        if plan.workflow is None or not self._vault.holds_any:
            return NO_SECRETS
        data = await trio.to_thread.run_sync(self._blobs.get, plan.workflow)
        return named_secrets(data or b"", plan.path)

    def _fits(self, ref: AttemptRef) -> bool:
        """This peer offers what the job needs. It may hold one that it cannot run only to say that it is cancelled."""
        labels = self._machine.runs[ref.run].planned[ref.key].labels
        return self._machine.members[self._me].offers(labels)

    async def _gather(self, ref: AttemptRef, blob: BlobHash) -> None:
        """Have `blob` here; _Hopeless when no peer does. Gives up quietly when the attempt's time has passed."""
        began = self._now()
        while not self._blobs.has(blob):
            outcome = await self._fetcher.fetch(blob, [peer for peer in self._sources(blob) if peer != self._me])
            if outcome.got or self._passed(ref):
                return
            if not outcome.silent or self._now() > began + _SEARCH_SECONDS:
                raise _Hopeless(self._why_missing(blob, outcome))
            await trio.sleep(_SEARCH_PAUSE)

    def _passed(self, ref: AttemptRef) -> bool:
        deadline = self._machine.deadline(ref, self._now())
        return deadline is None or deadline <= self._now()

    def _why_missing(self, blob: BlobHash, outcome: Outcome) -> str:
        names = ", ".join(self._machine.name_of(peer) for peer in outcome.silent)
        asked = f"{len(outcome.missing)} peers answered that they do not have it"
        return (f"the run's content {blob.hex()[:12]} is on no peer that could be asked: {asked}"
                + (f", {names} did not answer" if names else "") + "; submit the run again")

    def _spec(self, ref: AttemptRef, plan: Plan, cancelled: bool) -> JobSpec:
        run = view.run_view(self._machine, ref.run)
        needs = {job: NeedResult(str(need.result), dict(need.outputs))
                 for job, need in view.needs_of(self._machine, ref.job).items()}
        line = line_of_run(self._machine, ref.run)
        resolving = ref.key == RESOLVE
        snapshot = plan.source.blob if isinstance(plan.source, Snapshot) else None
        return JobSpec(
            run=ref.run.hex(), key=ref.key, attempt=ref.attempt, plan=plan,
            workflow="" if resolving or plan.workflow is None else str(self._blobs.path(plan.workflow)),
            snapshot="" if resolving or snapshot is None else str(self._blobs.path(snapshot)),
            needs=needs, cancelled=cancelled or view.cancel_wanted(self._machine, ref.job),
            actor=self._machine.name_of(run.submitted_by), peer=self._machine.name_of(self._me),
            submitted_ms=run.submitted_ms, schedule=line.cron if line else "")

    # ---- ending ----

    def reported(self, report: host_messages.Report) -> None:
        """The host's word."""
        match report:
            case host_messages.Started(ref, pid):
                self._faults.passing(Point.AFTER_SPAWN)
                log.info("attempt_started", run=ref.run.hex(), job=ref.key, attempt=ref.attempt, pid=pid)
            case host_messages.Ended(ref):
                if self._nursery is not None:
                    self._nursery.start_soon(self._bring_back, report)

    async def _bring_back(self, report: host_messages.Ended) -> None:
        ref = report.ref
        result, told = None, NO_REPORT
        if report.result is not None:
            told = await trio.to_thread.run_sync(report_of, job_dir(self._home.path, ref), self._blobs)
            try:
                result = await self._with_content(decode_result(report.result), report)
            except (RemoteError, OSError) as error:
                result = Result(Conclusion.FAILURE, error=f"the runner host's result cannot be used: {error}")
        log.info("attempt_ended", run=ref.run.hex(), job=ref.key, attempt=ref.attempt,
                 conclusion=result.conclusion.value if result else None, why=report.why or None)
        self._faults.passing(Point.BEFORE_PROPOSE)
        self._end(ref, result, told)

    async def _with_content(self, result: Result, report: host_messages.Ended) -> Result:
        """The result with its log, and a resolved workflow, kept as blobs."""
        path = job_dir(self._home.path, report.ref) / "log"
        if path.exists():
            result = await self._with_log(result, path)
        if result.resolved is not None and report.workflow:
            await self._kept(partial(self._blobs.put_file, self._home.path / report.workflow))
        if (size := len(encode_result(result))) > _MAX_RESULT:
            error = f"the result is too large to be shared: {size} bytes"
            return replace(result, conclusion=Conclusion.FAILURE, outputs=(), error=error, resolved=None)
        return result

    async def _with_log(self, result: Result, path: Path) -> Result:
        try:
            blob = await self._kept(partial(self._blobs.adopt, path))
        except OSError as error:  # how the job ended weighs more than what it said
            log.warning("report_cut", part="log", folder=path.parent.name, error=str(error))
            return result
        return replace(result, log=blob, log_size=self._blobs.path(blob).stat().st_size)

    async def _kept(self, put: Callable[[], BlobHash]) -> BlobHash:
        """A result's content is promised already: on a full disk it draws on the reserve."""
        return await trio.to_thread.run_sync(self._reserve.within, put)

    def _end(self, ref: AttemptRef, result: Result | None, report: Report = NO_REPORT) -> None:
        if attempt := self._attempts.pop(ref, None):
            attempt.ended.set()
        self._take(JobEnded(ref, result, report))

    def _send(self, command: host_messages.Command) -> None:
        if self._host is not None:
            self._host.send(command)
