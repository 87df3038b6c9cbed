"""Where a run on this machine is at home: its folder, the process that guards it, the signals that it hears."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clockmesh.runner.files import remove_tree
from clockmesh.runner.keeper import run_warden


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is at home."""

    folder: Path
    """For all that is made for it."""
    mark: str
    """What its processes carry."""
    warden: int
    """The process that ends them and removes `folder`, should this process be killed."""


@contextmanager
def new_place() -> Iterator[Place]:
    """One for one run; at the end it is gone, with whatever the run's jobs left in it."""
    folder = Path(tempfile.mkdtemp(prefix="clockmesh-run-")).resolve()
    try:
        with _warden(folder) as (mark, warden):
            yield Place(folder, mark, warden)
    finally:
        remove_tree(folder)


@contextmanager
def caught_signals() -> Iterator[socket.socket]:
    """Readable with the number of each signal that came, in place of what the signals did before."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    waking = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(waking)
        for number, handler in before.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()


@contextmanager
def _warden(folder: Path) -> Iterator[tuple[str, int]]:
    """The mark that the run's processes are to carry, and the process that ends them should this one be killed."""
    mark = f"local.{secrets.token_hex(8)}:"
    watched, lives = os.pipe()
    warden = os.fork()
    if warden == 0:
        try:
            os.closerange(3, watched)
            os.closerange(watched + 1, os.sysconf("SC_OPEN_MAX"))
            run_warden(watched, mark, folder)
        finally:
            os._exit(70)
    os.close(watched)
    handle = os.pidfd_open(warden)
    try:
        yield mark, warden
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        with suppress(ChildProcessError):
            os.waitpid(warden, 0)
        os.close(lives)
