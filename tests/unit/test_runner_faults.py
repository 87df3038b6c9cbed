"""Faults on demand: what is asked for happens, once; what cannot be understood is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clockmesh.runner.faults import FaultError, Faults, Point

_PASSES = """
import os, sys
from clockmesh.runner.faults import Faults, Point
faults = Faults.from_environment(os.environ)
for number in range(1, 6):
    print(number, flush=True)
    faults.passing(Point.AFTER_SPAWN)
    faults.passing(Point.BEFORE_COMMIT)
"""


def passes(path: Path) -> subprocess.CompletedProcess[str]:
    """A process that passes two points five times."""
    environment = {"CLOCKMESH_FAULTS": str(path)}
    return subprocess.run([sys.executable, "-c", _PASSES], env=environment, capture_output=True, text=True)


def test_a_process_dies_at_the_nth_passing_and_the_next_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    file.write_text("crash before-commit 3\n")
    first, second = passes(file), passes(file)
    assert (first.returncode, first.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])
    assert (second.returncode, second.stdout.split()) == (0, ["1", "2", "3", "4", "5"])


def test_without_a_file_nothing_happens_until_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    faults = Faults(file)
    faults.passing(Point.BEFORE_COMMIT)
    file.write_text("stall before-commit 0.05\n")
    began = time.monotonic()
    faults.passing(Point.BEFORE_EFFECT)
    assert time.monotonic() - began < 0.05
    faults.passing(Point.BEFORE_COMMIT)
    assert time.monotonic() - began >= 0.05


def test_a_stall_comes_at_most_once_in_its_period(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    file.write_text("stall before-commit 0.05 every 60\n")
    faults = Faults(file)
    began = time.monotonic()
    for _ in range(100):
        faults.passing(Point.BEFORE_COMMIT)
    assert 0.05 <= time.monotonic() - began < 1.0


@pytest.mark.parametrize("line", ["crash", "crash before-lunch", "stall before-commit", "stall before-commit soon",
                                  "burn before-commit", "crash before-commit 1 2"])  # fmt: skip
def test_a_line_that_means_nothing_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    file = tmp_path / "faults"
    file.write_text(f"crash after-commit\n{line}\n")
    with pytest.raises(FaultError, match=r"faults:2: .*(the points are before-commit, .*|stall POINT SECONDS)"):
        Faults(file)


def test_the_points_are_all_documented() -> None:
    told = (Path(__file__).parents[2] / "docs/faults.md").read_text()
    assert all(f"| `{point}` | {'host' if point.startswith('host-') else 'daemon'} |" in told for point in Point)
