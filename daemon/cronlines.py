"""What cron lines mean: cronsim over the time zones of this machine, as the coordinator's `Calendar`.

Daylight saving as Debian's cron has it: a fixed time that the clock skips fires once when it has gone on, one that it
shows twice fires once; lines with a `*` hour or minute go by real time.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from clockmesh.protocol.schedules import CronLine


def zone(name: str) -> tzinfo | None:
    """The time zone of this IANA name ('' is UTC); None where this machine knows none."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


class CronCalendar:
    """Pure: equal times for equal lines, as long as the time zone data are the same."""

    def after(self, line: CronLine, ms: int) -> int | None:
        return _next(line, ms // 1000, reverse=False)

    def before(self, line: CronLine, ms: int) -> int | None:
        return _next(line, -(-ms // 1000), reverse=True)


def _next(line: CronLine, seconds: int, *, reverse: bool) -> int | None:
    if (tz := zone(line.timezone)) is None:
        return None
    try:
        found = next(CronSim(_upright(line.cron), datetime.fromtimestamp(seconds, tz), reverse=reverse), None)
    except (CronSimError, ValueError, OverflowError, OSError):  # a stranger's line, or a time that no calendar has
        return None
    return None if found is None else int(found.timestamp()) * 1000


def _upright(cron: str) -> str:
    """With the names of cronsim, which wants a `*` in a list to stand alone: `*,5` is `*`."""
    fields = [("*" if "*" in field.split(",") else field) for field in cron.split()]
    return " ".join(fields)
