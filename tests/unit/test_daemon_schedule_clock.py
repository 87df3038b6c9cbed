"""The clock that schedules go by in tests and demonstrations."""

from __future__ import annotations

import argparse
import time

import pytest

from clockmesh.daemon.app import fast_clock


def test_it_is_the_wall_clock_at_its_beginning_and_runs_so_many_times_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = fast_clock("60@1800000000")
    for real, shown in ((1_800_000_000.0, 1_800_000_000.0), (1_800_000_002.5, 1_800_000_150.0)):
        monkeypatch.setattr(time, "time", lambda real=real: real)
        assert clock() == shown


@pytest.mark.parametrize("text", ["60", "0@1", "fast@1", "60@", "-1@5"])
def test_what_is_no_clock_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 60@1800000000"):
        fast_clock(text)
