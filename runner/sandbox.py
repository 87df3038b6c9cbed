"""What a job sees of this machine: the owner's choice, and the arguments of bubblewrap that make it so.

    read-only   /usr /etc /opt and the like, /sys, and what the owner adds as `DIR:ro`
    its own     /home/runner (HOME, and the workspace below it), /tmp, /dev/shm, /proc, and what the owner adds
    not there   everything else: other homes, /var, /run, /root, the peer's own folder and sockets, other jobs
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

USER = "runner"
"""What a job's user is called inside, as on GitHub."""
HOME = Path("/home/runner")
FIRST_USER = 60_706
"""Jobs of a host that runs as root get users from here on: ids that systemd's table of uids leaves unused, within the
65,536 that a container has."""
USERS = 478
NETWORK_OFF = "network-off"
"""A label for `runs-on`: the job has no network but a loopback of its own. Peers with a sandbox offer it."""
UNKEPT = f"no sandbox: the network is on, whatever the label {NETWORK_OFF} says"
"""In the log of a job that `run local` runs so."""
MAX_PROCESSES = 2048
"""Of one job, threads too. A build of many cores needs some hundred; a fork bomb of so many still ends at once."""
_SYSTEM = ("bin", "etc", "gnu", "lib", "nix", "opt", "sbin", "usr")
"""Top folders that hold programs and their settings; `lib64` and its like go with `lib`."""
_OF_VAR = ("/var/lib/dpkg", "/var/lib/ca-certificates", "/var/lib/texmf", "/var/cache/fontconfig")
"""Programs read there what they need, and nobody keeps a secret there."""
_MEMORY_SHARE = 8
"""/tmp and /dev/shm may take an eighth of the memory each: two jobs that fill both leave half of it."""
_LARGEST_TMP = 1 << 30


@dataclass(frozen=True, slots=True)
class Extra:
    """A folder of the machine that jobs see as well, at its own path."""

    path: str
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The owner's choice."""

    on: bool = True
    extras: tuple[Extra, ...] = ()
    tmp: int = 0
    """Bytes that /tmp may hold, and /dev/shm; 0: a part of the memory, see `tmp_bytes`."""
    processes: int = MAX_PROCESSES
    """Of one job, threads too."""
    memory: int = 0
    """Bytes of data that each process of a job may have; 0: no bound."""

    @property
    def name(self) -> str:
        return "bubblewrap" if self.on else "none"


NO_SANDBOX = Sandbox(on=False)


@dataclass(frozen=True, slots=True)
class Inside:
    """What of one job's sandbox differs from another's."""

    home: Path
    """The folder that is HOME inside."""
    workspace: Path
    """The folder that is `HOME/work` inside."""
    hidden: Path
    """The peer's own folder, wherever it lies."""
    passwd: int
    """Descriptor to read the file /etc/passwd from."""
    group: int
    network: bool = True


def sandbox_to_map(sandbox: Sandbox) -> dict[str, Any]:
    extras = [[extra.path, extra.writable] for extra in sandbox.extras]
    bounds = {"tmp": sandbox.tmp, "processes": sandbox.processes, "memory": sandbox.memory}
    return {"on": sandbox.on, "extras": extras, **bounds}


def sandbox_from_map(fields: Mapping[str, Any]) -> Sandbox:
    """Inverse of `sandbox_to_map`; KeyError, TypeError or ValueError where something is missing or wrong."""
    extras = tuple(Extra(str(path), bool(writable)) for path, writable in fields["extras"])
    return Sandbox(
        bool(fields["on"]), extras, int(fields["tmp"]), int(fields["processes"]), int(fields["memory"])
    )


def arguments(sandbox: Sandbox, inside: Inside) -> list[str]:
    """For `bwrap`, up to the program that it is to run."""
    return [
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"),
        *(() if inside.network else ("--unshare-net",)),
        *(("--unshare-user",) if os.getuid() else ()),
        *_system(),
        *("--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys"),
        *_memory("/dev/shm", sandbox.tmp),
        *("--remount-ro", "/dev"),
        *_memory("/tmp", sandbox.tmp),
        *_hide(inside.hidden),
        *_folders("/home", "/var", "/var/lib", "/var/cache", "/run"),
        *("--symlink", "../tmp", "/var/tmp", "--symlink", "../run", "/var/run"),
        *_read_only(*_OF_VAR, *_resolver()),
        *("--perms", "0644", "--ro-bind-data", str(inside.passwd), "/etc/passwd"),
        *("--perms", "0644", "--ro-bind-data", str(inside.group), "/etc/group"),
        *("--bind", str(inside.home), str(HOME), "--bind", str(inside.workspace), str(HOME / "work")),
        *_extras(sandbox),
        *("--remount-ro", "/", "--chdir", "/"),
    ]


