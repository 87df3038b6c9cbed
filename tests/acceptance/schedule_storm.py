"""Schedules in a storm: daemons are killed or frozen in turn while ticks are due, and every tick is accounted for.

    python -m tests.acceptance.schedule_storm --ticks 3

What was due is known beforehand. That it ran, and how often, is told by a file that its job writes; when its
submission was on whose disk, by the daemons' logs (`tick_submitted`, `tick_stored`: written after the commit).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from clockmesh.daemon.demo.peers import Mesh, Peer, share_with_jobs, wait_until
from tests.acceptance.conftest import join_all, new_mesh

_NAMES = ("alpha", "beta", "gamma")
_QUORUM = 2
_ADD_S = 0.5
"""A schedule is added within."""
_LEAD = 1.2
"""Outages before the first due time that the first period begins."""
_SETTLED_S = 60.0
"""What was due has ended so long after the last outage, at the latest."""


@dataclass(frozen=True, slots=True)
class Storm:
    """All seconds are real ones."""

    schedules: int = 20
    ticks: int = 10
    """Of each schedule."""
    speed: int = 1
    """How many times as fast the schedules' clock runs."""
    period_s: float = 20.0
    """Between two outages; each begins at a random moment of it."""
    away_s: float = 10.0
    seed: int = 1
    overlap: str = "skip"
    """As `schedule add` takes it. Where a minute is hardly longer than an outage, a tick may be due before the last one
    has ended: then it is skipped, unless they may overlap."""

    @property
    def minute_s(self) -> float:
        return 60 / self.speed


@dataclass(slots=True)
class Outcome:
    due: int
    missed: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """Seconds from due to the submission's being on a quorum's disks, the least first; without those of ticks that
    never came so far."""
    start_late: list[float] = field(default_factory=list)
    """Seconds from due to the first line of the job."""
    outages: Counter[str] = field(default_factory=Counter)
    covered: int = 0
    """Times at which ticks were due while a daemon was away."""

    def told(self) -> str:
        faults = ", ".join(f"{count} {how}" for how, count in sorted(self.outages.items()))
        return (
            f"{self.due} ticks due, {len(self.missed)} missed, {len(self.doubled)} doubled; daemons {faults}, "
            f"one away at {self.covered} of the due times\n"
            f"due to submission on {_QUORUM} peers' disks: {_spread(self.late)}\n"
            f"due to the job's first step:          {_spread(self.start_late)}\n"
            f"load {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores"
        )


