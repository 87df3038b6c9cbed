"""Running the commands of a job, one at a time, so that each can be stopped and none can hold the job up.

A command ends when its process ends, even if a grandchild keeps its output open: what such a one says later is still
logged, while later commands run. Each command is a process group of its own.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from clockmesh.runner.logfile import LineSplitter
from clockmesh.runner.proctree import end_tree

STAGES = ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 1.0))
"""How a command is stopped: each signal goes to its group, and the seconds are what it then has to end."""
_DRAIN_S = 0.5
"""For output that a command left in its pipe; only an ever-writing grandchild makes it last."""
AFTER_CANCEL_S = 300.0
"""For steps with `if: always()` after a cancel, all together; as the official service allows."""
_KILLED_PAUSE_S = 0.3
"""After a command that somebody killed: whoever is ending the whole job comes to this process next, which must not
report a failure meanwhile."""
_READ_BYTES = 1 << 16

Emit = Callable[[list[str]], None]


class How(Enum):
    """Why a command ended."""

    ITSELF = "itself"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Command:
    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    stdout: Path | None = None
    """A file for its standard output alone; None: it is logged, as standard error is."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    """Exit status; minus the signal that ended it."""
    how: How

    @property
    def good(self) -> bool:
        return self.code == 0 and self.how is How.ITSELF


class CommandError(Exception):
    """The command could not be started. `str()` says why."""


@dataclass(slots=True)
class _Stream:
    """What one command and its children print."""

    handle: int
    emit: Emit
    splitter: LineSplitter

    def read(self) -> bool:
        """One chunk, if there is one; False when the stream has ended."""
        try:
            data = os.read(self.handle, _READ_BYTES)
        except BlockingIOError:
            return True
        self.emit(self.splitter.feed(data))
        return bool(data)


class Processes:
    """The commands of one job, in the job's leading process. Takes SIGTERM as the word to cancel."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._cancelled_at: float | None = None
        self._ends_at = float("inf")
        self._after_cancel = AFTER_CANCEL_S
        self.timed_out = False
        """The cancel came from the job's own time limit."""
        wake, waker = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        self._wake = wake
        self._selector.register(wake, selectors.EVENT_READ, None)
        signal.signal(signal.SIGTERM, lambda *_: self.cancel())
        signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    @property
    def cancelled(self) -> bool:
        if self._cancelled_at is None and time.monotonic() >= self._ends_at:
            self.timed_out = True
            self.cancel()
        return self._cancelled_at is not None

    @property
    def out_of_time(self) -> bool:
        """Even what runs after a cancel has had its time."""
        return self._cancelled_at is not None and time.monotonic() >= self._cancelled_at + self._after_cancel

    def cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()

    def limit_after_cancel(self, seconds: float) -> None:
        """How long all together what goes on after a cancel may take; never more than the usual time."""
        self._after_cancel = min(seconds, AFTER_CANCEL_S)

    def limit(self, seconds: float) -> None:
        """Cancel the job, as timed out, this long from now."""
        self._ends_at = time.monotonic() + seconds

    def run(
        self,
        command: Command,
        emit: Emit,
        *,
        timeout: float = float("inf"),
        survives_cancel: Callable[[], bool] = lambda: False,
    ) -> Ended:
        """Run it to its end, each line of output going to `emit`. `timeout` seconds, or a cancel unless
        `survives_cancel` (asked once, then) says that it goes on, stop it by `STAGES`. CommandError."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        try:
            child = _spawn(command, writing)
        except CommandError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        stream = _Stream(reading, emit, LineSplitter())
        self._selector.register(reading, selectors.EVENT_READ, stream)
        exited = os.pidfd_open(child.pid)
        self._selector.register(exited, selectors.EVENT_READ, None)
        try:
            how = self._attend(child.pid, exited, time.monotonic() + timeout, survives_cancel)
        finally:
            self._selector.unregister(exited)
            os.close(exited)
        if how is not How.ITSELF:
            _signal_group(child.pid, signal.SIGKILL)  # not yet reaped, so the group is still its own
        code = child.wait()
        if code == -signal.SIGKILL and how is How.ITSELF:
            time.sleep(_KILLED_PAUSE_S)
        self._drain(stream)
        return Ended(code, how)

    def _attend(self, pid: int, exited: int, timeout_at: float, survives_cancel: Callable[[], bool]) -> How:
        """Until it has exited: wait while nothing is against it, then stop it."""
        goes_on = False
        while True:
            if time.monotonic() >= timeout_at:
                how = How.TIMED_OUT
                break
            if self.out_of_time or (self.cancelled and not goes_on and not survives_cancel()):
                how = How.CANCELLED
                break
            goes_on = self.cancelled
            limit = self._ends_at if self._cancelled_at is None else self._cancelled_at + self._after_cancel
            if exited in self._wait(min(timeout_at, limit)):
                return How.ITSELF
        self._stop(pid, exited)
        return how

    def _stop(self, pid: int, exited: int) -> None:
        stages = iter(STAGES if not self.out_of_time else STAGES[-1:])
        while True:
            number, patience = next(stages, STAGES[-1])
            _signal_group(pid, number)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                if exited in self._wait(until):
                    return

    def _wait(self, until: float) -> list[int]:
        """Sleep until something happens or `until`, log what the streams have, and say which others are ready."""
        patience = max(0.0, until - time.monotonic())
        ready = []
        for key, _ in self._selector.select(min(patience, 3600.0)):
            if isinstance(key.data, _Stream):
                if not key.data.read():
                    self._close(key.data)
            elif key.fileobj is self._wake:
                self._wake.recv(4096)
            else:
                ready.append(key.fd)
        return ready

    def _drain(self, stream: _Stream) -> None:
        """All that is in the pipe by now. A stream that does not end then stays, for what is said later."""
        until = time.monotonic() + _DRAIN_S
        while stream.handle in self._selector.get_map() and time.monotonic() < until:
            if not _readable(stream.handle):
                stream.emit(stream.splitter.end())
                break
            if not stream.read():
                self._close(stream)

    def _close(self, stream: _Stream) -> None:
        stream.emit(stream.splitter.end())
        self._selector.unregister(stream.handle)
        os.close(stream.handle)


def _spawn(command: Command, output: int) -> subprocess.Popen[bytes]:
    if not command.folder.is_dir():
        raise CommandError(f"no such directory: {command.folder}")
    try:
        with ExitStack() as opened:
            stdout = output if command.stdout is None else opened.enter_context(command.stdout.open("wb"))
            return subprocess.Popen(
                list(command.argv),
                cwd=command.folder,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=output,
                process_group=0,
            )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else _misnamed(command.env) or str(error)
        raise CommandError(f"{command.argv[0]} could not be started: {reason}") from error


def _misnamed(env: Mapping[str, str]) -> str:
    wrong = [name for name in env if not name or "=" in name or "\0" in name]
    return f"no environment variable can be called {wrong[0]!r}" if wrong else ""


def _signal_group(pid: int, number: signal.Signals) -> None:
    if number == signal.SIGKILL:
        end_tree(pid)  # those of its children that left the group
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _readable(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))
