"""Every cron line that a workflow may have has a meaning, and one that agrees with its fields."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from clockmesh.daemon.cronlines import CronCalendar
from clockmesh.protocol.schedules import CronLine
from clockmesh.runner.cron import cron_problem

CALENDAR = CronCalendar()
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@st.composite
def parts(draw: st.DrawFn, low: int, high: int) -> str:
    first = draw(st.integers(low, high))
    text = draw(st.sampled_from(("*", str(first), f"{first}-{draw(st.integers(first, high))}")))
    return text + draw(st.sampled_from(("", "", f"/{draw(st.integers(1, high))}")))


LINES = st.tuples(
    *(st.lists(parts(low, high), min_size=1, max_size=2).map(",".join) for low, high in BOUNDS)
).map(" ".join)
TIMES = st.integers(1_600_000_000_000, 1_900_000_000_000)


@given(LINES, st.sampled_from(("", "Europe/Berlin", "Asia/Kolkata")), TIMES)
def test_before_and_after_agree_on_every_line(line: str, timezone: str, ms: int) -> None:
    assert cron_problem(line) is None
    told = CronLine(line, timezone)
    due = CALENDAR.after(told, ms)
    assume(due is not None)
    assert due > ms
    assert CALENDAR.before(told, due + 1) == due
    assert (CALENDAR.before(told, due) or 0) <= ms


@given(st.integers(0, 59), st.integers(4, 23), TIMES)
def test_a_time_of_day_is_what_the_clock_on_that_wall_shows(minute: int, hour: int, ms: int) -> None:
    due = CALENDAR.after(CronLine(f"{minute} {hour} * * *", "Europe/Berlin"), ms)
    assert due is not None
    shown = datetime.fromtimestamp(due / 1000, UTC).astimezone(ZoneInfo("Europe/Berlin"))
    assert (shown.hour, shown.minute, shown.second) == (hour, minute, 0)
    assert due - ms <= 25 * 3600 * 1000
