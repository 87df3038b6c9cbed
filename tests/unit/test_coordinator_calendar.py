"""Which ticks are due, by cron lines with their time zones and by each catch-up; wall times are given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from clockmesh.coordinator.calendar import due_ticks, fires_ms, last_due, line_of, next_due
from clockmesh.daemon.cronlines import CronCalendar
from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import CatchUp, CronLine, Overlap, ScheduleSet
from tests.unit.coordinator_mesh import plan

CALENDAR = CronCalendar()
SCHEDULE = ScheduleId(bytes(32))


def at(text: str) -> int:
    """`2026-03-29 01:30` in UTC."""
    return round(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp() * 1000)


def told(*crons: str, timezone: str = "", **more: object) -> ScheduleSet:
    lines = tuple(CronLine(cron, timezone) for cron in crons)
    made = ScheduleSet(
        bytes(16), "s", lines, plan(), Guard.QUORUM, True, 15_000, 5.0, (), CatchUp.LAST, 7 * 86_400, 100,
        Overlap.SKIP, 0, 0,
    )
    return replace(made, **more)


def times(cron: str, timezone: str, start: str, count: int) -> list[str]:
    """The next due times, in UTC."""
    found, ms = [], at(start)
    for _ in range(count):
        ms = CALENDAR.after(CronLine(cron, timezone), ms)
        found.append(f"{datetime.fromtimestamp(ms / 1000, UTC):%m-%d %H:%M}")
    return found


def test_a_time_of_day_is_that_of_its_timezone_in_summer_and_winter() -> None:
    assert times("0 6 * * *", "Europe/Berlin", "2026-03-27 12:00", 3) == ["03-28 05:00", "03-29 04:00", "03-30 04:00"]
    assert times("0 6 * * *", "", "2026-03-27 12:00", 3) == ["03-28 06:00", "03-29 06:00", "03-30 06:00"]


def test_a_time_that_the_clock_skips_fires_once_when_it_has_gone_on() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_the_clock_shows_twice_fires_once() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_every_quarter_of_an_hour_goes_by_real_time_when_the_clock_is_set() -> None:
    assert times("*/30 * * * *", "Europe/Berlin", "2026-10-25 00:00", 4) == [
        "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00",
    ]


def test_before_and_after_are_strict_and_agree() -> None:
    line = CronLine("*/5 * * * *")
    noon = at("2026-05-01 12:00")
    assert CALENDAR.after(line, noon) == noon + 300_000
    assert CALENDAR.after(line, noon - 1) == noon
    assert CALENDAR.before(line, noon) == noon - 300_000
    assert CALENDAR.before(line, noon + 1) == noon


@pytest.mark.parametrize("line", [CronLine("0 0 31 11 *"), CronLine("junk"), CronLine("0 0 * * *", "Mars/Base")])
def test_a_line_without_any_time_is_never_due(line: CronLine) -> None:
    assert CALENDAR.after(line, at("2026-05-01 12:00")) is None
    assert CALENDAR.before(line, at("2026-05-01 12:00")) is None


def test_several_lines_make_one_schedule_and_each_tick_has_its_line() -> None:
    lines = told("0 6 * * *", "30 6 * * 1").lines
    monday = at("2026-05-04 05:00")
    first = next_due(CALENDAR, lines, monday)
    second = next_due(CALENDAR, lines, first)
    assert (first, second) == (at("2026-05-04 06:00"), at("2026-05-04 06:30"))
    assert line_of(CALENDAR, lines, second) == lines[1]
    assert line_of(CALENDAR, lines, second + 1000) is None
    assert last_due(CALENDAR, lines, second) == first


NOW = at("2026-05-04 12:00") + 30_000


@pytest.mark.parametrize(
    ("catch_up", "after", "expected"),
    [
        (CatchUp.SKIP, "2026-05-04 11:55", ["12:00"]),
        (CatchUp.LAST, "2026-05-04 11:55", ["12:00"]),
        (CatchUp.ALL, "2026-05-04 11:55", ["11:56", "11:57", "11:58", "11:59", "12:00"]),
    ],
)
def test_each_catch_up_makes_up_for_its_own(catch_up: CatchUp, after: str, expected: list[str]) -> None:
    found = due_ticks(told("* * * * *", catch_up=catch_up), CALENDAR, at(after), NOW)
    assert [f"{datetime.fromtimestamp(due / 1000, UTC):%H:%M}" for due in found] == expected


def test_skip_lets_an_old_tick_be_and_last_does_not() -> None:
    hourly = told("0 * * * *", catch_up=CatchUp.SKIP)
    later = at("2026-05-04 12:10")
    assert due_ticks(hourly, CALENDAR, at("2026-05-04 08:00"), later) == []
    assert due_ticks(replace(hourly, catch_up=CatchUp.LAST), CALENDAR, at("2026-05-04 08:00"), later) == [
        at("2026-05-04 12:00")
    ]


def test_catching_up_is_bounded_by_age_and_count() -> None:
    every = told("* * * * *", catch_up=CatchUp.ALL, catch_up_count=3)
    assert len(due_ticks(every, CALENDAR, at("2026-05-01 00:00"), NOW)) == 3
    aged = replace(every, catch_up_count=100, catch_up_age_s=120)
    assert due_ticks(aged, CALENDAR, at("2026-05-01 00:00"), NOW) == [at("2026-05-04 11:59"), at("2026-05-04 12:00")]


def test_jitter_is_the_same_for_all_and_spread_within_its_bound() -> None:
    jittery = told("* * * * *", jitter_s=30)
    waits = [fires_ms(jittery, SCHEDULE, due) - due for due in range(0, 100 * 60_000, 60_000)]
    assert waits == [fires_ms(jittery, SCHEDULE, due) - due for due in range(0, 100 * 60_000, 60_000)]
    assert all(0 <= wait < 30_000 for wait in waits)
    assert len({wait // 5000 for wait in waits}) == 6
    assert fires_ms(told("* * * * *"), SCHEDULE, 60_000) == 60_000
