"""A run on this machine alone: the mesh's own machine with one member, and the runner's own jobs, in this process.

    step -> effects -> jobs -> what they report -> step

So needs, matrices, fail-fast and cancels are decided by the same code as on a mesh. There is no store, for what is
decided need not outlive the process, no network, and no deadline, for nobody else could start a job.
"""

from __future__ import annotations

import math
import os
import pwd
import secrets
import select
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, replace

from clockmesh.coordinator import runs, view
from clockmesh.coordinator.effects import Answer, Effect, Forget, Start, Stop, StopReason, Wake
from clockmesh.coordinator.inputs import CancelWanted, Input, JobEnded, NodeAdded, Started, SubmitWanted, Ticked
from clockmesh.coordinator.machine import Machine, step
from clockmesh.daemon.local_groups import Groups, Standing, Ticket, Wanted, group_of
from clockmesh.daemon.local_place import Place, caught_signals
from clockmesh.daemon.local_story import Story
from clockmesh.protocol.codec import decode_result, unsigned_node
from clockmesh.protocol.events import Description, MeshFounded
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef, MeshId, PeerId, RunId
from clockmesh.protocol.plan import Plan
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner import host_messages
from clockmesh.runner.artifacts import read_index
from clockmesh.runner.bundle import read_workflow
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.host_jobs import Jobs, boottime
from clockmesh.runner.job import lead, one_line
from clockmesh.runner.levels import every_output, top_level
from clockmesh.runner.proctree import become_subreaper
from clockmesh.runner.sandbox import NETWORK_OFF, NO_SANDBOX, Sandbox
from clockmesh.runner.spec import Given, JobSpec, NeedResult, job_dir

