"""`python -m tests.simulation --seed N --schedules M [--peers P] [--guard quorum|lease] [--ticks]`

Runs M schedules, seeds N, N+1, ...; exit 0 with a summary, or 1 at the first violation with its seed, the command
that replays it alone, and its trace.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from clockmesh.protocol.plan import Guard
from tests.simulation.mesh import Mesh, Outcome
from tests.simulation.mutations import RULES, without
from tests.simulation.scenario import draw


@dataclass(frozen=True, slots=True)
class Options:
    seed: int
    schedules: int
    peers: int
    guard: Guard
    faults: bool
    drift: float | None
    lacking: str | None
    jobs: int
    trace: bool
    ticks: bool


def run_schedule(seed: int, options: Options, *, trace: bool = False) -> Outcome:
    scenario = draw(seed, options.peers, options.guard, faults=options.faults, drift=options.drift)
    with without(options.lacking):
        return Mesh(seed, scenario, trace=trace, ticks=options.ticks).run()


def run_all(options: Options) -> Iterator[Outcome]:
    """The outcomes in the order of seeds, whatever number of processes works on them."""
    seeds = range(options.seed, options.seed + options.schedules)
    work = partial(run_schedule, options=options)
    if options.jobs == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.Pool(options.jobs) as pool:
        yield from pool.imap(work, seeds, chunksize=8)


def replay_command(seed: int, options: Options) -> str:
    words = ["python -m tests.simulation", f"--seed {seed} --schedules 1 --peers {options.peers}"]
    words.append(f"--guard {options.guard}")
    if not options.faults:
        words.append("--no-faults")
    if options.drift is not None:
        words.append(f"--drift {options.drift}")
    if options.ticks:
        words.append("--ticks")
    if options.lacking:
        words.append(f"--without {options.lacking}")
    return " ".join(words)


def report(outcome: Outcome, options: Options) -> None:
    """Tell how the promise was broken; the schedule is run again with its trace."""
    traced = run_schedule(outcome.seed, options, trace=True)
    print("\n".join(traced.lines))
    print(f"\nseed {outcome.seed}: {outcome.violation}\nreplay: {replay_command(outcome.seed, options)}")


def summary(outcomes: list[Outcome], seconds: float, options: Options) -> str:
    jobs = max(1, sum(outcome.jobs for outcome in outcomes))
    claims, starts = sum(outcome.claims for outcome in outcomes), sum(outcome.starts for outcome in outcomes)
    finals, duplicates = sum(outcome.finals for outcome in outcomes), sum(outcome.duplicates for outcome in outcomes)
    ticks = f"{sum(outcome.ticks for outcome in outcomes)} ticks, " if options.ticks else ""
    return (
        f"{len(outcomes)} schedules of {options.peers} peers under {options.guard}: no violation; {ticks}{jobs} jobs, "
        f"{claims / jobs:.2f} claims/job, {starts / jobs:.2f} starts/job, {finals} finals, "
        f"{duplicates} starts beyond the first; {seconds:.1f} s"
    )


def read_options(words: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule")
    parser.add_argument("--schedules", type=int, default=100)
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--guard", type=Guard, choices=list(Guard), default=Guard.QUORUM)
    parser.add_argument("--no-faults", action="store_true", help="nothing goes wrong; then no job may start twice")
    parser.add_argument("--drift", type=float, help="of clocks, each way (0.05 or 0.10 by the seed)")
    parser.add_argument("--without", choices=sorted(RULES), help="take one rule away and see what it held back")
    parser.add_argument("--jobs", "-j", type=int, default=1, help="processes")
    parser.add_argument("--ticks", action="store_true", help="with a schedule, and wall clocks that are off")
    parser.add_argument("--trace", action="store_true", help="print the trace of every schedule")
    found = parser.parse_args(words)
    return Options(
        found.seed,
        found.schedules,
        found.peers,
        found.guard,
        not found.no_faults,
        found.drift,
        found.without,
        found.jobs,
        found.trace,
        found.ticks,
    )


def main(words: list[str] | None = None) -> int:
    options = read_options(sys.argv[1:] if words is None else words)
    started = time.perf_counter()
    outcomes = []
    for outcome in run_all(options):
        outcomes.append(outcome)
        if outcome.violation is not None:
            report(outcome, options)
            return 1
        if options.trace:
            print("\n".join(run_schedule(outcome.seed, options, trace=True).lines))
    print(summary(outcomes, time.perf_counter() - started, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
