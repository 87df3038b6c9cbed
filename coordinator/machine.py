"""The machine: facts and time go in, effects come out, nothing else happens.

An input is absorbed into the state; then every job that it touched is looked at, and what this peer decides is
counted at once and handed out as `Append`. The same machine runs in the daemon and in the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from clockmesh.coordinator import holding, leases, requests, schedule_requests, secret_requests, take, ticks, votes
from clockmesh.coordinator.calendar import Calendar, NoCalendar
from clockmesh.coordinator.effects import Append, Effect, RunChanged, Wake
from clockmesh.coordinator.holding import Held
from clockmesh.coordinator.inputs import (
    AdmitWanted,
    BackfillWanted,
    BeaconHeard,
    CancelWanted,
    DescribeWanted,
    Input,
    JobEnded,
    NodeAdded,
    RerunWanted,
    RescueWanted,
    RoomTold,
    ScheduleChangeWanted,
    ScheduleWanted,
    SecretRemoveWanted,
    SecretWanted,
    ShareWanted,
    Started,
    SubmitWanted,
    Ticked,
    TriggerWanted,
)
from clockmesh.coordinator.jobs import JobState
from clockmesh.coordinator.leases import Leases
from clockmesh.coordinator.members import Member
from clockmesh.coordinator.runs import RunState
from clockmesh.coordinator.state import State, add_event, add_node
from clockmesh.coordinator.take import Offers
from clockmesh.coordinator.ticks import Ticker
from clockmesh.coordinator.timers import Timers
from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.events import Event, PeerDescribed
from clockmesh.protocol.ids import AttemptRef, JobRef, MeshId, PeerId, RunId
from clockmesh.protocol.limits import MAX_OVER
from clockmesh.protocol.node import Node

MIN_BEACONS = 10
"""Beacon periods that a lease lasts at least (DESIGN 5)."""


class Machine:
    """What one peer knows and holds. `step` changes it; everything else only reads."""

    def __init__(
        self,
        me: PeerId,
        mesh: MeshId,
        *,
        beacon_period: float = 1.0,
        lease: float = 15.0,
        calendar: Calendar | None = None,
    ) -> None:
        """`calendar` says what cron lines mean; without one this peer submits no ticks."""
        if lease < MIN_BEACONS * beacon_period:
            raise ValueError(f"a lease of {lease} s is shorter than {MIN_BEACONS} beacon periods of {beacon_period} s")
        self.me = me
        self.mesh = mesh
        self.lease = lease
        self.state = State()
        self.leases = Leases(me, beacon_period)
        self.started = False
        self.held: dict[JobRef, Held] = {}
        """Own open claims, and what the runner host runs for this peer."""
        self.contested: dict[JobRef, None] = {}
        """Jobs without a final result of which this peer granted more than one attempt."""
        self.offers = Offers()
        self.timers = Timers()
        self.calendar: Calendar = calendar or NoCalendar()
        self.ticker = Ticker()
        self.roomy = True
        """This machine has room for more jobs."""
        self.described_ahead = 0
        """Own descriptions decided whose nodes have not come yet."""
        self.out: list[Effect] = []
        self.after: list[Effect] = []
        """What follows the step's `Append`s."""

    @property
    def members(self) -> Mapping[PeerId, Member]:
        return self.state.members.table

    @property
    def runs(self) -> Mapping[RunId, RunState]:
        return self.state.runs

    @property
    def slots(self) -> int:
        """Jobs that this peer may have at a time."""
        member = self.members.get(self.me)
        return member.description.slots if member else 0

    @property
    def free(self) -> int:
        return max(0, self.slots - len(self.held)) if self.roomy else 0

    def name_of(self, peer: PeerId) -> str:
        """The name a peer is shown by: unique in the mesh; the start of its key for a stranger."""
        member = self.members.get(peer)
        return member.name if member else peer.hex()[:12]

    def live(self, peer: PeerId, now: float) -> bool:
        """A beacon of it was heard in the last four beacon periods; one's own session always lives."""
        return leases.live(self.leases, peer, now)

    def deadline(self, ref: AttemptRef, now: float) -> float | None:
        """D of an attempt that this peer holds, seconds of CLOCK_BOOTTIME; None if it does not hold it (any more)."""
        held = self.held.get(ref.job)
        if held is None or held.ref != ref or not held.started or held.stopped_for_good:
            return None
        return holding.deadline(self, held)

    def make_beacon(self, now: float, vector_digest: bytes, load: float) -> Beacon:
        """The next beacon, to be signed and sent at once; `now` is what its acknowledgement is worth (rule 5)."""
        number = leases.next_number(self.leases, now)
        heard = tuple(
            Heard(peer, session.incarnation, session.number) for peer, session in sorted(self.leases.sessions.items())
        )
        over = tuple(ref for ref in map(self._granted_over, self.contested) if ref is not None)
        return Beacon(self.me, self.leases.incarnation, number, vector_digest, self.free, load, heard, over)

    def _granted_over(self, ref: JobRef) -> AttemptRef | None:
        """The highest attempt granted here, if a claimant below it has not ended (rule 5)."""
        job = self.state.job(ref)
        return votes.granted_over(job, self.me) if job else None

    def may_contest(self) -> bool:
        """Another grant above an open claimant still fits into a beacon."""
        return len(self.contested) < MAX_OVER

    def decide(self, event: Event, *also: Effect) -> None:
        """Count an own event and have it appended; `also` happens once it is durable."""
        add_event(self.state, self.me, event)
        self.out.append(Append(event))
        self.after.extend(also)

    def run_of(self, job: JobState) -> RunState:
        return self.state.runs[job.ref.run]