_LEAST_SLOTS = 4
"""Jobs at a time on a small machine too: most jobs wait for something, and workflows expect company."""
_TICK_S = 0.1
"""The longest sleep while jobs run: `Jobs.tick` wants that, and what they print is shown so soon."""
_ME = PeerId(bytes(32))
_FOREIGN = ("windows", "macos")
"""Beginnings of labels that no Linux machine can stand in for. All others count as this machine's own."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run."""

    plan: Plan
    workflow: bytes
    run_name: str
    given: Given
    snapshot: str = ""
    """Path of the file with the snapshot; '' where no job checks out the repository."""
    groups: Groups | None = None
    """None where nothing in the workflow is in a group."""
    group: Wanted | None = None
    """Of the run."""
    sandbox: Sandbox = NO_SANDBOX
    """What the jobs run in: by default nothing, for they are this user's own, on files of this user's."""
    caches: str = ""
    """Folder of the repository's caches; '' in a sandbox, from which nothing outside is seen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    run: view.RunView
    outputs: dict[str, dict[str, str]]
    """By job id."""


def run_here(order: Order, place: Place, story: Story) -> Outcome:
    """Run it to its end. The first SIGINT, SIGTERM or SIGHUP cancels it, the second kills its jobs. When this returns
    or raises, no process of it is left."""
    with caught_signals() as told:
        here = _Here(order, place, story, told)
        try:
            return here.run()
        finally:
            here.end()


class _Here:
    """The loop."""

    def __init__(self, order: Order, place: Place, story: Story, told: socket.socket) -> None:
        """`told` is readable with the numbers of signals."""
        become_subreaper()
        self._order = order
        self._folder = place.folder
        self._story = story
        self._told = told
        self._workflow = place.folder / "workflow"
        self._workflow.write_bytes(order.workflow)
        self._reports: deque[host_messages.Report] = deque()
        self._inputs: deque[Input] = deque()
        self._warden = place.warden
        self._children = {place.warden}
        self._jobs = Jobs(place.folder, place.mark, lead, self._reports.append, self._children)
        self._jobs.sandbox = order.sandbox
        self._began_ms = time.time_ns() // 1_000_000
        self._foreign: dict[JobKey, str] = {}
        """What the labels ask for that this machine is not; '' for nothing."""
        self._machine = _machine()
        self._waiting: dict[AttemptRef, Ticket] = {}
        """Jobs that are to start when it is their turn in their group."""
        self._inside: dict[AttemptRef, Ticket] = {}
        self._stopped: set[AttemptRef] = set()
        """Told to end, for a newer one of their group."""
        self._artifacts: dict[str, str] = {}
        """Of all jobs that have ended, by name."""
        self._run = RunId(b"")
        self._wake_at = math.inf
        self._cancelled = self._killed = False

    def run(self) -> Outcome:
        ticket = self._enter(self._order.group)
        if ticket is not None and not self._has_turn(ticket):
            self._cancelled = self._killed = True
        self._take(Started(1))
        plan = self._own(self._order.plan)
        assert plan is not None
        self._take(SubmitWanted(0, plan, secrets.token_bytes(16), bytes(32)))
        if self._cancelled and not runs.over(self._machine.runs[self._run]):
            self._take(CancelWanted(0, self._run))
        while not runs.over(self._machine.runs[self._run]):
            self._pass()
            if ticket is not None and not self._cancelled and ticket.standing() is Standing.ENDING:
                self._asked_to_end()
        if ticket is not None:
            ticket.leave()
        return Outcome(view.run_view(self._machine, self._run), self._outputs())

    def _enter(self, wanted: Wanted | None) -> Ticket | None:
        return self._order.groups.enter(wanted) if wanted is not None and self._order.groups is not None else None

    def _has_turn(self, ticket: Ticket) -> bool:
        """Wait for the run's turn in its group; False if a newer one took its place, or a signal asks for the end."""
        assert self._order.group is not None
        if ticket.standing() is Standing.WAITING:
            self._story.waiting(self._order.group.group)
        while (standing := ticket.standing()) is Standing.WAITING:
            if self._wait(_TICK_S):
                return False
        return standing is not Standing.CANCELLED

    def _outputs(self) -> dict[str, dict[str, str]]:
        order = self._order
        workflow = read_workflow(order.workflow, order.plan.path)
        first = JobRef(self._run, order.plan.jobs[0].key)
        return every_output(top_level(workflow, order.plan, order.given), self._ended_before(first))

    def end(self) -> None:
        """Leave no process."""
        self._jobs.kill_all("the run was given up")
        while self._jobs.running or self._children - {self._warden}:
            self._wait(_TICK_S)
            self._jobs.tick()
            self._jobs.reap()

    # ---- the loop ----

    def _pass(self) -> None:
        patience = max(0.0, min(_TICK_S, self._wake_at - boottime()))
        if self._wait(patience):
            self._asked_to_end()
        self._jobs.tick()
        self._story.catch_up()
        while self._reports:
            self._reported(self._reports.popleft())
        self._look_at_groups()
        if boottime() >= self._wake_at:
            self._take(Ticked())

    def _wait(self, patience: float) -> bool:
        """Sleep until something happens; True if a signal came that asks for the end."""
        ready, _, _ = select.select([self._told, *self._jobs.controls()], (), (), patience)
        numbers = self._told.recv(4096) if self._told in ready else b""
        for control in ready:
            if control is not self._told:
                self._jobs.hear(control)
        self._jobs.reap()
        return any(number != signal.SIGCHLD for number in numbers)

    def _asked_to_end(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._story.cancelling()
            self._take(CancelWanted(0, self._run))
        elif not self._killed:
            self._killed = True
            self._jobs.kill_all("killed")

    def _take(self, first: Input) -> None:
        self._inputs.append(first)
        while self._inputs:
            for effect in step(self._machine, self._inputs.popleft(), boottime()):
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Answer(_, run) if run is not None:
                self._run = run
            case Start(ref):
                self._start(ref)
            case Stop(ref, StopReason.CANCEL):
                self._jobs.stop(ref)
            case Stop(ref):
                self._jobs.kill(ref)
            case Forget(ref):
                self._jobs.forget(ref)
            case Wake(at):
                self._wake_at = at

    # ---- one job ----

    def _start(self, ref: AttemptRef) -> None:
        if foreign := self._foreign.get(ref.key):
            self._inputs.append(self._ended(ref, Result(Conclusion.SKIPPED, error=f"this machine is no {foreign}")))
        elif self._killed:
            self._inputs.append(self._ended(ref, Result(Conclusion.CANCELLED)))
        else:
            self._in_turn(self._spec(ref))

    def _in_turn(self, spec: JobSpec) -> None:
        """Start a job, when it is its turn where it is in a group."""
        try:
            wanted = group_of(spec, self._order.workflow)
        except (RunnerError, KeyError):
            wanted = None  # the job itself says what is wrong with it
        if wanted is not None and self._order.group and wanted.group.lower() == self._order.group.group.lower():
            error = f"it waits for the group '{wanted.group}', which its own run is in"
            self._inputs.append(self._ended(spec.ref, Result(Conclusion.CANCELLED, error=one_line(error))))
            return
        ticket = self._enter(wanted)
        if ticket is None:
            self._begin(spec)
            return
        self._waiting[spec.ref] = ticket
        self._look_at(spec.ref, ticket)

    def _begin(self, spec: JobSpec) -> None:
        self._story.starting(spec.ref.key, job_dir(self._folder, spec.ref))
        self._jobs.start(spec, math.inf)

    def _look_at_groups(self) -> None:
        for ref, ticket in list(self._waiting.items()):
            self._look_at(ref, ticket)
        for ref, ticket in self._inside.items():
            if ref not in self._stopped and ticket.standing() is Standing.ENDING:
                self._stopped.add(ref)
                self._jobs.stop(ref)

    def _look_at(self, ref: AttemptRef, ticket: Ticket) -> None:
        """Of a job that waits: begin it, or end it without a beginning."""
        standing = ticket.standing()
        if standing is Standing.WAITING and not view.cancel_wanted(self._machine, ref.job):
            return
        del self._waiting[ref]
        if standing is Standing.TURN:
            self._inside[ref] = ticket
            self._begin(self._spec(ref))
            return
        ticket.leave()
        ended = self._ended(ref, Result(Conclusion.CANCELLED))
        if self._inputs:
            self._inputs.append(ended)
        else:
            self._take(ended)

    def _spec(self, ref: AttemptRef) -> JobSpec:
        return JobSpec(
            run=ref.run.hex(),
            key=ref.key,
            attempt=ref.attempt,
            plan=view.plan_of(self._machine, ref.run),
            workflow=str(self._workflow),
            snapshot=self._order.snapshot,
            needs=self._ended_before(ref.job),
            cancelled=view.cancel_wanted(self._machine, ref.job),
            actor=pwd.getpwuid(os.getuid()).pw_name,
            peer=socket.gethostname(),
            submitted_ms=self._began_ms,
            given=self._order.given,
            artifacts=self._artifacts,
            keeps_artifacts=not self._order.sandbox.on,
            caches=self._order.caches,
        )

    def _ended_before(self, job: JobRef) -> dict[str, NeedResult]:
        needs = view.needs_of(self._machine, job)
        return {job_id: NeedResult(str(need.result), need.outputs) for job_id, need in needs.items()}

    def _reported(self, report: host_messages.Report) -> None:
        match report:
            case host_messages.Ended(ref, None, why):
                # Elsewhere a lost attempt is made again. Here whatever ended it would only end the next one too.
                conclusion = Conclusion.CANCELLED if self._killed else Conclusion.FAILURE
                self._take(self._ended(ref, Result(conclusion, error=why)))
            case host_messages.Ended(ref, bytes(data)):
                result = decode_result(data)
                self._take(self._ended(ref, replace(result, resolved=self._own(result.resolved))))

    def _own(self, plan: Plan | None) -> Plan | None:
        """The plan without labels, for this machine stands in for all that it can stand in for; but the one that says
        what a job's sandbox is to be like."""
        if plan is None:
            return None
        self._story.planned(plan.jobs)
        for job in plan.jobs:
            self._foreign[job.key] = next((label for label in job.labels if label.startswith(_FOREIGN)), "")
        return replace(plan, jobs=tuple(
            replace(job, labels=tuple(label for label in job.labels if label == NETWORK_OFF)) for job in plan.jobs
        ))  # fmt: skip

    def _ended(self, ref: AttemptRef, result: Result) -> JobEnded:
        if ticket := self._inside.pop(ref, None):
            ticket.leave()
        found = read_index(job_dir(self._folder, ref) / "artifacts")
        self._artifacts = self._artifacts | {name: str(path) for name, path in found.items()}
        self._story.ended(ref.key, result)
        return JobEnded(ref, result)


def _machine() -> Machine:
    """A mesh of one."""
    machine = Machine(_ME, MeshId(bytes(32)))
    me = Description(socket.gethostname(), max(_LEAST_SLOTS, os.cpu_count() or 1), (NETWORK_OFF,))
    founding = unsigned_node(
        _ME, seq=1, parents=(), previous=None, height=1, wall_ms=0, events=[MeshFounded(bytes(16), me)]
    )
    step(machine, NodeAdded(founding), boottime())
    return machine
