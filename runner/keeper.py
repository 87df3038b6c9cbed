"""The keeper: a small process between the host and each job, there so that a job never outlives its host.

    host ── keeper ── job's leader ── step ── ...

It adopts whatever of the job daemonises, and holds one end of a socket whose other end only the host has: when that
closes, the host is dead, and the keeper ends the whole tree before itself. It holds the deadline D too: should the host
stand still, for a slow disk or because somebody froze it, the job ends in time all the same. The warden covers the case
that host and keepers are killed together: it ends what carries the host's mark in its environment.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from clockmesh.runner.box import Box, BoxError
from clockmesh.runner.files import remove_tree
from clockmesh.runner.process import AFTER_CANCEL_S, STAGES
from clockmesh.runner.proctree import become_subreaper, die_with, end, end_tree, marked, set_title

STOP = b"stop\n"
"""Host to keeper: cancel the job politely."""
KILL = b"kill\n"
"""Host to keeper: end the whole tree at once."""
DEADLINE = "deadline"
"""Keeper to host, and the reason of an end: D had passed."""
STUCK = "stuck"
"""Keeper to host: the leader had not ended `STUCK_S` after it was told to, or after its own time limit."""
STUCK_S = AFTER_CANCEL_S + sum(seconds for _, seconds in STAGES) + 29.0
"""More than a leader needs that does all it may after a cancel."""

_NICE = 10
"""Of jobs; the host, which must be in time for D, and the keeper keep theirs."""
_UMASK = 0o022
"""Of jobs, whatever the host's: files that they pack or commit have the modes of anybody's machine. Their folder is
private all the same."""
_OOM_SCORE = "500"
"""When memory runs out the job goes first, not the daemon or the host."""
_LONGEST_WAIT_S = 1.0
"""`poll` does not count suspended time, D does; the host looks more often."""
_AGAIN_S = 0.05
"""Between two kills of a job that is past its bounds, should it not be gone by the first."""
_PASS_S = 0.005
"""Between two passes over a tree that is being killed: long enough for the kernel to take the dead away."""
_WARDEN_WAIT_S = 0.1
"""Head start of the keepers: they end leader before step. A leader that outlived its step would call that a failure."""
_WARDEN_PASSES = 60
"""Passes of a warden, `_PASS_S` apart: it outlasts a fork that was under way when the host died."""


@dataclass(slots=True)
class Bounds:
    """When a keeper ends its job by itself; seconds of CLOCK_BOOTTIME."""

    deadline: float
    """D, as the host told it last."""
    patience: float
    """When the leader should have ended by itself long ago."""

    def passed(self) -> str:
        """DEADLINE, STUCK or ''."""
        if _now() >= self.deadline:
            return DEADLINE
        return STUCK if _now() >= self.patience else ""

    def hear(self, word: bytes) -> None:
        if word == STOP[:-1]:
            self.patience = min(self.patience, _now() + STUCK_S)
        elif word.startswith(b"until "):
            self.deadline = max(self.deadline, float(word[6:]))

    def wait_ms(self) -> int:
        """Until the next look: a moment after the first bound, or some time after the last kill."""
        left = min(self.deadline, self.patience) - _now()
        return int(min(_LONGEST_WAIT_S, left if left > 0 else _AGAIN_S) * 1000) + 1


def bounds_of(deadline: float, limit_s: float) -> Bounds:
    """Of a job that begins now and whose own time limit is so many seconds."""
    return Bounds(deadline, _now() + limit_s + STUCK_S)


def until(deadline: float) -> bytes:
    """Host to keeper: D has moved."""
    return f"until {deadline}\n".encode()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def run_keeper(control: socket.socket, title: str, job: Callable[[], None], work: Path, bounds: Bounds,
               box: Box | None = None) -> NoReturn:
    """The life of a keeper, in a freshly forked process that has closed everything else of the host. Says on
    `control`: `pid N` when the job runs, and last `exit N`, `signal N`, DEADLINE or STUCK when nothing of it is left;
    or `unboxed WHY` when there could be no sandbox and nothing was started. After that it removes the folder `work`,
    which may take its time.

    `job` is called in the leader with SIGTERM blocked: a cancel that comes early waits until it is ready for one."""
    os.setsid()
    set_title(f"job keeper: {title}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the host's word or its death ends a job
    become_subreaper()
    wake, waker = socket.socketpair()
    wake.setblocking(False)
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        leader = _fork_leader((control, wake, waker), title, job, box)
    except BoxError as error:
        word = f"unboxed {error}"
    else:
        control.sendall(f"pid {leader}\n".encode())
        word = _attend(control, wake, leader, bounds, box)
    if box is not None:
        box.end()
        _await_all()
    _end_all()
    with suppress(OSError):  # a dead host is told nothing
        control.sendall(word.encode() + b"\n")
    remove_tree(work)
    os._exit(0)


def run_warden(host_lives: int, mark: str, folder: Path | None = None) -> NoReturn:
    """The life of a warden, in a freshly forked process: when the pipe `host_lives` ends, kill what carries `mark`, and
    then remove `folder`."""
    os.setsid()
    set_title("job warden")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(host_lives, 1)
    time.sleep(_WARDEN_WAIT_S)
    for _ in range(_WARDEN_PASSES):
        end(marked(mark))
        time.sleep(_PASS_S)
    if folder is not None:
        remove_tree(folder)
    os._exit(0)


def _fork_leader(
    not_for_it: tuple[socket.socket, ...], title: str, job: Callable[[], None], box: Box | None
) -> int:
    """The pid of the leader, a child of this process; BoxError when it cannot be in its sandbox."""
    keeper = os.getpid()
    if box is not None:
        box.open()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    leader = os.fork()
    if leader:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return leader if box is None else box.adopt(leader)
    status = 1
    try:
        die_with(keeper)
        os.nice(_NICE)
        os.umask(_UMASK)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)  # what a step inherits: nothing ignored
        for end_ in not_for_it:
            end_.close()
        if box is not None:
            box.enter()  # and what goes on here is a child, which dies with the sandbox
        os.setsid()
        set_title(f"job: {title}")
        job()
        status = 0
    finally:
        os._exit(status)  # whatever happened: never return into the host's code in this process


def _attend(control: socket.socket, wake: socket.socket, leader: int, bounds: Bounds, box: Box | None) -> str:
    """Until the leader has ended; the word that tells how."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    ended, said = "", b""
    while (status := _reap(leader)) is None:
        ready = [fd for fd, _ in poll.poll(bounds.wait_ms())]
        if wake.fileno() in ready:
            wake.recv(4096)
        if control.fileno() in ready:
            heard = _hear(control)
            *words, said = (said + heard).split(b"\n")
            for word in words:
                bounds.hear(word)
            if STOP[:-1] in words:  # not reaped yet, so the number is still its own
                os.kill(leader, signal.SIGTERM)
                os.kill(leader, signal.SIGCONT)  # one that a step has stopped would not hear of it
            if KILL[:-1] in words or not heard:
                _end_tree(box)
                poll.unregister(control)
        if why := bounds.passed():  # after the words: the host moves no D that has passed
            ended = ended or why
            _end_tree(box)
    return ended or (f"signal {-status}" if status < 0 else f"exit {status}")


def _end_tree(box: Box | None) -> None:
    if box is not None:
        box.end()
    end_tree(os.getpid())


def _hear(control: socket.socket) -> bytes:
    """What the host said; empty when it is dead."""
    try:
        return control.recv(4096)
    except ConnectionError:
        return b""


def _reap(leader: int) -> int | None:
    """Take away what has died; the leader's code if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == leader:
            found = os.waitstatus_to_exitcode(status)


def _end_all() -> None:
    """What the job left runs below this process, which adopts orphans: without children there is nothing left."""
    while _has_children() and end_tree(os.getpid()):
        time.sleep(_PASS_S)
    _reap(-1)


def _await_all() -> None:
    """What was in a sandbox is dead, or about to be: the kernel has seen to it."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _has_children() -> bool:
    _reap(-1)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
