"""What this peer does about the ticks of schedules: submits them when they are due, and holds back what is not.

Whoever submits a tick makes the same run, so ranks only keep that to one node. What keeps a wrong clock from firing
anything early is that each voter looks at its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clockmesh.coordinator import calendar, failures, jobs, leases, moves, ownership, schedules
from clockmesh.coordinator.runs import RunState
from clockmesh.coordinator.schedules import ScheduleState
from clockmesh.protocol.codec import tick_run
from clockmesh.protocol.events import CancelAsked
from clockmesh.protocol.ids import PeerId, RunId, ScheduleId
from clockmesh.protocol.limits import MAX_INTEGER
from clockmesh.protocol.schedules import CatchUp, Overlap, TickSkipped, TickSubmitted

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

RANK_DELAY = 0.3
"""Seconds that a peer leaves to each nearer one to submit a tick: two who are not there delay it by less than one."""

TOLERANCE_MS = 500
"""Before its own clock has come to a tick's time a voter grants it by so much: what clocks differ by that are kept."""

JUMP_MS = 100
"""A wall clock that was told to be off by more has been set: what waits for it is looked at anew."""

AGAIN = 1.0
"""Seconds after which what waits for something that nobody announces is looked at again."""

BUFFERED = 1
"""Ticks that wait under `buffer`."""


@dataclass(slots=True)
class Watch:
    """How far this peer has looked at one schedule."""

    upto_ms: int
    pending: dict[int, float] = field(default_factory=dict)
    """Due ticks that nobody submitted, and since when (BOOTTIME) this peer knows that it is their turn; infinity while
    others are in their way."""
    unlike_since: float | None = None
    """When the electorate was first seen not to be that of the membership."""


@dataclass(slots=True)
class Ticker:
    at: float = -math.inf
    """When to look again (BOOTTIME)."""
    watches: dict[ScheduleId, Watch] = field(default_factory=dict)
    told_ms: int | None = None
    """The wall clock as it was told last."""
    told_at: float = 0.0


def tell(machine: Machine, wall_ms: int, now: float) -> None:
    """What the wall clock shows now."""
    ticker = machine.ticker
    guess = wall_clock(machine, now)
    ticker.told_ms, ticker.told_at = wall_ms, now
    if guess is None or abs(wall_ms - guess) > JUMP_MS:
        ticker.at = -math.inf
        for run in map(machine.state.runs.__getitem__, machine.state.unfinished):
            if run.tick is not None:
                machine.state.touched.update((run.jobs[key].ref, None) for key in run.open)


def wall_clock(machine: Machine, now: float) -> int | None:
    """Wall time in ms; None before anybody has told it."""
    ticker = machine.ticker
    return None if ticker.told_ms is None else ticker.told_ms + round((now - ticker.told_at) * 1000)


# ---- holding back ----


def may_grant(machine: Machine, run: RunState, now: float) -> bool:
    """This voter's own clock has reached the tick, no earlier one is in its way, and it has not promised to leave it
    to another electorate. True for a run that is no tick."""
    if run.tick is None:
        return True
    known = machine.state.schedules[run.tick.schedule]
    return may_run(machine, run, now) and not schedules.promised(known, machine.me, run.tick.due_ms)


def may_run(machine: Machine, run: RunState, now: float) -> bool:
    """It is time by this peer's clock, and no earlier tick is in the way. What was cancelled may end at any time."""
    return run.cancel_asked or (waits_until(machine, run, now) is None and not behind(machine, run))


def waits_until(machine: Machine, run: RunState, now: float) -> float | None:
    """When (BOOTTIME) this peer's clock will have reached the tick; None once it has."""
    if run.tick is None:
        return None
    wall = wall_clock(machine, now)
    if wall is None:
        return now + AGAIN
    told = machine.state.schedules[run.tick.schedule].told
    early = calendar.fires_ms(told, run.tick.schedule, run.tick.due_ms) - TOLERANCE_MS - wall
    return now + (early + 1) / 1000 if early > 0 else None


def behind(machine: Machine, run: RunState) -> list[RunId]:
    """The ticks of its schedule that it waits for: those that have begun, then those due before it."""
    tick = run.tick
    if tick is None or machine.state.schedules[tick.schedule].told.overlap is Overlap.ALLOW:
        return []
    others = [other for other in _open_ticks(machine, tick.schedule, MAX_INTEGER) if other is not run]
    place = (not _has_begun(run), tick.due_ms) if others else (False, 0)
    return [other.run for other in others if other.tick and (not _has_begun(other), other.tick.due_ms) < place]


def _has_begun(run: RunState) -> bool:
    return any(job.final is not None or jobs.holders(job) for job in run.jobs.values())


