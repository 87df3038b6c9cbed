"""Who knows everything and says nothing, until a promise of DESIGN 5 is broken: then it raises `Violation`.

It judges by what became durable and by what really ran, never by what a machine believes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.schedules import ScheduleState, new_schedule
from clockmesh.protocol.events import (
    AttemptEnded,
    CancelAsked,
    ClaimGranted,
    Event,
    JobClaimed,
    ResultAccepted,
    ResultProposed,
    RunSubmitted,
)
from clockmesh.protocol.ids import AttemptRef, JobRef, PeerId, ResultHash, RunId, ScheduleId
from clockmesh.protocol.naming import result_hash, run_id, schedule_id, tick_run
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import ScheduleSet, TickSkipped, TickSubmitted
from tests.simulation.scenario import LEASE, Scenario
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from tests.simulation.peer import Peer
    from tests.simulation.ticking import Ticks
    from tests.simulation.workload import Workload

JobFact = JobClaimed | ClaimGranted | AttemptEnded | ResultProposed | ResultAccepted

FinalKey = tuple[int, ResultHash]
"""(attempt, hash)."""


OVERLAP_ENDS = LEASE
"""Seconds of health within which one of two holders has stopped."""


class Runner(NamedTuple):
    """A job that runs at some peer's host."""

    peer: Peer
    ref: AttemptRef
    since: float


