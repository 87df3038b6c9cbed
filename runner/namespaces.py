"""Entering the namespaces of another process, and giving up what this one may do. See setns(2), capabilities(7).

The process that enters was forked from the runner host, so that a job needs no fresh interpreter. It still has the
host's memory: therefore nobody inside may look into it (`dumpable` off), as long as it has executed nothing else.
"""

from __future__ import annotations

import ctypes
import os
import resource

_FLAGS = 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000
"""CLONE_NEWNS, NEWPID, NEWIPC, NEWUTS. Named one by one: a unit's RestrictNamespaces refuses `any`."""
_USER = 0x10000000
_NET = 0x40000000
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_KEYCTL = {"x86_64": 250, "aarch64": 219}
"""Its number, which has no name in libc."""
_JOIN_SESSION_KEYRING = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def join(process: int, *, user: bool, network: bool) -> None:
    """Enter the mount, IPC and UTS namespaces of `process`, and its user and network namespace where asked; children
    are born in its PID namespace. The folder is then the root. OSError."""
    handle = os.pidfd_open(process)
    try:
        _call("setns", handle, _FLAGS | (_USER if user else 0) | (_NET if network else 0))
    finally:
        os.close(handle)


def become(uid: int) -> None:
    """Be this user, its own group alone, with no capability and no way to one. Asked for the user that it is already,
    it keeps its groups: who has made a user namespace may not drop them."""
    for capability in range(_last_capability() + 1):
        _prctl(_PR_CAPBSET_DROP, capability)
    if os.getuid() != uid:
        os.setgroups([uid])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _prctl(_PR_CAP_AMBIENT, _CLEAR_ALL)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def leave_keyring() -> None:
    """A session keyring of its own, where the kernel has keyrings: the peer's may hold its user's tickets."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        _LIBC.syscall(number, _JOIN_SESSION_KEYRING, None)


def bound(processes: int, memory: int) -> None:
    """Of this user, in its user namespace: so many processes; of each so many bytes of data, 0 for any number; and no
    core files."""
    limits = [(resource.RLIMIT_NPROC, processes), (resource.RLIMIT_CORE, 0)]
    if memory:
        limits.append((resource.RLIMIT_DATA, memory))
    for what, most in limits:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3)


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
