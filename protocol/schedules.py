"""What peers say of schedules: workflows that are due at the times of their cron lines, each tick one run.

A schedule is the *schedule set* that began it, and then the moves that a quorum of the electorate before accepted
(DESIGN 5.11): a move changes who votes on ticks due from a time on, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.ids import PeerId, ScheduleId, SetHash
from clockmesh.protocol.plan import Guard, Plan


@dataclass(frozen=True, slots=True)
class CronLine:
    """One entry of `on.schedule`."""

    cron: str
    """Five fields."""
    timezone: str = ""
    """An IANA name; '' is UTC."""


class CatchUp(StrEnum):
    """What becomes of ticks that nobody submitted when they were due."""

    SKIP = "skip"
    LAST = "last"
    """Of those missed in a row, the newest."""
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a tick that is due while an earlier one has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    BUFFER = "buffer"
    """One waits for the end of the one that runs; what is due while one waits is skipped."""
    CANCEL = "cancel"
    """The earlier one is asked to end, and this one waits for that."""


@dataclass(frozen=True, slots=True)
class ScheduleSet:
    """A schedule begins. The hash of this event is its id (`naming.schedule_id`)."""

    nonce: bytes
    """16 bytes."""
    name: str
    lines: tuple[CronLine, ...]
    plan: Plan
    """Of every tick; for a remote the one whose only job finds commit and plan."""
    guard: Guard
    guard_follows: bool
    """Nobody asked for this guard: a move may make it a quorum once there are members enough."""
    lease_ms: int
    priority: float
    electorate: tuple[PeerId, ...]
    """Sorted."""
    catch_up: CatchUp
    catch_up_age_s: int
    """Ticks missed for longer are not made up for."""
    catch_up_count: int
    """So many are, at most, in one go."""
    overlap: Overlap
    jitter_s: int
    """Each tick waits up to so long after its due time, by a hash of schedule and due time."""
    due_from_ms: int
    """Ticks due before are none. Wall time in ms since 1970, as all due times are."""


@dataclass(frozen=True, slots=True)
class ScheduleMoved:
    """Another electorate is proposed for ticks due from T on; it votes once a quorum of the one before accepted."""

    schedule: ScheduleId
    follows: SetHash
    """The set or move whose electorate decides on this one."""
    number: int
    """From 1: a further proposal to follow the same one, after no earlier can be accepted any more."""
    guard: Guard
    electorate: tuple[PeerId, ...]
    due_from_ms: int
    """T."""


@dataclass(frozen=True, slots=True)
class ScheduleVoted:
    """Its author's one vote among the moves with this `follows` and `number`."""

    schedule: ScheduleId
    follows: SetHash
    number: int
    move: SetHash | None
    """Whose author grants no tick due from its T to the electorate before; None: it accepts none of this number."""


@dataclass(frozen=True, slots=True)
class ScheduleRemoved:
    schedule: ScheduleId


@dataclass(frozen=True, slots=True)
class SchedulePaused:
    schedule: ScheduleId
    count: int
    """One more than that of the pause or resumption its author knew; the highest stands, of equal ones the pause."""


@dataclass(frozen=True, slots=True)
class ScheduleResumed:
    schedule: ScheduleId
    count: int
    due_from_ms: int
    """Ticks due before, in the pause, are none."""


@dataclass(frozen=True, slots=True)
class TickSubmitted:
    """One run (`naming.tick_run`), whoever submits it and how often: plan, guard and electorate are the schedule's."""

    schedule: ScheduleId
    due_ms: int


@dataclass(frozen=True, slots=True)
class TickSkipped:
    """Its author let this tick pass, as the schedule's `overlap` says. A submission of it counts all the same."""

    schedule: ScheduleId
    due_ms: int


@dataclass(frozen=True, slots=True)
class SchedulePausesAfter:
    """It pauses itself after so many failed ticks in a row; of several the lowest number stands."""

    schedule: ScheduleId
    failures: int


ScheduleFact = (
    ScheduleSet
    | ScheduleMoved
    | ScheduleVoted
    | ScheduleRemoved
    | SchedulePaused
    | ScheduleResumed
    | TickSubmitted
    | TickSkipped
    | SchedulePausesAfter
)