def passwd(uid: int, name: str = "/etc/passwd") -> bytes:
    """The machine's own file with the job's user in place of whoever has that id. GECOS, HOME and shell as usual."""
    return _with_user(name, f"{USER}:x:{uid}:{uid}:{USER}:{HOME}:/bin/bash", uid)


def group(gid: int, name: str = "/etc/group") -> bytes:
    return _with_user(name, f"{USER}:x:{gid}:", gid)


def tmp_bytes() -> int:
    """How much /tmp of a job may hold, and /dev/shm, where the owner says nothing."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(_LARGEST_TMP, memory // _MEMORY_SHARE)


def described(sandbox: Sandbox, *, network: bool) -> str:
    """For the log of a job."""
    memory = f", each {sandbox.memory >> 20} MiB" if sandbox.memory else ""
    return (f"in a sandbox (bubblewrap): network {'on' if network else 'off'}, /tmp "
            f"{(sandbox.tmp or tmp_bytes()) >> 20} MiB, {sandbox.processes} processes{memory}")


def unseen(url: str) -> str:
    """In a sandbox: what to do about a repository that is a folder of the machine and is not there; '' for others."""
    path = url.removeprefix("file://")
    if not path.startswith("/") or os.path.exists(path):
        return ""
    return f"{path} is not in the job's sandbox; name it, or a folder above it, in sandbox_paths of the config.yml here"


def _with_user(name: str, line: str, number: int) -> bytes:
    try:
        lines = Path(name).read_text(errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    kept = [other for other in lines if other.split(":")[2:3] != [str(number)] and not other.startswith(f"{USER}:")]
    return "".join(f"{each}\n" for each in [line, *kept]).encode(errors="surrogateescape")


@cache
def _system() -> tuple[str, ...]:
    """The machine's programs. A top folder that is a link (`/bin` to `usr/bin`) is one inside too."""
    words: list[str] = []
    for name in sorted(os.listdir("/")):
        if name in _SYSTEM or (name.startswith("lib") and name[3:].isalnum()):
            path = f"/{name}"
            if os.path.islink(path):
                words += ["--symlink", os.readlink(path), path]
            elif os.path.isdir(path):
                words += ["--ro-bind", path, path]
    return tuple(words)


def _memory(path: str, size: int) -> tuple[str, ...]:
    return ("--perms", "1777", "--size", str(size or tmp_bytes()), "--tmpfs", path)


def _hide(folder: Path) -> Iterator[str]:
    """Cover the peer's folder where it lies in one that is shown."""
    if folder.parts[1] in _SYSTEM:
        yield from ("--perms", "0755", "--tmpfs", str(folder), "--remount-ro", str(folder))


def _folders(*paths: str) -> Iterator[str]:
    """Left to itself bubblewrap makes folders that only root may enter."""
    for path in paths:
        yield from ("--perms", "0755", "--dir", path)


def _read_only(*paths: str) -> Iterator[str]:
    for path in paths:
        if os.path.exists(path):
            yield from _folders(*_above(path))
            yield from ("--ro-bind-try", path, path)


def _resolver() -> tuple[str, ...]:
    """Where /etc/resolv.conf leads, if that is not in /etc: the folder, since the file is replaced when it changes."""
    real = os.path.realpath("/etc/resolv.conf")
    folder = os.path.dirname(real)
    if real.startswith("/etc/") or not os.path.exists(real):
        return ()
    return (folder if folder.count("/") > 1 else real,)


def _extras(sandbox: Sandbox) -> Iterator[str]:
    for extra in sandbox.extras:
        yield from _folders(*_above(extra.path))
        yield from ("--bind" if extra.writable else "--ro-bind", extra.path, extra.path)


def _above(path: str) -> list[str]:
    """The folders that a mount at `path` needs, from the top; those of the system are there."""
    if Path(path).parts[1] in _SYSTEM:
        return []
    return [str(parent) for parent in reversed(Path(path).parents) if parent.parts[1:] not in ((), ("tmp",))]
