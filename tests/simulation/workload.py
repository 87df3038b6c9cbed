"""What people want of the simulated mesh, and what the jobs do once they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from clockmesh.coordinator import view
from clockmesh.coordinator.inputs import CancelWanted, SubmitWanted
from clockmesh.coordinator.machine import Machine
from clockmesh.protocol.ids import RESOLVE, AttemptRef, BlobHash, JobKey, RunId
from clockmesh.protocol.plan import Plan, PlannedJob, Remote, Snapshot
from clockmesh.protocol.result import Conclusion, Result
from tests.simulation.host import Work
from tests.simulation.scenario import CHAOS, LEASE, Scenario
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.peer import Peer

WORKFLOW = BlobHash(bytes(32))
MOST_RUNS = 3
AGAIN = 1.0
"""Seconds until a person tries again where a request was refused."""


TOOL = "tool:x"
"""A label that some peers offer."""


def planned(key: str, *needs: str, labels: tuple[str, ...] = ()) -> PlannedJob:
    return PlannedJob(JobKey(key), key, needs, labels)


def matrix(legs: int, *, fail_fast: bool, max_parallel: int) -> tuple[PlannedJob, ...]:
    return tuple(
        PlannedJob(JobKey(f"m ({leg})"), "m", matrix=f'{{"leg":{leg}}}', fail_fast=fail_fast, max_parallel=max_parallel)
        for leg in range(legs)
    )


def plan(name: str, jobs: Sequence[PlannedJob], source: Snapshot | Remote | None = None) -> Plan:
    return Plan(name, f"{name}.yml", WORKFLOW, source or Snapshot(), "workflow_dispatch", tuple(jobs))


ONE = (planned("a"),)
CHAIN = (planned("a"), planned("b", "a"))
FAN = (planned("a"), planned("b", "a", labels=(TOOL,)), planned("c", "a"))
CHOOSY = (planned("a", labels=(TOOL,)),)


@dataclass(slots=True)
class Request:
    """A submission that someone wants, asked of one peer after the other until one takes it."""

    name: str
    plan: Plan
    nonce: bytes
    priority: float
    cancel_after: float | None
    run: RunId | None = None
    peer: Peer | None = None


class Workload:
    def __init__(self, world: World, scenario: Scenario) -> None:
        self._world = world
        self._scenario = scenario
        self._peers: Sequence[Peer] = ()
        self._tokens = count(1)
        self.requests: dict[int, Request] = {}
        """By the token they were last asked with; none is missing here once it was accepted."""
        self._results = count(1)
        self.wanted = 0
        self.lasting: float | None = None
        """Seconds that every job takes, where a test says so."""
        self.fails: bool | None = None
        """Whether every job fails, where a test says so."""

    def begin(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        rng = self._world.rng
        span = CHAOS / 2 if self._scenario.faults else 2 * LEASE
        for number in range(rng.randint(1, MOST_RUNS)):
            self.wanted += 1
            cancel = rng.uniform(0, 2 * LEASE) if rng.random() < 0.15 else None
            name = str(number + 1)
            request = Request(name, self._draw_plan(name), rng.randbytes(16), rng.choice((1.0, 5.0, 5.0)), cancel)
            self._world.after(rng.uniform(0, span) if number else rng.uniform(0, 3), self._submit, request)

    def _draw_plan(self, number: str) -> Plan:
        rng, name = self._world.rng, f"run{number}"
        kind = rng.random()
        if kind < 0.35:
            return plan(name, ONE)
        if kind < 0.45:
            return plan(name, CHOOSY)
        if kind < 0.60:
            return plan(name, CHAIN)
        if kind < 0.70:
            return plan(name, FAN)
        if kind < 0.85:
            return plan(name, matrix(3, fail_fast=rng.random() < 0.5, max_parallel=rng.choice((0, 1, 2))))
        resolve = PlannedJob(RESOLVE, RESOLVE)
        return replace(plan(name, (resolve,), Remote("git://example.org/r")), workflow=None)

    # Requests

    def _submit(self, request: Request) -> None:
        token = next(self._tokens)
        peer = self._world.rng.choice(self._peers)
        self.requests[token] = request
        wanted = SubmitWanted(
            token=token,
            plan=request.plan,
            nonce=request.nonce,
            heads=peer.combined_head(),
            priority=request.priority,
            guard=self._scenario.guard,
        )
        if not peer.ask(wanted):
            del self.requests[token]
            self._world.after(AGAIN, self._submit, request)
            return
        peer.note(f"is asked for run {request.name}")
        self._world.after(LEASE, self._doubt, request, token)

    def _doubt(self, request: Request, token: int) -> None:
        """No answer: the peer went away. People ask again, elsewhere."""
        if request.run is None and self.requests.pop(token, None) is not None:
            request.nonce = self._world.rng.randbytes(16)
            self._submit(request)

    def answered(self, token: int, run: RunId, peer: Peer) -> Request | None:
        """The peer says that it has it durably. None for a cancel."""
        request = self.requests.get(token)
        if request is not None and request.run is None:
            request.run, request.peer = run, peer
            if request.cancel_after is not None:
                self._world.after(request.cancel_after, self._cancel, request)
        return request

    def _cancel(self, request: Request) -> None:
        peer = self._world.rng.choice(self._peers)
        if request.run is not None and peer.ask(CancelWanted(next(self._tokens), request.run)):
            peer.note(f"is asked to cancel run {request.name}")

    def all_accepted(self) -> bool:
        """Everything wanted was taken by somebody."""
        return self.wanted == len({id(request) for request in self.requests.values() if request.run is not None})

    # Jobs

    def work_for(self, machine: Machine, ref: AttemptRef, peer: Peer) -> Work:
        """What the job will do, as its holder knows when it hands it to the host."""
        rng = self._world.rng
        if view.cancel_wanted(machine, ref.job):
            return Work(0.0, Result(Conclusion.CANCELLED))
        needs = view.needs_of(machine, ref.job)
        wanted = machine.runs[ref.run].planned[ref.key].needs
        if any(needs[job_id].result != Conclusion.SUCCESS for job_id in wanted):
            return Work(0.0, Result(Conclusion.SKIPPED))
        seconds = self.lasting if self.lasting is not None else self._draw_seconds()
        if machine.runs[ref.run].tick is not None and self._scenario.peers == 1:
            seconds = min(seconds, LEASE / 2)  # one peer with one slot must come after its schedule
        fails = rng.random() < self._scenario.failing if self.fails is None else self.fails
        conclusion = Conclusion.FAILURE if fails else Conclusion.SUCCESS
        result = Result(conclusion, outputs=(("by", f"{peer.letter}{next(self._results)}"),))
        if ref.key == RESOLVE and conclusion is Conclusion.SUCCESS:
            result = replace(result, resolved=self._resolved(machine, ref))
        return Work(seconds, result)

    def _draw_seconds(self) -> float:
        rng = self._world.rng
        return rng.choice((0.15, 0.5, 1.25, 3.0)) * LEASE if self._scenario.faults else rng.uniform(0.5, 10.0)

    def _resolved(self, machine: Machine, ref: AttemptRef) -> Plan:
        submitted = machine.runs[ref.run].submission.plan
        source = Remote("git://example.org/r", "refs/heads/main", f"{next(self._results):040x}")
        return replace(submitted, workflow=WORKFLOW, source=source, jobs=self._world.rng.choice((ONE, CHAIN)))