def step(machine: Machine, input: Input, now: float) -> list[Effect]:
    """Take in one input at `now` (seconds of CLOCK_BOOTTIME, never going back) and say what is to be done.

    `Append`s come first, then what rests on them, then one `RunChanged` for each run and at most one `Wake`.
    Raises NotFound, Conflict or Refused for a request that cannot be, before anything has changed.
    """
    machine.out, machine.after = [], []
    leases.passed(machine.leases, now)
    _absorb(machine, input, now)
    if not machine.started:
        machine.state.touched.clear()
        return _effects(machine, now)
    for ref in machine.timers.due(now):
        machine.state.touched[ref] = None
    ticks.look(machine, now)
    _settle(machine, now)
    return _effects(machine, now)


def _absorb(machine: Machine, input: Input, now: float) -> None:
    match input:
        case NodeAdded():
            _add_node(machine, input.node)
        case Started():
            _start(machine, input, now)
        case Ticked():
            if input.wall_ms is not None:
                ticks.tell(machine, input.wall_ms, now)
        case BeaconHeard():
            _hear(machine, input.beacon, now)
        case JobEnded():
            holding.job_ended(machine, input)
        case RoomTold():
            machine.roomy = input.enough
        case SubmitWanted():
            requests.submit(machine, input, now)
        case CancelWanted():
            requests.cancel(machine, input)
        case RerunWanted():
            requests.rerun(machine, input, now)
        case ScheduleWanted():
            schedule_requests.add(machine, input, now)
        case ScheduleChangeWanted():
            schedule_requests.change(machine, input)
        case RescueWanted():
            schedule_requests.rescue(machine, input, now)
        case BackfillWanted():
            schedule_requests.backfill(machine, input, now)
        case TriggerWanted():
            schedule_requests.trigger(machine, input, now)
        case SecretWanted():
            secret_requests.set_secret(machine, input)
        case SecretRemoveWanted():
            secret_requests.remove(machine, input)
        case ShareWanted():
            secret_requests.share(machine, input)
        case DescribeWanted():
            requests.describe(machine, input)
        case AdmitWanted():
            requests.admit(machine, input)


def _add_node(machine: Machine, node: Node) -> None:
    if node.author != machine.me or not machine.described_ahead:
        add_node(machine.state, node)
        return
    machine.state.height = max(machine.state.height, node.height)
    for event in node.events:
        if isinstance(event, PeerDescribed) and machine.described_ahead:
            machine.described_ahead -= 1  # a later own description may stand already
        else:
            add_event(machine.state, node.author, event, node)


def _start(machine: Machine, input: Started, now: float) -> None:
    machine.started = True
    machine.leases.incarnation = input.incarnation
    machine.leases.settled_at = now
    holding.resume(machine, input.jobs)
    for run in machine.state.unfinished:
        machine.state.touched.update((JobRef(run, key), None) for key in machine.state.runs[run].jobs)


def _hear(machine: Machine, beacon: Beacon, now: float) -> None:
    was_live = leases.live(machine.leases, beacon.peer, now)
    if beacon.peer not in machine.members or not leases.hear(machine.leases, beacon, now):
        return
    machine.state.touched.update((ref, None) for ref in machine.held)
    if not was_live:  # its open claims may be granted again
        claimed = machine.state.busy.get(beacon.peer, ())
        machine.state.touched.update((ref.job, None) for ref in claimed)


def _settle(machine: Machine, now: float) -> None:
    """Look at every touched job until nothing is left to decide."""
    touched = machine.state.touched
    while touched or take.take_next(machine, now):
        while touched:
            ref = next(iter(touched))
            del touched[ref]
            _look(machine, ref, now)


def _look(machine: Machine, ref: JobRef, now: float) -> None:
    job = machine.state.job(ref)
    if job is None or not machine.started:
        return
    if job.final is None:
        leases.notice(machine.leases, job, now)
        votes.vote(machine, job, now)
    if job.final is not None:
        _finish(machine, job)
        return
    if len(job.votes.get(machine.me, ())) > 1:
        machine.contested[ref] = None
    times = (
        holding.hold(machine, job, now),
        take.consider(machine, job, now),
        votes.next_silence(machine, job, now),
        ticks.waits_until(machine, machine.run_of(job), now),
    )
    _look_again(machine, ref, min((at for at in times if at is not None), default=None))


def _look_again(machine: Machine, ref: JobRef, at: float | None) -> None:
    if at is None:
        machine.timers.drop(ref)
    else:
        machine.timers.set(ref, at)


def _finish(machine: Machine, job: JobState) -> None:
    """A final result stands: nothing more is wanted of this job."""
    holding.finish(machine, job)
    machine.offers.withdraw(job.ref)
    machine.offers.sights.pop(job.ref, None)
    machine.timers.drop(job.ref)
    machine.contested.pop(job.ref, None)
    leases.forget_job(machine.leases, job)


def _effects(machine: Machine, now: float) -> list[Effect]:
    effects = [*machine.out, *machine.after]
    effects.extend(RunChanged(run) for run in machine.state.changed)
    machine.state.changed.clear()
    machine.out, machine.after = [], []
    at = machine.timers.next()
    if machine.started and machine.state.schedules and machine.ticker.at < math.inf:
        at = machine.ticker.at if at is None else min(at, machine.ticker.at)
    if machine.started and (machine.held or machine.state.unfinished):
        beat = now + machine.leases.period
        at = beat if at is None else min(at, beat)
    if at is not None:
        effects.append(Wake(max(at, now)))
    return effects
