from __future__ import annotations

import pytest

from clockmesh.runner.cron import cron_problem

_LINES = ["0 6 * * *", "*/5 * * * *", "0 0 1,15 * mon-fri", "5-59/10 8-18/2 * JAN-mar 0", "00 000 01 1 6"]


@pytest.mark.parametrize("line", _LINES)
def test_five_fields_within_their_bounds_are_a_cron_line(line: str) -> None:
    assert cron_problem(line) is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("61 * * * *", "the minute `61` is not within 0-59"),
        ("* 24 * * *", "the hour `24`"),
        ("* * 0 * *", "the day of the month `0`"),
        ("* * * 13 *", "the month `13`"),
        ("* * * * 7", "the day of the week `7`"),
        ("5-1 * * * *", "the minute `5-1`"),
        ("*/0 * * * *", "the minute `*/0`"),
        ("a * * * *", "the minute `a`"),
        ("1,,2 * * * *", "the minute `1,,2`"),
        ("0 6 * *", "it has 4 fields, not 5"),
        ("@daily", "it has 1 field, not 5"),
    ],
)
def test_what_is_wrong_with_a_cron_line_is_said(line: str, problem: str) -> None:
    assert problem in (cron_problem(line) or "")
