"""Run by a job: tries to get out of its sandbox, by all ways that it knows, and prints the names of those that worked.

`python3 escapes.py HOME PID [look]`: HOME is the peer's, PID a process outside of the sandbox. `look`: try nothing that
would change anything. Needs only the standard library, since a sandbox has no other.
"""

from __future__ import annotations

import ctypes
import glob
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HOME, OUTSIDE, LOOK = Path(sys.argv[1]), int(sys.argv[2]), "look" in sys.argv
PARENTS = [pid for pid in (os.getppid(), 1, OUTSIDE) if pid > 0]
LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH, _PTRACE_SEIZE, _PTRACE_DETACH = 16, 0x4206, 17
_NEW_NAMESPACES = 0x00020000 | 0x10000000


def readable(*patterns: str) -> bool:
    found = [path for pattern in patterns for path in glob.glob(pattern)]
    return any(_opens(path, os.O_RDONLY) for path in found)


def _opens(path: str, flags: int) -> bool:
    try:
        handle = os.open(path, flags | os.O_NONBLOCK)
        os.read(handle, 1) if flags == os.O_RDONLY and not os.path.isdir(path) else None
    except OSError:
        return False
    os.close(handle)
    return True


def writable(*paths: str) -> bool:
    """A new file in the folder, or the file itself for writing."""
    return any(
        _opens(f"{path}/escaped", os.O_WRONLY | os.O_CREAT) if os.path.isdir(path) else _opens(path, os.O_WRONLY)
        for path in paths
    )


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def leaders_secrets() -> bool:
    """Memory, environment, descriptors and root of the processes above this one, which have the host's memory."""
    above = _above(os.getpid())
    return any(
        _opens(f"/proc/{pid}/{name}", os.O_RDONLY)
        for pid in above for name in ("mem", "environ", "maps", "auxv", "fd", "map_files")
    ) or any(os.path.exists(f"/proc/{pid}/root/etc") for pid in above)  # fmt: skip


def _above(pid: int) -> list[int]:
    """The parents that a job did not start itself: the leader. Without a sandbox all up to process 1."""
    found = []
    while pid > 0:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(fields[1])
        if pid and not Path(f"/proc/{pid}/comm").read_text().startswith(("bash", "sh", "python3")):
            found.append(pid)
    return found


def traces() -> bool:
    for pid in [*_above(os.getpid()), OUTSIDE]:
        if LIBC.ptrace(_PTRACE_SEIZE, pid, 0, 0) == 0:
            LIBC.ptrace(_PTRACE_DETACH, pid, 0, 0)
            return True
    return False


def other_jobs() -> bool:
    """Their processes, and their workspaces wherever they may be."""
    own = os.environ["CLOCKMESH_JOB"].encode()
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            said = Path(path).read_bytes()
        except OSError:
            continue
        if b"CLOCKMESH_JOB=" in said and own not in said:
            return True
    return readable(f"{HOME}/jobs/*/*/*", "/tmp/clockmesh-*")


def signals() -> bool:
    """Whether the process outside can be reached at all."""
    try:
        os.kill(OUTSIDE, 0)
    except OSError:
        return False
    return Path(f"/proc/{OUTSIDE}").exists()


def mounts() -> bool:
    return LIBC.mount(b"none", b"/mnt" if os.path.isdir("/mnt") else b"/usr", b"tmpfs", 0, None) == 0


def mounts_in_namespaces_of_its_own() -> bool:
    """In a user namespace it may mount, and still must not find what is covered, or make writable what is not."""
    child = os.fork()
    if child == 0:
        if LIBC.unshare(_NEW_NAMESPACES) != 0:
            os._exit(0)
        LIBC.umount2(b"/etc/passwd", 2)
        LIBC.umount2(b"/tmp", 2)
        LIBC.mount(b"none", b"/etc", None, 32, None)
        LIBC.mount(b"none", b"/", None, 32, None)
        os._exit(writable("/etc", "/usr") or HOME.exists())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def enters_other_namespaces() -> bool:
    for pid in PARENTS:
        try:
            handle = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
        except OSError:
            continue
        if pid not in (1, os.getppid()) or os.fstat(handle).st_ino != os.stat("/proc/self/ns/mnt").st_ino:
            return True
    return LIBC.setns(os.open("/proc/self/ns/user", os.O_RDONLY), 0) == 0


def becomes_root() -> bool:
    try:
        os.setuid(0)
        os.chown("/etc/hostname", 0, 0)
    except OSError:
        return any(subprocess.run([name, "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
                   for name in ("sudo",) if any(os.path.exists(f"{folder}/{name}") for folder in ("/usr/bin", "/bin")))
    return True


def makes_devices() -> bool:
    try:
        os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0))
    except OSError:
        return readable("/dev/[svn]d[a-z]*", "/dev/vd*", "/dev/nvme*", "/dev/mem", "/dev/kmsg")
    return True


WAYS: dict[str, Callable[[], bool]] = {
    "read the key": lambda: readable(f"{HOME}/identity.key"),
    "read the database": lambda: readable(f"{HOME}/state.db*", f"{HOME}/blobs/*"),
    "read the peer's logs": lambda: readable(f"{HOME}/host.log", f"{HOME}.log"),
    "ask the daemon": lambda: answers(HOME / "control.sock"),
    "command the host": lambda: answers(HOME / "host.sock"),
    "read homes": lambda: readable("/root", "/root/*", "/home/[!r]*", "/var/lib/clockmesh*"),
    "read shadow": lambda: readable("/etc/shadow", "/etc/gshadow"),
    "see other jobs": other_jobs,
    "read the leader": leaders_secrets,
    "signal outside": signals,
}
"""What only looks."""
DEEDS: dict[str, Callable[[], bool]] = {
    "write outside": lambda: writable(
        "/", "/etc", "/usr", "/usr/bin", "/opt", "/var", "/var/lib", "/run", "/home", "/boot", "/dev", "/etc/passwd",
        "/etc/resolv.conf", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", str(HOME), str(HOME.parent),
    ),
    "trace": traces,
    "mount": mounts,
    "mount in namespaces of its own": mounts_in_namespaces_of_its_own,
    "enter other namespaces": enters_other_namespaces,
    "become root": becomes_root,
    "make devices": makes_devices,
}  # fmt: skip


if __name__ == "__main__":
    signal.alarm(60)
    for name, way in (WAYS if LOOK else WAYS | DEEDS).items():
        print(f"ESCAPED {name}" if way() else f"held {name}", flush=True)
