"""The verdicts of `./dev bench mesh`."""

from __future__ import annotations

import pytest

from benchmarks._measure import Row, print_table


def row(*figures: float, more: bool = False) -> Row:
    made = Row("what", "s", 60 if more else 2, 100 if more else 1, "bare", more_is_better=more)
    for figure in figures:
        made.add(figure, 2.0)
    return made


def test_one_disturbed_round_does_not_change_a_verdict() -> None:
    assert row(0.8, 30.0, 0.9).verdict == "aim"
    assert row(30.0, 0.8, 31.0).verdict == "short"


@pytest.mark.parametrize(("figure", "verdict"), [(1.0, "aim"), (1.5, "ok"), (2.0, "ok"), (2.1, "short")])
def test_less_is_better(figure: float, verdict: str) -> None:
    assert row(figure).verdict == verdict


@pytest.mark.parametrize(("figure", "verdict"), [(100, "aim"), (99, "ok"), (60, "ok"), (59, "short")])
def test_more_is_better(figure: float, verdict: str) -> None:
    assert row(figure, more=True).verdict == verdict


def test_a_table_says_when_the_machine_was_busy_with_other_work(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(1.0, 3.0), row()]
    print_table(rows, busy=0.1)
    quiet = capsys.readouterr().out.splitlines()
    assert "ok" in quiet[-1]
    assert "1.00 of bare" in quiet[-1]
    assert len(quiet) == 3
    print_table(rows, busy=0.5)
    assert "Others used 50%" in capsys.readouterr().out
