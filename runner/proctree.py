"""Finding and ending processes through /proc: whole trees, and whatever carries a mark in its environment.

A job must leave nothing behind. Its processes are found in three ways, because each alone can be escaped: as
descendants of the keeper (which adopts what daemonises, being a subreaper), by the session of the job's leader, and by
the mark CLOCKMESH_JOB that every step starts with.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MARK = "CLOCKMESH_JOB"
"""Environment variable of every step: `<home>.<host>:<run>/<job>-<attempt>`."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Proc:
    pid: int
    parent: int
    session: int
    started: int
    """Clock ticks since boot: with the pid it names a process for ever."""
    dead: bool
    """A zombie: it runs nothing, and waits for its parent to read its status."""


def look_up(pid: int) -> Proc | None:
    """The process as it is now; None when there is none."""
    try:
        data = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    fields = data.rpartition(b")")[2].split()  # the command's name, in parentheses, may hold anything
    return Proc(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in b"ZX")


def all_processes() -> dict[int, Proc]:
    """Every process by pid; about 2 ms for 100."""
    found = (look_up(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {proc.pid: proc for proc in found if proc is not None}


def descendants(root: int, table: Mapping[int, Proc]) -> list[Proc]:
    """Children of `root`, their children, and so on; not `root` itself."""
    children: dict[int, list[Proc]] = {}
    for proc in table.values():
        children.setdefault(proc.parent, []).append(proc)
    found, todo = [], [root]
    while todo:
        for child in children.get(todo.pop(), ()):
            found.append(child)
            todo.append(child.pid)
    return found


def marked(prefix: str) -> list[Proc]:
    """Processes whose environment, as they were started, has CLOCKMESH_JOB beginning with `prefix`."""
    wanted = f"\0{MARK}={prefix}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if wanted in b"\0" + Path(f"/proc/{name}/environ").read_bytes():
                    proc = look_up(int(name))
                    if proc is not None:
                        found.append(proc)
    return found


def end(procs: Iterable[Proc]) -> int:
    """SIGKILL to each that still is the process looked up. How many were alive and may be killed by this user: 0 says
    that nothing is left to do."""
    alive = 0
    for proc in procs:
        if not proc.dead and _kill(proc):
            alive += 1
    return alive


def end_tree(root: int, spare: Callable[[Proc], bool] = lambda _: False) -> int:
    """One pass of SIGKILL over the descendants of `root`; how many there were. Repeat until it gives 0: what forks
    while it is being killed is found by the next pass."""
    return end(proc for proc in descendants(root, all_processes()) if not spare(proc))


def end_session(leader: int, started: int) -> int:
    """One pass over the session of a leader that started at `started`, itself included. Nothing, when its pid has
    been given to another process since: then the session is gone too."""
    table = all_processes()
    now = table.get(leader)
    if now is not None and now.started != started:
        return 0
    return end(proc for proc in table.values() if proc.session == leader and proc.started >= started)


@cache
def boot_id() -> str:
    """Changes at every boot: a recorded pid means something only under the same one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def become_subreaper() -> None:
    """From now on orphans among this process's descendants become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """SIGKILL for this process when `parent`, which must be its parent, ends; at once if it ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def set_title(text: str) -> None:
    """Make `ps` show `text` for this process (as much of it as the old command line had room for), so that a forked
    process is not taken for the one it was forked from."""
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    first, last = int(stat[45]), int(stat[46])
    if 0 < first < last:
        data = text.encode()[: last - first - 1]
        ctypes.memset(first, 0, last - first)
        ctypes.memmove(first, data, len(data))


def _read(path: str) -> bytes:
    """Some hundred bytes at once: a table of processes is read while others wait for the CPU."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, 4096)
    finally:
        os.close(handle)


def _kill(proc: Proc) -> bool:
    """Through a descriptor, so that a pid given away meanwhile is never hit."""
    try:
        handle = os.pidfd_open(proc.pid)
    except OSError:
        return False
    try:
        now = look_up(proc.pid)
        if now is None or now.started != proc.started or now.dead:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:  # gone, or another user's (sudo): nothing that this process can do
        return False
    finally:
        os.close(handle)
    return True


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
