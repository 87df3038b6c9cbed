"""Faults on demand, so that tests can end or hold up a daemon or a runner host exactly where it hurts most.

CLOCKMESH_FAULTS names a file of which each line asks for one fault (docs/faults.md); there need be no such file yet:

    crash before-commit 3              SIGKILL itself when it passes this point for the third time
    stall before-commit 5 every 30     stand still there for 5 s, at most once in 30 s

The file may change at any time. A crash removes it first, so whoever is started next does not die of it again. Where
the variable is not set, to pass a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

VARIABLE = "CLOCKMESH_FAULTS"


class Point(StrEnum):
    """Where a fault can be; each is passed by one kind of process and in one thread of it."""

    BEFORE_COMMIT = "before-commit"
    """Daemon: decided, nothing of it durable. In the thread that writes, where a slow disk would be felt."""
    AFTER_COMMIT = "after-commit"
    """Daemon: durable, nothing of it published or done. In the thread that writes."""
    BEFORE_EFFECT = "before-effect"
    """Daemon: published, and one of its effects (a start, an answer) is about to be done."""
    AFTER_SPAWN = "after-spawn"
    """Daemon: the host has said that a job runs."""
    BEFORE_PROPOSE = "before-propose"
    """Daemon: a job has ended, and its result is about to be decided on."""
    HOST_AFTER_SPAWN = "host-after-spawn"
    """Host: a job is forked, and nobody has been told."""
    HOST_BEFORE_KILL = "host-before-kill"
    """Host: a job's D has passed, and it still runs."""
    HOST_BEFORE_REPORT = "host-before-report"
    """Host: nothing of a job is left, and the daemon has not been told how it ended."""


class FaultError(Exception):
    """A line of the file that asks for nothing known."""


@dataclass(frozen=True, slots=True)
class _Crash:
    passings: int


@dataclass(frozen=True, slots=True)
class _Stall:
    seconds: float
    every: float


class Faults:
    """The faults of one process. `passing` may be called from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """FaultError when there is such a file and it cannot be understood."""
        self._path = path
        self._lock = threading.Lock()
        self._read_as: tuple[int, int] | None = None
        self._wanted: dict[Point, _Crash | _Stall] = {}
        self._passed: dict[Point, int] = {}
        self._stalled_at: dict[Point, float] = {}
        if path is not None:
            self._refresh(path)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Faults:
        path = environment.get(VARIABLE)
        return cls(Path(path) if path else None)

    def passing(self, point: Point) -> None:
        """This process is at `point`: it dies here, or goes on late, where that is asked for. FaultError."""
        if self._path is None:
            return
        with self._lock:
            self._refresh(self._path)
            pause = self._strike(self._path, point)
        if pause:
            time.sleep(pause)

    def _strike(self, path: Path, point: Point) -> float:
        """Die, or say for how long to stand still."""
        match self._wanted.get(point):
            case _Crash(passings):
                self._passed[point] = self._passed.get(point, 0) + 1
                if self._passed[point] >= passings:
                    path.unlink(missing_ok=True)
                    os.kill(os.getpid(), signal.SIGKILL)
            case _Stall(seconds, every):
                now = time.monotonic()
                if now >= self._stalled_at.get(point, -every) + every:
                    self._stalled_at[point] = now
                    return seconds
        return 0.0

    def _refresh(self, path: Path) -> None:
        """Read the file if it is another one than before; passings then count from here."""
        state = _state_of(path)
        if state == self._read_as:
            return
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            lines = []
        self._wanted = dict(_fault(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip())
        self._read_as, self._passed = state, {}


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns


def _fault(place: str, line: str) -> tuple[Point, _Crash | _Stall]:
    kind, *words = line.split()
    name, *rest = words or [""]
    if name not in list(Point):
        raise FaultError(f"{place}: there is no point {name!r}; the points are {', '.join(Point)}")
    try:
        match kind, rest:
            case "crash", []:
                return Point(name), _Crash(1)
            case "crash", [passings]:
                return Point(name), _Crash(int(passings))
            case "stall", [seconds]:
                return Point(name), _Stall(float(seconds), 0.0)
            case "stall", [seconds, "every", every]:
                return Point(name), _Stall(float(seconds), float(every))
    except ValueError:
        pass  # a word where a number belongs: said below
    raise FaultError(f"{place}: {line.strip()!r} is neither `crash POINT [PASSINGS]` nor `stall POINT SECONDS "
                     "[every SECONDS]`")
