"""What the benchmark of a mesh measures with: the machine itself, processes' CPU and memory, and the table."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SLEEPER = "import time, clockmesh.daemon.network; print(flush=True); time.sleep(1000)"


@dataclass
class Row:
    """One limit of the design: figures of several rounds, each with its ratio to something real in the same round."""

    what: str
    unit: str
    limit: float | None
    aim: float | None
    """None: a figure for information."""
    against: str
    """What the ratio is to."""
    more_is_better: bool = False
    figures: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def add(self, figure: float, bare: float) -> None:
        self.figures.append(figure)
        self.ratios.append(figure / bare)

    @property
    def figure(self) -> float:
        """Medians: one round in which the machine was busy with something else decides nothing."""
        return statistics.median(self.figures)

    @property
    def verdict(self) -> str:
        if self.limit is None or self.aim is None:
            return ""
        return "aim" if self._reaches(self.aim) else "ok" if self._reaches(self.limit) else "short"

    def _reaches(self, bound: float) -> bool:
        return self.figure >= bound if self.more_is_better else self.figure <= bound

    def __str__(self) -> str:
        sign = ">=" if self.more_is_better else "<="
        bounds = "" if self.limit is None else f"{sign} {self.limit:g} ({self.aim:g})"
        spread = f"{min(self.figures):.3g}..{max(self.figures):.3g}"
        ratio = f"{statistics.median(self.ratios):.2f} of {self.against}"
        return f"{self.what:33} {self.figure:7.3g} {self.unit:3} {bounds:14} {self.verdict:6} {spread:12} {ratio}"


def print_table(rows: Iterable[Row], busy: float) -> None:
    """Rows without figures are left out. `busy`: the share of the CPU that others used meanwhile."""
    print(f"\n{'what':33} {'median':>7} {'':3} {'limit (aim)':14} {'':6} {'rounds':12} ratio")
    for row in rows:
        if row.figures:
            print(row)
    if busy > BUSY:
        print(f"Others used {busy:.0%} of the CPU: a limit that is missed here may be held on a machine of its own.")


# ---- the machine itself ----

BUSY = 0.2
"""Share of the CPU that others may use while something is measured."""
_QUIET_WAIT_S = 15.0


def quiet() -> float:
    """Wait a while until the machine does nothing else; the share of its CPU that is used all the same."""
    until = time.monotonic() + _QUIET_WAIT_S
    while (used := _used(1.0)) > BUSY and time.monotonic() < until:
        pass
    return used


def _used(seconds: float) -> float:
    began = _cpu_ticks()
    time.sleep(seconds)
    idle, whole = (now - then for now, then in zip(_cpu_ticks(), began, strict=True))
    return 1 - idle / whole


def _cpu_ticks() -> tuple[int, int]:
    """Idle (waiting for a disk too), and all, of all cores since boot."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def commit_s(folder: Path) -> float:
    """One durable SQLite commit of a node's size, as the store makes them."""
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table if not exists node (data blob)")
    took = median_s(lambda: database.execute("insert into node values (?)", (os.urandom(300),)), 50)
    database.close()
    return took


def bash_s() -> float:
    """One `bash -e` with one line, one after another."""
    return median_s(_bash, 20)


def bashes_per_s(number: int = 100) -> float:
    """The same on all cores at once."""
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda _: _bash(), range(number)))
    return number / (time.perf_counter() - began)


def _bash() -> None:
    subprocess.run(["bash", "-e", "-c", "echo $EPOCHREALTIME >/dev/null"], check=True)


def network_rss_mb() -> float:
    """A Python that has imported libp2p as the daemon does, and sleeps."""
    with subprocess.Popen([sys.executable, "-c", _SLEEPER], stdout=subprocess.PIPE) as sleeper:
        assert sleeper.stdout is not None
        sleeper.stdout.readline()
        size = rss_mb(sleeper.pid)
        sleeper.kill()
    return size


# ---- processes and times ----


def median_s(act: Callable[[], object], times: int) -> float:
    return statistics.median(timed_s(act) for _ in range(times))


def timed_s(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def cpu_s(pid: int, *, children: bool = False) -> float:
    """CPU seconds of a process so far, with those of its ended children on request."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return sum(int(each) for each in fields[11 : 15 if children else 13]) / _TICKS


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentile(values: Sequence[float], percent: int) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]
