"""The reserve: a file that keeps room on the home's disk for what must go on when the disk is full.

New work is refused before the reserve is touched. Votes, results and all else that was promised go on: a write of
theirs that meets a full disk gives up a piece of the reserve and is tried again. With room on the disk the reserve is
made whole, and only then is new work taken on again.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from clockmesh.daemon.errors import DiskLow

MIB = 1024 * 1024
DEFAULT_RESERVE = 32 * MIB
"""Some 100,000 votes."""
MARGIN = 4 * MIB
"""Free bytes beyond the reserve below which the disk is low: SQLite's log grows so far between two of its
checkpoints. It has recovered with twice as much, so that it does not change its mind with every file."""
_PIECE = MIB
"""Given up at a time: far more than one commit takes, and others who write to the disk cannot have all at once."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

_T = TypeVar("_T")


class Reserve:
    """The reserve of one home. Its methods may be called from any thread."""

    def __init__(self, path: Path, size: int = DEFAULT_RESERVE) -> None:
        """Takes what room there is for the file `path` of `size` bytes."""
        self.size = size
        self._path = path
        self._lock = threading.Lock()
        self._low = True  # until it is seen to be whole
        self.look()

    def look(self) -> bool:
        """Whether the disk is low now; makes the reserve whole where there is room for it."""
        with self._lock:
            free, missing = self._free(), self.size - self._held()
            if self._low:
                self._low = free < missing + 2 * MARGIN or not self._take()
            else:
                self._low = missing > 0 or free < MARGIN
            return self._low

    @property
    def low(self) -> bool:
        """As it was last seen."""
        return self._low

    @property
    def left(self) -> int:
        """Bytes that the disk has, what the reserve holds of it included."""
        return self._free() + self._held()

    def give(self) -> bool:
        """Give up a piece of the reserve; False when nothing is left of it."""
        with self._lock:
            self._low = True
            held = self._held()
            if held > 0:
                os.truncate(self._path, max(0, held - _PIECE))
            return held > 0

    def within(self, work: Callable[[], _T]) -> _T:
        """What `work` gives. Each time that it meets a full disk it is called again with a piece of the reserve more;
        OSError when that is used up."""
        while True:
            try:
                return work()
            except OSError as error:
                if not is_full(error) or not self.give():
                    raise

    @contextmanager
    def new_work(self) -> Iterator[None]:
        """Around what is taken on anew: DiskLow when the disk is low, or found full on the way."""
        self.refuse_when_low()
        try:
            yield
        except OSError as error:
            if is_full(error):
                raise self._refusal() from error
            raise

    def refuse_when_low(self) -> None:
        """DiskLow when the disk is low."""
        if self.look():
            raise self._refusal()

    def _refusal(self) -> DiskLow:
        return DiskLow(f"the disk of {self._path.parent} has {self.left // MIB} MiB left; a reserve of "
                       f"{self.size // MIB} MiB is kept for votes and results: make room there, or ask another peer")

    def _take(self) -> bool:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.size)  # what is there already stays, and costs nothing
                os.ftruncate(handle, self.size)  # a larger one, of an earlier configuration, shrinks
            finally:
                os.close(handle)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        return True

    def _held(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _free(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize


def is_full(error: OSError) -> bool:
    """The disk, or the user's share of it, is full."""
    return error.errno in _FULL