def _open_ticks(machine: Machine, schedule: ScheduleId, upto_ms: int) -> list[RunState]:
    runs = map(machine.state.runs.__getitem__, machine.state.unfinished)
    return [
        run
        for run in runs
        if run.tick is not None and run.tick.schedule == schedule and run.tick.due_ms <= upto_ms
    ]


# ---- submitting ----


def look(machine: Machine, now: float) -> None:
    """Submit what is due, where nobody has; vote on moves, propose them."""
    ticker, state = machine.ticker, machine.state
    if not state.schedules or (now < ticker.at and not state.schedules_changed):
        return
    state.schedules_changed = False
    wall = wall_clock(machine, now)
    if wall is None or machine.me not in machine.members:
        ticker.at = math.inf
        return
    if not leases.settled(machine.leases, now):  # others may have done it: first hear them
        ticker.at = machine.leases.settled_at + leases.LIVE_PERIODS * machine.leases.period + 0.001
        return
    ticker.at = math.inf
    for known in list(state.schedules.values()):
        ticker.at = min(ticker.at, _look_at(machine, known, wall, now))


def _look_at(machine: Machine, known: ScheduleState, wall: int, now: float) -> float:
    """When to look at this schedule again."""
    watch = machine.ticker.watches.setdefault(known.schedule, Watch(known.due_from_ms - 1))
    if known.removed:
        watch.pending.clear()
        return math.inf
    again = moves.follow(machine, known, watch, wall, now)
    if known.paused or failures.has_paused_itself(machine.state, known):
        watch.pending.clear()
        return again
    _notice(machine, known, watch, wall, now)
    for due in sorted(watch.pending):
        again = min(again, _turn(machine, known, watch, due, wall, now))
    coming = calendar.next_due(machine.calendar, known.told.lines, max(wall, known.due_from_ms - 1))
    return again if coming is None else min(again, now + (coming - wall + 1) / 1000)


def _notice(machine: Machine, known: ScheduleState, watch: Watch, wall: int, now: float) -> None:
    """Ticks that became due since this peer looked, as `catch_up` says."""
    if wall + calendar.ON_TIME_MS < watch.upto_ms:
        watch.upto_ms = wall  # the clock had been ahead
    after = max(watch.upto_ms, known.due_from_ms - 1)
    for due in calendar.due_ticks(known.told, machine.calendar, after, wall):
        watch.pending.setdefault(due, now)
    watch.upto_ms = max(watch.upto_ms, wall)


def _turn(machine: Machine, known: ScheduleState, watch: Watch, due: int, wall: int, now: float) -> float:
    """Submit a pending tick, or let it pass, if it is this peer's turn; when to look again."""
    fires = calendar.fires_ms(known.told, known.schedule, due)
    late = wall - fires > calendar.ON_TIME_MS
    if due in known.ticks or (late and due in known.skipped) or due < known.due_from_ms:
        del watch.pending[due]
        return math.inf
    if late and _queues(known) and _open_ticks(machine, known.schedule, wall):
        watch.pending[due] = math.inf
        return now + AGAIN
    if watch.pending[due] == math.inf:
        watch.pending[due] = now
    at = max(watch.pending[due], now + (fires - wall) / 1000)
    at += RANK_DELAY * place_among_living(machine, tick_run(known.schedule, due), now)
    if at > now:
        return at
    del watch.pending[due]
    _decide(machine, known, due)
    return math.inf


def _queues(known: ScheduleState) -> bool:
    """Missed ticks are made up for one after the other: each is wanted, and none is to overlap."""
    return known.told.catch_up is CatchUp.ALL and known.told.overlap is not Overlap.ALLOW


def _decide(machine: Machine, known: ScheduleState, due: int) -> None:
    earlier = _open_ticks(machine, known.schedule, due - 1)
    overlap = known.told.overlap
    in_the_way = {Overlap.SKIP: bool(earlier), Overlap.BUFFER: len(earlier) > BUFFERED}.get(overlap, False)
    if in_the_way:
        if due not in known.skipped:
            machine.decide(TickSkipped(known.schedule, due))
        return
    if overlap is Overlap.CANCEL:
        for run in earlier:
            if not run.cancel_asked:
                machine.decide(CancelAsked(run.run))
    machine.decide(TickSubmitted(known.schedule, due))


def place_among_living(machine: Machine, origin: RunId | ScheduleId, now: float) -> int:
    """This peer's place in the order of Hamming distance to a hash, of those whose session lives."""
    order: list[PeerId] = [
        entry.peer for entry in ownership.rank(RunId(origin), origin, ((peer, 1) for peer in machine.members))
    ]
    return sum(1 for peer in order[: order.index(machine.me)] if leases.live(machine.leases, peer, now))
