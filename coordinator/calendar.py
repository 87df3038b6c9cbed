"""Which ticks are due: pure arithmetic over cron lines and a wall time that is given, never read.

What a cron line means (time zones, daylight saving) is asked of a `Calendar`, which whoever makes the machine brings
along: `daemon/cronlines.py` has the real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.schedules import CatchUp, CronLine, ScheduleSet

ON_TIME_MS = 60_000
"""A tick that is not older counts as on time: as long as the finest schedule leaves between two."""


class Calendar(Protocol):
    """Times in ms since 1970. None: the line has no such time, or its timezone is not known here."""

    def after(self, line: CronLine, ms: int) -> int | None:
        """The first time of this line after `ms`."""
        ...

    def before(self, line: CronLine, ms: int) -> int | None:
        """The last time of this line before `ms`."""
        ...


class NoCalendar:
    """Knows no line: a machine with it makes no ticks of its own."""

    def after(self, line: CronLine, ms: int) -> int | None:
        return None

    def before(self, line: CronLine, ms: int) -> int | None:
        return None


def next_due(calendar: Calendar, lines: Sequence[CronLine], ms: int) -> int | None:
    """The first time after `ms` at which one of the lines is due."""
    return min((due for due in (calendar.after(line, ms) for line in lines) if due is not None), default=None)


def last_due(calendar: Calendar, lines: Sequence[CronLine], ms: int) -> int | None:
    """The last time before `ms` at which one of the lines was due."""
    return max((due for due in (calendar.before(line, ms) for line in lines) if due is not None), default=None)


def due_ticks(told: ScheduleSet, calendar: Calendar, after_ms: int, wall_ms: int) -> list[int]:
    """The due times after `after_ms` and up to now that `catch_up` lets happen, the oldest first."""
    age_ms = told.catch_up_age_s * 1000
    if told.catch_up is CatchUp.SKIP:
        age_ms = ON_TIME_MS + told.jitter_s * 1000
    oldest = max(after_ms, wall_ms - age_ms)
    most = told.catch_up_count if told.catch_up is CatchUp.ALL else 1
    found: list[int] = []
    at = last_due(calendar, told.lines, wall_ms + 1)
    while at is not None and at > oldest and len(found) < most:
        found.append(at)
        at = last_due(calendar, told.lines, at)
    return found[::-1]


def fires_ms(told: ScheduleSet, schedule: ScheduleId, due_ms: int) -> int:
    """When the tick may start: its due time and its share of the jitter, the same for all peers."""
    if not told.jitter_s:
        return due_ms
    share = int.from_bytes(sha256(b"clockmesh/jitter" + schedule + due_ms.to_bytes(8, "big")).digest()[:4], "big")
    return due_ms + told.jitter_s * 1000 * share // 2**32


def line_of(calendar: Calendar, lines: Sequence[CronLine], due_ms: int) -> CronLine | None:
    """The first line that is due then: the tick's own."""
    return next((line for line in lines if calendar.before(line, due_ms + 1) == due_ms), None)
