"""What the clock says: members, runs and jobs, as a sum of facts that comes out the same in whatever order nodes came
(parents before children)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from clockmesh.coordinator.facts import JobFact, add_fact
from clockmesh.coordinator.jobs import JobState, is_over
from clockmesh.coordinator.members import Members
from clockmesh.coordinator.runs import Carrier, RunState, Tick, expands, follow_plan, job_of, new_run, touched_by_final
from clockmesh.coordinator.schedules import ScheduleState, add_schedule_fact, moved_ticks, new_schedule
from clockmesh.coordinator.secrets import Secrets
from clockmesh.protocol.codec import run_id, tick_run
from clockmesh.protocol.events import (
    CancelAsked,
    Event,
    InvitationRedeemed,
    MeshFounded,
    PeerAdmitted,
    PeerDescribed,
    RunSubmitted,
)
from clockmesh.protocol.ids import RESOLVE, AttemptRef, JobKey, JobRef, NodeHash, PeerId, RunId, ScheduleId
from clockmesh.protocol.node import Node
from clockmesh.protocol.schedules import ScheduleFact, ScheduleSet, TickSubmitted
from clockmesh.protocol.secrets import SecretFact

MAX_EARLY = 10_000
"""Facts kept about runs that are not known. Honest peers make none: what a fact names is in its past."""

_JOB_FACTS = get_args(JobFact)
_SCHEDULE_FACTS = get_args(ScheduleFact)
_SECRET_FACTS = get_args(SecretFact)


@dataclass(slots=True)
class State:
    members: Members = field(default_factory=Members)
    runs: dict[RunId, RunState] = field(default_factory=dict)
    unfinished: dict[RunId, None] = field(default_factory=dict)
    """Runs with an open job."""
    busy: dict[PeerId, dict[AttemptRef, None]] = field(default_factory=dict)
    """By claimant, its open claims of jobs without a final result."""
    height: int = 0
    early: dict[RunId, list[tuple[PeerId, JobFact | CancelAsked]]] = field(default_factory=dict)
    early_count: int = 0
    touched: dict[JobRef, None] = field(default_factory=dict)
    """Jobs that changed since the machine looked, in order."""
    changed: dict[RunId, None] = field(default_factory=dict)
    """Runs of which something to see changed since then."""
    schedules: dict[ScheduleId, ScheduleState] = field(default_factory=dict)
    schedules_changed: bool = False
    """Since the machine looked."""
    secrets: Secrets = field(default_factory=Secrets)

    def job(self, ref: JobRef) -> JobState | None:
        run = self.runs.get(ref.run)
        return run.jobs.get(ref.key) if run else None


def add_node(state: State, node: Node) -> None:
    state.height = max(state.height, node.height)
    for event in node.events:
        add_event(state, node.author, event, node)


def add_event(state: State, author: PeerId, event: Event, node: Node | None = None) -> None:
    """Count one event of `author`. Without a node it is an own decision, whose node comes later."""
    match event:
        case MeshFounded():
            _members_changed(state, state.members.admit(author, author, event.founder))
        case PeerAdmitted():
            _members_changed(state, state.members.admit(author, event.peer, event.description))
        case PeerDescribed():
            _members_changed(state, state.members.describe(author, event.description))
        case InvitationRedeemed():
            state.members.redeemed.add((author, event.invitation))
        case RunSubmitted():
            _submitted(state, run_id(event), event, author, node)
        case TickSubmitted():
            _ticked(state, author, event, node)
        case CancelAsked():
            _cancel_asked(state, author, event)
        case _ if isinstance(event, _JOB_FACTS):
            _job_fact(state, author, event)
        case _ if isinstance(event, _SCHEDULE_FACTS):
            _schedule_fact(state, author, event)
        case _ if isinstance(event, _SECRET_FACTS):
            state.secrets.add(author, event, node)


def _members_changed(state: State, changed: bool) -> None:
    """Ranks and eligibility of every open job may have changed."""
    if changed:
        for run in state.unfinished:
            _touch(state, state.runs[run])
        state.schedules_changed = True


def _touch(state: State, run: RunState) -> None:
    state.touched.update((JobRef(run.run, key), None) for key in run.open)


def _submitted(
    state: State, run: RunId, event: RunSubmitted, author: PeerId, node: Node | None, tick: Tick | None = None
) -> None:
    carrier = Carrier(state.height + 1, NodeHash(b""), author)
    if node is not None:
        carrier = Carrier(node.height, node.hash, author, node.wall_ms)
    known = state.runs.get(run)
    if known is None:
        _new_run(state, new_run(run, event, carrier, node is None, tick))
    elif node is not None and (known.provisional or _before(carrier, known.carrier)):
        known.carrier, known.provisional = carrier, False
        state.changed[run] = None
        _touch(state, known)


def _before(one: Carrier, other: Carrier) -> bool:
    return (one.height, one.node) < (other.height, other.node)


def _ticked(state: State, author: PeerId, event: TickSubmitted, node: Node | None) -> None:
    """A schedule that is not known is none: its set is in the past of whoever knows its id."""
    known = state.schedules.get(event.schedule)
    if known is None or event.due_ms < known.told.due_from_ms:
        return
    run = known.ticks[event.due_ms] = tick_run(event.schedule, event.due_ms)
    _submitted(state, run, known.submission(event.due_ms), author, node, Tick(event.schedule, event.due_ms))
    state.schedules_changed = True


def _schedule_fact(state: State, author: PeerId, event: ScheduleFact) -> None:
    if isinstance(event, ScheduleSet):
        known = new_schedule(event)
        state.schedules_changed |= state.schedules.setdefault(known.schedule, known) is known
        return
    found = state.schedules.get(event.schedule)
    before = found.chain if found else ()
    if found is None or not add_schedule_fact(found, author, event):
        return
    state.schedules_changed = True
    for due_ms, run in moved_ticks(found, before):
        _count_again(state, state.runs[run], found.submission(due_ms))


def _count_again(state: State, old: RunState, submission: RunSubmitted) -> None:
    """Other voters than it seemed decide on this tick: what was said of it is counted by their votes."""
    for job in old.jobs.values():
        for attempt, claimant in job.claims:
            _not_busy(state, job, attempt, claimant)
    fresh = new_run(old.run, submission, old.carrier, old.provisional, old.tick)
    fresh.cancel_asked = old.cancel_asked
    _new_run(state, fresh)
    for author, fact in old.facts:
        _job_fact(state, author, fact)


def _new_run(state: State, known: RunState) -> None:
    run = known.run
    state.runs[run] = known
    if known.open:
        state.unfinished[run] = None
    state.changed[run] = None
    _touch(state, known)
    early = state.early.pop(run, [])
    state.early_count -= len(early)
    for author, fact in early:
        add_event(state, author, fact)


def _hold_early(state: State, author: PeerId, fact: JobFact | CancelAsked) -> None:
    if state.early_count < MAX_EARLY:
        state.early_count += 1
        state.early.setdefault(fact.run, []).append((author, fact))


def _cancel_asked(state: State, author: PeerId, event: CancelAsked) -> None:
    run = state.runs.get(event.run)
    if run is None:
        _hold_early(state, author, event)
    elif not run.cancel_asked:
        run.cancel_asked = True
        state.changed[run.run] = None
        _touch(state, run)


def _job_fact(state: State, author: PeerId, fact: JobFact) -> None:
    run = state.runs.get(fact.run)
    if run is None:
        _hold_early(state, author, fact)
        return
    if run.tick is not None:
        run.facts[author, fact] = None
    job = job_of(run, fact.key)
    before = job.final
    if not add_fact(job, author, fact):
        return
    state.touched[job.ref] = None
    state.changed[run.run] = None
    if job.final != before:
        _final_changed(state, run, fact.key)
    _count_busy(state, job, fact.attempt, author)


def _final_changed(state: State, run: RunState, key: JobKey) -> None:
    run.open.pop(key, None)
    for attempt, claimant in run.jobs[key].claims:
        _not_busy(state, run.jobs[key], attempt, claimant)
    if key == RESOLVE or expands(key):
        follow_plan(run)
        state.touched.update((job.ref, None) for job in run.jobs.values())
    else:
        state.touched.update((JobRef(run.run, other), None) for other in touched_by_final(run, key))
    if run.open:
        state.unfinished[run.run] = None
    else:
        state.unfinished.pop(run.run, None)
        _tick_ended(state, run)


def _tick_ended(state: State, run: RunState) -> None:
    """Another tick of its schedule may have waited for it."""
    if run.tick is None:
        return
    state.schedules_changed = True
    for other in map(state.runs.__getitem__, state.unfinished):
        if other.tick is not None and other.tick.schedule == run.tick.schedule:
            _touch(state, other)


def _count_busy(state: State, job: JobState, attempt: int, claimant: PeerId) -> None:
    """Keep `busy` in step with one claim."""
    if (attempt, claimant) in job.claims and not is_over(job, attempt, claimant) and job.final is None:
        state.busy.setdefault(claimant, {})[job.attempt(attempt)] = None
    else:
        _not_busy(state, job, attempt, claimant)


def _not_busy(state: State, job: JobState, attempt: int, claimant: PeerId) -> None:
    claims = state.busy.get(claimant)
    if claims is not None and claims.pop(job.attempt(attempt), claimant) is None and not claims:
        del state.busy[claimant]
