"""Concurrency groups of runs on this machine: one at a time in each, across processes.

A ticket is a file that its holder keeps locked, so a ticket whose process has died is nobody's. What a ticket says
changes only under the lock of the folder:

    waiting -> its turn -> asked to end          (it goes on until it has ended)
    waiting -> cancelled                         (a newer one took its place)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path

from clockmesh.protocol.ids import EXPAND
from clockmesh.runner.bundle import read_workflow
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.levels import find, leg_scope, top_level, wanted
from clockmesh.runner.model import Concurrency
from clockmesh.runner.spec import JobSpec

MOST_WAITING = 100
"""In one group with `queue: max`: GitHub's own bound. A newer one is cancelled."""


class Standing(Enum):
    WAITING = b"w"
    TURN = b"t"
    ENDING = b"e"
    """It had its turn, and a newer one wants it to end."""
    CANCELLED = b"c"
    """It waited, and never gets its turn."""


_INSIDE = (Standing.TURN, Standing.ENDING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `concurrency` comes to."""

    group: str
    cancel_in_progress: bool
    queue_all: bool


def wanted_of(concurrency: Concurrency | None, scope: Scope) -> Wanted | None:
    """None for a job or a run in no group. WorkflowError where it cannot be computed."""
    if concurrency is None:
        return None
    group = scope.text(concurrency.group).strip()
    if not group:
        raise scope.error(concurrency.group, "the group of `concurrency` comes to an empty name")
    return Wanted(group, scope.boolean(concurrency.cancel_in_progress), concurrency.queue_all)


def group_of(spec: JobSpec, content: bytes) -> Wanted | None:
    """Of a job that will run: one whose `if` does not hold enters no group."""
    if b"concurrency" not in content or spec.key.startswith(EXPAND):
        return None
    workflow = read_workflow(content, spec.plan.path)
    level, job = find(top_level(workflow, spec.plan, spec.given, spec.schedule), spec.job.job_id, spec.needs)
    if job.concurrency is None or not wanted(level, job, spec.needs, cancelled=spec.cancelled):
        return None
    return wanted_of(job.concurrency, Scope(level.workflow.file, leg_scope(level, job, spec)))


class Groups:
    """The groups of one repository. Names differ in more than letter case."""

    def __init__(self, folder: Path, repository: str) -> None:
        """`folder` is shared by all runs of this user, and made when it is needed."""
        self._folder = folder
        self._repository = repository

    def enter(self, wanted: Wanted) -> Ticket:
        """Stand in line for a group; whoever is in the way is told to leave as the rules have it. OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        stem = sha256(f"{self._repository}\0{wanted.group.lower()}".encode()).hexdigest()[:32]
        with _locked(self._folder):
            others = _living(self._folder, stem)
            waiting = [path for path, standing in others if standing is Standing.WAITING]
            inside = [path for path, standing in others if standing in _INSIDE]
            for path in () if wanted.queue_all else waiting:
                path.write_bytes(Standing.CANCELLED.value)
            for path in inside if wanted.cancel_in_progress else ():
                path.write_bytes(Standing.ENDING.value)
            number = max((_number(path) for path, _ in others), default=0) + 1
            standing = Standing.WAITING if inside or (waiting and wanted.queue_all) else Standing.TURN
            if wanted.queue_all and len(waiting) >= MOST_WAITING:
                standing = Standing.CANCELLED
            return Ticket(self._folder, stem, number, standing)


class Ticket:
    """One's place in a group, until one leaves it."""

    def __init__(self, folder: Path, stem: str, number: int, standing: Standing) -> None:
        self._folder = folder
        self._stem = stem
        self._path = folder / f"{stem}-{number}"
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(self._handle, standing.value, 0)

    def standing(self) -> Standing:
        """As it is now; the turn is taken by this question."""
        standing = self._read()
        if standing is not Standing.WAITING:
            return standing
        with _locked(self._folder):
            others = _living(self._folder, self._stem)
            before = [each for path, each in others if _number(path) < _number(self._path)]
            inside = any(each in _INSIDE for _, each in others)
            if self._read() is Standing.WAITING and not inside and Standing.WAITING not in before:
                os.pwrite(self._handle, Standing.TURN.value, 0)
            return self._read()

    def leave(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._handle)

    def _read(self) -> Standing:
        return Standing(os.pread(self._handle, 1, 0))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _living(folder: Path, stem: str) -> list[tuple[Path, Standing]]:
    """The tickets of a group, the oldest first; those of dead processes are removed."""
    found = []
    for path in sorted(folder.glob(f"{stem}-*"), key=_number):
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found.append((path, Standing(os.pread(handle, 1, 0))))
        else:
            path.unlink()
        finally:
            os.close(handle)
    return found


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
