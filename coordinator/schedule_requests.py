"""What people ask of schedules. Refusals are raised before anything has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clockmesh.coordinator import calendar, failures, requests, schedule_health, standing, ticks
from clockmesh.coordinator.effects import Answer
from clockmesh.coordinator.errors import Conflict, NotFound, Refused
from clockmesh.coordinator.inputs import (
    BackfillWanted,
    Change,
    RescueWanted,
    ScheduleChangeWanted,
    ScheduleWanted,
    TriggerWanted,
)
from clockmesh.coordinator.schedules import ScheduleState
from clockmesh.protocol.codec import electorate_seed, run_id, schedule_id
from clockmesh.protocol.events import Event, RunSubmitted
from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.limits import MAX_ATTEMPT
from clockmesh.protocol.schedules import (
    SchedulePaused,
    SchedulePausesAfter,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSet,
    TickSubmitted,
)

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

CATCH_UP_AGE_S = 7 * 24 * 3600
"""A week: a tick missed for longer says nothing to anybody."""

CATCH_UP_COUNT = 100
"""Runs that a mesh which was down makes up for at once, at most."""


def add(machine: Machine, wanted: ScheduleWanted, now: float) -> None:
    """Begin a schedule. Conflict for a name that is taken, Refused for a plan that can never end."""
    requests.check_plan(wanted.plan, wanted.priority)
    requests.check_member(machine)
    if not wanted.lines:
        raise Refused(f"the schedule '{wanted.name}' is never due; give it a cron line")
    if any(known.told.name.casefold() == wanted.name.casefold() for known in _standing(machine)):
        raise Conflict(f"there is a schedule named '{wanted.name}' already; clockmesh schedule remove ends it, or add "
                       "this one with another --name")
    event = ScheduleSet(
        nonce=wanted.nonce,
        name=wanted.name,
        lines=wanted.lines,
        plan=wanted.plan,
        guard=wanted.guard or requests.default_guard(machine),
        guard_follows=wanted.guard is None,
        lease_ms=round(machine.lease * 1000),
        priority=wanted.priority,
        electorate=requests.draw_electorate(machine, electorate_seed(bytes(32), wanted.plan, wanted.nonce), now),
        catch_up=wanted.catch_up,
        catch_up_age_s=CATCH_UP_AGE_S,
        catch_up_count=CATCH_UP_COUNT,
        overlap=wanted.overlap,
        jitter_s=wanted.jitter_s,
        due_from_ms=wanted.wall_ms,
    )
    _begin(machine, event, wanted.pause_after, Answer(wanted.token))


def _begin(machine: Machine, event: ScheduleSet, pause_after: int, answer: Answer) -> None:
    if not pause_after:
        machine.decide(event, answer)
        return
    machine.decide(event)
    machine.decide(SchedulePausesAfter(schedule_id(event), pause_after), answer)


def change(machine: Machine, wanted: ScheduleChangeWanted) -> None:
    """Pause, resume or remove. NotFound; what is so already is only answered."""
    known = _find(machine, wanted.schedule)
    answer, event = Answer(wanted.token), _event_for(machine, known, wanted)
    if event is None:
        machine.after.append(answer)
    else:
        machine.decide(event, answer)


def rescue(machine: Machine, wanted: RescueWanted, now: float) -> None:
    """Begin it anew under another id, with an electorate of the living, without the accept of the one before (DESIGN
    5.12). That is safe by construction: no run gets a second electorate, for each tick of the new one is another run.
    NotFound; Conflict while a quorum lives, and where nobody said that who is away may be abandoned."""
    known = _find(machine, wanted.schedule)
    name, away = known.told.name, schedule_health.away(machine, now)
    if not schedule_health.is_stopped(machine, known, now):
        raise Conflict(f"schedule '{name}' needs no rescue: enough of its electorate live")
    if not wanted.abandon:
        raise Conflict(f"{standing.names_of(machine, away)} may still be running ticks of '{name}' where they are; "
                       "start clockmeshd there, or say --abandon if that cannot be or does not matter")
    event = replace(
        known.told,
        nonce=wanted.nonce,
        electorate=tuple(sorted(set(machine.members) - set(away))),
        guard=known.chain[-1].guard,
        due_from_ms=wanted.wall_ms,
    )
    machine.decide(ScheduleRemoved(known.schedule))
    _begin(machine, event, known.pause_after, Answer(wanted.token))


def _event_for(machine: Machine, known: ScheduleState, wanted: ScheduleChangeWanted) -> Event | None:
    count = known.switch[0] + 1
    if count > MAX_ATTEMPT and wanted.change is not Change.REMOVE:  # an event beyond it fits no node
        raise Refused(f"a member has used up the counts of '{known.told.name}'; remove it and add it again")
    match wanted.change:
        case Change.REMOVE:
            return ScheduleRemoved(known.schedule)
        case Change.PAUSE:
            return None if known.paused else SchedulePaused(known.schedule, count)
        case Change.RESUME:
            paused = known.paused or failures.has_paused_itself(machine.state, known)
            return ScheduleResumed(known.schedule, count, wanted.wall_ms) if paused else None


def backfill(machine: Machine, wanted: BackfillWanted, now: float) -> None:
    """Submit what was due and never came, as the ticks that they are: if they come after all, they are the same runs.
    NotFound; Refused for more than `CATCH_UP_COUNT` of them."""
    known = _find(machine, wanted.schedule)
    missed = _missed(machine, known, wanted, ticks.wall_clock(machine, now) or 0)
    if len(missed) > CATCH_UP_COUNT:
        raise Refused(f"more than {CATCH_UP_COUNT} ticks of '{known.told.name}' were missed in that time; "
                      "name a shorter one with --since and --until")
    answer = Answer(wanted.token)
    if not missed:
        machine.after.append(answer)
        return
    for due in missed:
        machine.decide(TickSubmitted(known.schedule, due))
    machine.after.append(answer)


def _missed(machine: Machine, known: ScheduleState, wanted: BackfillWanted, wall_ms: int) -> list[int]:
    """Due times without a run, the oldest first, and at most one more than may be."""
    found: list[int] = []
    at = max(wanted.since_ms, known.told.due_from_ms) - 1
    while len(found) <= CATCH_UP_COUNT:
        due = calendar.next_due(machine.calendar, known.told.lines, at)
        if due is None or due >= min(wanted.until_ms, wall_ms):
            break
        if due not in known.ticks:
            found.append(due)
        at = due
    return found


def trigger(machine: Machine, wanted: TriggerWanted, now: float) -> None:
    """A run of the schedule's plan, now. NotFound."""
    known = _find(machine, wanted.schedule)
    plan = known.told.plan
    event = RunSubmitted(
        nonce=wanted.nonce,
        heads=wanted.heads,
        plan=plan,
        guard=requests.default_guard(machine) if known.told.guard_follows else known.told.guard,
        lease_ms=known.told.lease_ms,
        priority=known.told.priority,
        electorate=requests.draw_electorate(machine, electorate_seed(wanted.heads, plan, wanted.nonce), now),
    )
    machine.decide(event, Answer(wanted.token, run_id(event)))


def _standing(machine: Machine) -> list[ScheduleState]:
    return [known for known in machine.state.schedules.values() if not known.removed]


def _find(machine: Machine, schedule: ScheduleId) -> ScheduleState:
    known = machine.state.schedules.get(schedule)
    if known is None or known.removed:
        raise NotFound(f"no schedule {schedule.hex()[:12]}; clockmesh schedule list shows the schedules")
    return known
