"""What there is to see of schedules: pure reading, for the surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clockmesh.coordinator import calendar, failures, schedule_health
from clockmesh.coordinator.schedules import ScheduleState
from clockmesh.protocol.ids import PeerId, RunId, ScheduleId
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import CronLine, ScheduleSet

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine


@dataclass(frozen=True, slots=True)
class ScheduleView:
    schedule: ScheduleId
    told: ScheduleSet
    guard: Guard
    """Of the ticks to come."""
    electorate: tuple[PeerId, ...]
    paused: bool
    """By a person, or by itself."""
    pause_after: int
    """Failed ticks in a row after which it pauses itself; 0 for never."""
    next_ms: int | None
    """When it is due next; None while it is paused, and where that is never."""
    last_ms: int | None
    """When it was due last, of what was submitted or skipped."""
    last_run: RunId | None
    """None: that tick was skipped."""
    warning: str | None
    """See `schedule_health.warning`."""


def schedule_views(machine: Machine, wall_ms: int, now: float) -> list[ScheduleView]:
    """Those that are not removed, by name."""
    standing = (known for known in machine.state.schedules.values() if not known.removed)
    return sorted(
        (_view(machine, known, wall_ms, now) for known in standing), key=lambda view: (view.told.name, view.schedule)
    )


def _view(machine: Machine, known: ScheduleState, wall_ms: int, now: float) -> ScheduleView:
    voters = known.chain[-1]
    passed = [due for due in (*known.ticks, *known.skipped) if due <= wall_ms]
    last = max(passed, default=None)
    paused = known.paused or failures.has_paused_itself(machine.state, known)
    from_ms = max(wall_ms, known.due_from_ms - 1)
    return ScheduleView(
        schedule=known.schedule,
        told=known.told,
        guard=voters.guard,
        electorate=voters.electorate,
        paused=paused,
        pause_after=known.pause_after,
        next_ms=None if paused else calendar.next_due(machine.calendar, known.told.lines, from_ms),
        last_ms=last,
        last_run=None if last is None else known.ticks.get(last),
        warning=schedule_health.warning(machine, known, now),
    )


def line_of_run(machine: Machine, run: RunId) -> CronLine | None:
    """The cron line that made this run; None for a run that is no tick."""
    state = machine.runs.get(run)
    if state is None or state.tick is None:
        return None
    lines = machine.state.schedules[state.tick.schedule].told.lines
    return calendar.line_of(machine.calendar, lines, state.tick.due_ms)
