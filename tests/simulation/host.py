"""The runner host of one simulated peer: a process apart from its daemon, that holds D and kills when it passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clockmesh.coordinator.effects import StopReason
from clockmesh.coordinator.inputs import HostJob
from clockmesh.protocol.ids import AttemptRef
from clockmesh.protocol.result import Conclusion, Result
from tests.simulation.world import Lane

if TYPE_CHECKING:
    from tests.simulation.daemon import Daemon
    from tests.simulation.peer import Peer


TICK = 1e-6
"""Seconds: nearer than this is now."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a job will do once it runs."""

    seconds: float
    result: Result


@dataclass(slots=True)
class Job:
    ref: AttemptRef
    deadline: float
    """D, in the peer's own seconds."""
    work: Work
    ends: float
    """When it would be done, in the world's seconds."""
    running: bool = True
    result: Result | None = None


@dataclass(slots=True)
class Host:
    peer: Peer
    lane: Lane
    jobs: dict[AttemptRef, Job] = field(default_factory=dict)
    connection: int = 0
    """Counts hellos: a command of an earlier connection is dropped (rule 8)."""
    client: Daemon | None = None

    def hello(self, client: Daemon) -> None:
        """A daemon connects: whatever earlier daemons sent and is still under way counts no more."""
        self.connection += 1
        self.client = client
        known = tuple(HostJob(job.ref, job.deadline) for job in self.jobs.values())
        ended = tuple((job.ref, job.result) for job in self.jobs.values() if not job.running)
        client.lane.after(0.01, client.host_answered, self.connection, known, ended)

    def drops(self, connection: int) -> bool:
        """The command of this connection must not be obeyed."""
        return connection != self.connection

    def command(self, connection: int, verb: str, *args: object) -> None:
        if not self.drops(connection):
            getattr(self, verb)(*args)

    def start(self, ref: AttemptRef, deadline: float, work: Work) -> None:
        if ref in self.jobs:
            return
        if deadline <= self.peer.local_now():
            self._tell(ref, None)
            return
        job = Job(ref, deadline, work, self.peer.world.now + work.seconds)
        self.jobs[ref] = job
        self.peer.oracle.started(self.peer, ref, deadline)
        self._set_timers(job)

    def extend(self, ref: AttemptRef, deadline: float) -> None:
        job = self.jobs.get(ref)
        if job is not None:
            job.deadline = max(job.deadline, deadline)

    def stop(self, ref: AttemptRef, reason: StopReason) -> None:
        job = self.jobs.get(ref)
        if job is None or not job.running:
            return
        if reason is StopReason.OUTRANKED:
            self._end(job, None, "is stopped")
        else:
            polite = self.peer.world.rng.uniform(0.0, 10.0)
            job.work = Work(polite, Result(Conclusion.CANCELLED, outputs=job.work.result.outputs))
            job.ends = min(job.ends, self.peer.world.now + polite)
            self.lane.after(polite, self._finish, job)

    def forget(self, ref: AttemptRef) -> None:
        job = self.jobs.get(ref)
        if job is not None and not job.running:
            del self.jobs[ref]

    def finish_now(self, ref: AttemptRef) -> None:
        """The job comes to its end as if by itself."""
        job = self.jobs[ref]
        job.ends = self.peer.world.now
        self._finish(job)

    def die(self) -> None:
        """The process ends, and with it every job."""
        for job in self.jobs.values():
            if job.running:
                job.running = False
                self.peer.oracle.stopped(self.peer, job.ref, "dies with its host")
        self.jobs.clear()
        self.connection += 1
        self.client = None
        self.lane.cut()

    def thaw(self, slept: float) -> None:
        """The whole machine was frozen: work stood still, D did not."""
        for job in list(self.jobs.values()):
            if job.running:
                job.ends += slept
                self.lane.after(job.ends - self.peer.world.now, self._finish, job)
                self._kill_if_due(job)

    def _set_timers(self, job: Job) -> None:
        self.lane.after(job.work.seconds, self._finish, job)
        self.lane.after(self.peer.until(job.deadline), self._deadline_passes, job)

    def _finish(self, job: Job) -> None:
        if job.running and job.ends <= self.peer.world.now + TICK and not self._kill_if_due(job):
            self._end(job, job.work.result, f"ends: {job.work.result.conclusion}")

    def _deadline_passes(self, job: Job) -> None:
        """Kill at D; where D was moved since the timer was set, set it anew."""
        if job.running and not self._kill_if_due(job):
            self.lane.after(self.peer.until(job.deadline), self._deadline_passes, job)

    def _kill_if_due(self, job: Job) -> bool:
        due = self.peer.until(job.deadline) <= TICK
        if due:
            self._end(job, None, "is killed at D")
        return due

    def _end(self, job: Job, result: Result | None, how: str) -> None:
        job.running = False
        job.result = result
        self.peer.oracle.stopped(self.peer, job.ref, how)
        self._tell(job.ref, result)

    def _tell(self, ref: AttemptRef, result: Result | None) -> None:
        if self.client is not None:
            self.client.lane.after(0.01, self.client.job_ended, self.connection, ref, result)
