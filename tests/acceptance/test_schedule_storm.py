"""Every tick runs once and on time while daemons are killed, frozen and come back."""

from __future__ import annotations

import pytest

from tests.acceptance.schedule_storm import Storm, percentile, run_storm

LATE_LIMIT_S = 1.0
SHORT_LATE_LIMIT_S = 5.0
"""With a clock that runs fast: a daemon looks at it once a second only. Says that ticks come at all, on a busy machine
too."""


def test_no_tick_is_missed_or_doubled_while_daemons_come_and_go() -> None:
    """Minutes of six seconds."""
    outcome = run_storm(Storm(schedules=4, ticks=2, speed=10, period_s=6.0, away_s=3.0, overlap="allow"))
    print(outcome.told())
    assert (outcome.missed, outcome.doubled) == ([], [])
    assert len(outcome.late) == outcome.due
    assert percentile(outcome.late, 0.99) <= SHORT_LATE_LIMIT_S


@pytest.mark.long
def test_200_ticks_of_20_schedules_in_ten_minutes_of_kills_and_freezes() -> None:
    outcome = run_storm(Storm())
    print(outcome.told())
    assert outcome.due == 200
    assert (outcome.missed, outcome.doubled) == ([], [])
    assert len(outcome.late) == outcome.due
    assert percentile(outcome.late, 0.99) <= LATE_LIMIT_S