class Oracle:
    def __init__(self, world: World, scenario: Scenario, workload: Workload, ticks: Ticks | None) -> None:
        self._world = world
        self._quorum_guard = scenario.guard is Guard.QUORUM
        self._workload = workload
        self._ticks = ticks
        self._schedules: dict[ScheduleId, ScheduleState] = {}
        self.letters: dict[PeerId, str] = {}
        self.runs: dict[RunId, RunSubmitted] = {}
        """Submissions that are durable somewhere."""
        self.names: dict[RunId, str] = {}
        self.finals: dict[JobRef, set[FinalKey]] = {}
        self._accepts: dict[tuple[JobRef, int, ResultHash], set[PeerId]] = {}
        self._proposed: dict[tuple[AttemptRef, PeerId], ResultHash] = {}
        self._running: dict[JobRef, dict[tuple[int, int], Runner]] = {}
        """By peer and attempt: one host may run two attempts, and must not."""
        self.starts: Counter[JobRef] = Counter()
        self.claims: Counter[JobRef] = Counter()

    # What became durable

    def written(self, peer: Peer, node: Node) -> None:
        for event in node.events:
            match event:
                case RunSubmitted():
                    run = run_id(event)
                    self.runs[run] = event
                    self.names.setdefault(run, str(len(self.names) + 1))
                case ScheduleSet():
                    self._schedules.setdefault(schedule_id(event), new_schedule(event))
                case TickSubmitted():
                    run = tick_run(event.schedule, event.due_ms)
                    self.runs[run] = self._schedules[event.schedule].submission(event.due_ms)
                    self.names.setdefault(run, f"tick{event.due_ms // 1000 % 100_000}")
                case JobClaimed():
                    self.claims[JobRef(event.run, event.key)] += 1
                case ResultProposed():
                    ref = AttemptRef(event.run, event.key, event.attempt)
                    self._proposed[ref, node.author] = result_hash(event.result)
                case ResultAccepted():
                    self._accepted(node.author, event)

    def _accepted(self, voter: PeerId, event: ResultAccepted) -> None:
        job = JobRef(event.run, event.key)
        if self._quorum_guard:
            voters = self._accepts.setdefault((job, event.attempt, event.result), set())
            electorate = self.runs[event.run].electorate
            if voter in electorate:
                voters.add(voter)
            decided = len(voters) >= len(electorate) // 2 + 1
        else:
            decided = self._proposed.get((AttemptRef(*job, event.attempt), voter)) == event.result
        if decided:
            self._final(job, (event.attempt, event.result))

    def _final(self, job: JobRef, final: FinalKey) -> None:
        finals = self.finals.setdefault(job, set())
        if final in finals:
            return
        if not finals and self._world.tracing:
            self._world.note(f"    final: {self.job_name(job)} attempt {final[0]}, result {final[1].hex()[:6]}")
        finals.add(final)
        if not self._quorum_guard:
            return
        if len({result for _, result in finals}) > 1:
            raise Violation("two_finals", f"{self.job_name(job)} has {self._final_names(finals)}")
        for runner in self.running(job):
            raise Violation("runs_after_final", self._runner_name(runner))

    def standing(self, job: JobRef) -> FinalKey | None:
        """The final result that stands: the lowest."""
        return min(self.finals.get(job, ()), default=None)

    def results_of(self, job: JobRef) -> set[ResultHash]:
        return {result for _, result in self.finals.get(job, ())}

    # What really ran

    def started(self, peer: Peer, ref: AttemptRef, deadline: float) -> None:
        self.starts[ref.job] += 1
        if self._ticks is not None and peer.daemon is not None:
            self._ticks.started(peer.daemon.machine, ref.run)
        if self._world.tracing:
            peer.note(f"STARTS {self.name_of(ref)}, D={self._world.now + peer.until(deadline):.1f}")
        self._running.setdefault(ref.job, {})[peer.index, ref.attempt] = Runner(peer, ref, self._world.now)
        if self._quorum_guard and self.finals.get(ref.job):
            raise Violation("start_after_final", f"{peer.letter} starts {self.name_of(ref)}")
        self._check_overlap(ref.job)

    def stopped(self, peer: Peer, ref: AttemptRef, how: str) -> None:
        if self._world.tracing:
            peer.note(f"{self.name_of(ref)} {how}")
        del self._running[ref.job][peer.index, ref.attempt]

    def woke(self, peer: Peer) -> None:
        """A whole machine goes on; what had passed its D is dead already."""
        for job, runners in self._running.items():
            if any(runner.peer is peer for runner in runners.values()):
                self._check_overlap(job)
                if self._quorum_guard and self.finals.get(job):
                    raise Violation("runs_after_final", f"{peer.letter} wakes with {self.job_name(job)}")

    def running(self, job: JobRef) -> list[Runner]:
        """Who runs it now; a job whose machine is frozen does not run."""
        return [runner for runner in self._running.get(job, {}).values() if runner.peer.suspended_at is None]

    def _check_overlap(self, job: JobRef) -> None:
        runners = self.running(job)
        if len(runners) > 1 and self._quorum_guard:
            raise Violation("overlap", " and ".join(map(self._runner_name, runners)))

    def check_overlaps_end(self, since: float) -> None:
        """Rule 10: where peers hear one another, of two holders one stops."""
        for job in self._running:
            runners = self.running(job)
            begun = max([since, *sorted(runner.since for runner in runners)[1:2]])
            if len(runners) > 1 and self._world.now - begun > OVERLAP_ENDS:
                raise Violation("overlap_stays", " and ".join(map(self._runner_name, runners)))

    # What peers say

    def answered(self, peer: Peer, token: int, run: RunId | None) -> None:
        """An answer was given: what it is about must be on the disk of who gave it."""
        request = self._workload.requests.get(token)
        if request is None or run is None:
            return
        events = (event for node in reversed(peer.store) for event in node.events)
        if not any(isinstance(event, RunSubmitted) and run_id(event) == run for event in events):
            raise Violation("not_durable", f"{peer.letter} accepted run {request.name} and does not have it")
        self._workload.answered(token, run, peer)
        peer.note(f"has accepted run {request.name}")

    def look(self, peer: Peer, machine: Machine, run: RunId) -> None:
        """A peer shows a run: what it calls final is final, and never another thing."""
        if not self._quorum_guard or run not in machine.runs:
            return
        for job in machine.runs[run].jobs.values():
            finals = self.finals.get(job.ref)
            if job.final is not None and finals and all(job.final.hash != result for _, result in finals):
                shown = self._final_names({(job.final.attempt, job.final.hash)})
                raise Violation("two_finals", f"{peer.letter} shows {shown} for {self.job_name(job.ref)}")

    # The trace

    def decided(self, peer: Peer, event: Event) -> None:
        """A machine decided; a crash may still undo it."""
        if self._world.tracing:
            text = self._tell(event)
            if text:
                peer.note(text)

    def _tell(self, event: Event) -> str:
        match event:
            case RunSubmitted():
                self.names.setdefault(run_id(event), str(len(self.names) + 1))
                return f"submits run {self.names[run_id(event)]}"
            case TickSubmitted():
                return f"submits the tick of {event.due_ms // 1000 % 100_000}"
            case TickSkipped():
                return f"skips the tick of {event.due_ms // 1000 % 100_000}"
            case CancelAsked():
                return f"writes the cancel of run {self.names.get(event.run, '?')}"
            case JobClaimed():
                return f"claims {self.name_of(event)}"
            case ClaimGranted():
                carried = f" with the result of attempt {event.carried_attempt}" if event.carried else ""
                return f"grants {self.name_of(event)} to {self.letters[event.claimant]}{carried}"
            case AttemptEnded():
                return f"writes {self.name_of(event)} {event.how}"
            case ResultProposed():
                result = result_hash(event.result).hex()[:6]
                return f"proposes {event.result.conclusion} {result} of {self.name_of(event)}"
            case ResultAccepted():
                return f"accepts {event.result.hex()[:6]} of {self.name_of(event)}"
        return ""

    def name_of(self, ref: AttemptRef | JobFact) -> str:
        return f"{self.job_name(JobRef(ref.run, ref.key))} attempt {ref.attempt}"

    def job_name(self, job: JobRef) -> str:
        return f"{self.names.get(job.run, job.run.hex()[:6])}/{job.key}"

    def _runner_name(self, runner: Runner) -> str:
        return f"{runner.peer.letter} runs {self.name_of(runner.ref)}"

    def _final_names(self, finals: set[FinalKey]) -> str:
        return " and ".join(f"{result.hex()[:6]} of attempt {attempt}" for attempt, result in sorted(finals))