def percentile(values: list[float], share: float) -> float:
    """Of sorted values the smallest that `share` of them do not exceed."""
    return values[max(0, -(-int(len(values) * share * 1000) // 1000) - 1)] if values else float("nan")


def _spread(values: list[float]) -> str:
    return (f"p50 {percentile(values, 0.5):.3f} s, p99 {percentile(values, 0.99):.3f} s, "
            f"most {values[-1]:.3f} s" if values else "none")


def run_storm(storm: Storm) -> Outcome:
    """Live through it; DemoError when daemons do not come up."""
    with tempfile.TemporaryDirectory(prefix="cm-storm-") as name, new_mesh(Path(name)) as mesh:
        folder = Path(name)
        share_with_jobs(folder)
        epoch = int(time.time()) // 60 * 60
        options = () if storm.speed == 1 else ("--schedule-clock", f"{storm.speed}@{epoch}")
        join_all(mesh, *_NAMES, options=options)
        sides = folder / "sides"
        sides.mkdir()
        share_with_jobs(sides)
        flow = folder / "mark.yml"
        flow.write_text(_workflow(sides))
        earliest = time.time() - epoch + _ADD_S * storm.schedules + _LEAD * storm.away_s
        first = epoch + (int(earliest / storm.minute_s) + 1) * storm.minute_s
        words = ("schedule", "add", str(flow), "--overlap", storm.overlap, "--name")
        ids = [mesh["alpha"].json(*words, f"s{number:02}")["schedule"] for number in range(storm.schedules)]
        dues = [first + number * storm.minute_s for number in range(storm.ticks)]
        outcome = Outcome(storm.schedules * storm.ticks)
        for start in _outage_starts(storm, dues):
            _outage(storm, mesh, start, dues, outcome)
        for schedule in ids:
            mesh["beta"].run("schedule", "remove", schedule)
        wait_until(lambda: _all_ended(mesh), "what was due has ended", _SETTLED_S)
        _judge(storm, mesh, sides, ids, dues, epoch, outcome)
        return outcome


def _workflow(sides: Path) -> str:
    return (
        "name: Mark (p2p-workflow)\non:\n  schedule: [{cron: '* * * * *'}]\njobs:\n  mark:\n    runs-on: self-hosted\n"
        "    steps:\n"
        f"      - run: echo \"$CLOCKMESH_ATTEMPT $CLOCKMESH_PEER $(date +%s.%N)\" >> {sides}/$CLOCKMESH_RUN\n"
    )


def _outage_starts(storm: Storm, dues: list[float]) -> Iterator[float]:
    """One in each period. Periods begin a little more than an outage before a due time, so that some daemons are away
    at that time and others have just come back."""
    rng = random.Random(storm.seed)
    window = dues[0] - _LEAD * storm.away_s
    while window < dues[-1] + storm.away_s:
        yield window + rng.uniform(0, storm.period_s - storm.away_s)
        window += storm.period_s


def _outage(storm: Storm, mesh: Mesh, start: float, dues: list[float], outcome: Outcome) -> None:
    """Kill or freeze one daemon, alone: its runner host goes on."""
    number = sum(outcome.outages.values())
    peer = mesh[_NAMES[(storm.seed + number) % len(_NAMES)]]
    time.sleep(max(0.0, start - time.time()))
    assert peer.daemon is not None
    outcome.covered += any(start <= due <= start + storm.away_s for due in dues)
    if number % 2:
        outcome.outages["frozen"] += 1
        peer.daemon.send_signal(signal.SIGSTOP)
        time.sleep(max(0.0, start + storm.away_s - time.time()))
        peer.daemon.send_signal(signal.SIGCONT)
        return
    outcome.outages["killed"] += 1
    peer.kill()
    time.sleep(max(0.0, start + storm.away_s - time.time()))
    peer.start()


def _all_ended(mesh: Mesh) -> bool:
    return all(run["conclusion"] for run in mesh["alpha"].json("run", "list", "--limit", "0")["runs"])


@dataclass(frozen=True, slots=True)
class _Stored:
    schedule: str
    due: float
    run: str
    at: float


def _stored(peer: Peer) -> Iterator[_Stored]:
    """When which tick's submission was on this peer's disk, from its log."""
    for line in peer.log.read_text().splitlines():
        if '"tick_stored"' in line or '"tick_submitted"' in line:
            told = json.loads(line)
            yield _Stored(told["schedule"], _seconds(told["due"]), told["run"], _seconds(told["timestamp"]))


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _judge(storm: Storm, mesh: Mesh, sides: Path, ids: list[str], dues: list[float], epoch: int,
           outcome: Outcome) -> None:
    on_disk: dict[tuple[str, float], dict[str, float]] = {}
    runs: dict[tuple[str, float], str] = {}
    for peer in mesh:
        for tick in _stored(peer):
            due = epoch + (tick.due - epoch) / storm.speed
            place = tick.schedule, round(due, 3)
            runs[place] = tick.run
            first = on_disk.setdefault(place, {})
            first[peer.name] = min(tick.at, first.get(peer.name, tick.at))
    for schedule in ids:
        for due in dues:
            place = schedule, round(due, 3)
            side = sides / runs.get(place, "none")
            lines = side.read_text().splitlines() if side.exists() else []
            label = f"{schedule[:8]} due {due - dues[0]:.0f} s: {lines}"
            if not lines:
                outcome.missed.append(label)
            elif len(lines) > 1:
                outcome.doubled.append(label)
            times = sorted(on_disk.get(place, {}).values())
            if len(times) >= _QUORUM:
                outcome.late.append(times[_QUORUM - 1] - due)
            if lines:
                outcome.start_late.append(float(lines[0].split()[2]) - due)
    outcome.late.sort()
    outcome.start_late.sort()


def main() -> None:
    asked = argparse.ArgumentParser(description="Schedules in a storm.")
    for name, default in (("schedules", 20), ("ticks", 10), ("speed", 1), ("seed", 1)):
        asked.add_argument(f"--{name}", type=int, default=default)
    for name, seconds in (("period", 20.0), ("away", 10.0)):
        asked.add_argument(f"--{name}", type=float, default=seconds)
    told = asked.parse_args()
    outcome = run_storm(Storm(told.schedules, told.ticks, told.speed, told.period, told.away, told.seed))
    print("\n".join([outcome.told(), *outcome.missed, *outcome.doubled]))


if __name__ == "__main__":
    main()
