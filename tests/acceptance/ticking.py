"""Jobs that leave a trace: every 50 ms a line of (attempt, BOOTTIME, pid) in a file beside, so that a test can see
afterwards which attempts ran when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PERIOD_S = 0.05

_SCRIPT = f"""\
import os, sys, time
trace = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    os.write(trace, f"{{os.environ['CLOCKMESH_ATTEMPT']}} {{now}} {{os.getpid()}}\\n".encode())
    time.sleep({PERIOD_S})
"""


@dataclass(frozen=True)
class Tick:
    attempt: int
    boottime_ns: int
    pid: int


@dataclass(frozen=True)
class Span:
    """One attempt, from its first tick to its last."""

    attempt: int
    first_ns: int
    last_ns: int
    ticks: int
    longest_gap_s: float

    @property
    def seconds(self) -> float:
        return (self.last_ns - self.first_ns) / 1e9


def ticking_workflow(folder: Path, trace: Path, seconds: float) -> bytes:
    """A workflow with one job `tick` that ticks into `trace` for so long and gives its attempt as output `attempt`."""
    script = folder / "tick.py"
    if not script.exists():
        script.write_text(_SCRIPT)
    return f"""\
name: {trace.name}
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  tick:
    runs-on: self-hosted
    outputs:
      attempt: ${{{{ steps.tick.outputs.attempt }}}}
    steps:
      - id: tick
        run: |
          python3 -S -E {script} {trace} {seconds}
          echo "attempt=$CLOCKMESH_ATTEMPT" >> "$GITHUB_OUTPUT"
""".encode()


def read(trace: Path) -> list[Tick]:
    if not trace.exists():
        return []
    *whole, _ = trace.read_text().split("\n")
    return [Tick(*(int(word) for word in line.split())) for line in whole]


def spans(trace: Path) -> list[Span]:
    """The attempts that ran, in their order."""
    by_attempt: dict[int, list[int]] = {}
    for tick in read(trace):
        by_attempt.setdefault(tick.attempt, []).append(tick.boottime_ns)
    return [_span(attempt, sorted(times)) for attempt, times in sorted(by_attempt.items())]


def _span(attempt: int, times: list[int]) -> Span:
    gap = max((later - earlier for earlier, later in pairwise(times)), default=0)
    return Span(attempt, times[0], times[-1], len(times), gap / 1e9)


def overlaps(found: list[Span]) -> list[tuple[int, int, float]]:
    """(attempt, the next one, seconds that they ran side by side) of each pair that was not one after the other."""
    return [(earlier.attempt, later.attempt, (earlier.last_ns - later.first_ns) / 1e9)
            for earlier, later in pairwise(found) if later.first_ns <= earlier.last_ns]
