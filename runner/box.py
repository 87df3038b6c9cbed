"""One job's sandbox: bubblewrap makes the namespaces and mounts, the job's leader enters them.

    keeper ─┬─ bwrap ── bwrap, process 1 inside ── cat     holds the sandbox open
            └─ leader ── step ── ...                       forked from the host, inside

bubblewrap's program only waits: it ends when the keeper does, and with it, by the kernel's hand, whatever runs inside,
daemonised or not. The leader enters by `setns`, which saves a fresh interpreter for each job. It runs inside, as the
job's user: a link that a job puts where the leader reads or writes leads it nowhere that the job itself could not go.
"""

from __future__ import annotations

import codecs
import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from clockmesh.runner import namespaces
from clockmesh.runner.files import remove_tree
from clockmesh.runner.proctree import MARK, become_subreaper
from clockmesh.runner.sandbox import (
    FIRST_USER,
    HOME,
    USER,
    USERS,
    Inside,
    Sandbox,
    arguments,
    group,
    passwd,
)

_PATIENCE_S = 5.0
"""For bubblewrap to make a sandbox, which takes some milliseconds; a dead network folder may hold it up."""
_TOO_LATE = "bubblewrap did not make a sandbox in time"
_INSIDE = "inside"
"""The word of a leader that is in the sandbox, as its user."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("LANG", "LANGUAGE", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE",
         "SSL_CERT_DIR")  # fmt: skip
"""What a sandboxed job has of the host's environment, with LC_*; the rest may be the owner's secrets."""


for _name in ("utf-8-sig", "utf-16", "utf-32", "latin-1", "ascii", "idna", "punycode", "unicode_escape"):
    codecs.lookup(_name)
"""Python loads a codec when it is first asked for, and its library may not be in the sandbox. Modules are no concern:
the leader's were loaded with the host."""


class BoxError(Exception):
    """The sandbox could not be made; one line."""


class Box:
    """One sandbox. In the keeper `open`, fork, `adopt` the child; in the child `enter`."""

    def __init__(self, sandbox: Sandbox, folder: Path, mark: str, uid: int, *, hidden: Path, network: bool = True,
                 files: tuple[str, ...] = ()) -> None:
        """`folder`: the attempt's. `uid`: whose the job is. `hidden`: the peer's own folder. `files`: paths of what the
        leader is to read."""
        self._sandbox = sandbox
        self._folder = folder
        self._mark = mark
        self._uid = uid
        self._hidden = hidden
        self._network = network
        self._files = files
        self._bwrap = 0
        self._carried: dict[str, str] = {}

    # ---- in the keeper ----

    def open(self) -> None:
        """Start bubblewrap. BoxError when it is not there."""
        program = shutil.which("bwrap")
        if program is None:
            raise BoxError("bubblewrap is not installed (there is no bwrap)")
        try:
            self._start(program)
        except OSError as error:
            raise BoxError(f"{error.filename or program}: {error.strerror}") from error

    def _start(self, program: str) -> None:
        self._make_folders()
        self._lifeline, held = socket.socketpair()
        self._errors, errors = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._info, info = os.pipe2(os.O_CLOEXEC)
        self._leader, self._said = os.pipe2(os.O_CLOEXEC)
        users, groups = _memory_file(passwd(self._uid)), _memory_file(group(self._uid))
        inside = Inside(self._home, self._workspace, self._hidden, users, groups, self._network)
        words = [program, "--info-fd", str(info), *arguments(self._sandbox, inside), "--", "/bin/cat"]
        given = [(held.fileno(), 0), (held.fileno(), 1), (errors, 2), *((kept, kept) for kept in (info, users, groups))]
        self._bwrap = _spawn(program, words, {"PATH": _PATH, MARK: self._mark}, given)
        held.close()
        for handle in (errors, info, users, groups):
            os.close(handle)
        with suppress(OSError):  # it has ended already, and says why
            self._lifeline.send(b".")

    def adopt(self, entrant: int) -> int:
        """The leader, which the forked child `entrant` is about to make: from now on the caller's child, which must be
        a subreaper. BoxError when there will be none."""
        os.close(self._said)
        os.close(self._info)
        try:
            said = _read_in_time(self._leader, lines=2)
            os.kill(entrant, signal.SIGKILL)  # it has ended, or is stuck
            os.waitpid(entrant, 0)
        finally:
            os.close(self._leader)
        words = said.decode(errors="replace").splitlines()
        numbers = [int(word) for word in words if word.isdecimal()]
        if not numbers or _INSIDE not in words:
            raise BoxError(next((word for word in words if word != _INSIDE and not word.isdecimal()), self._why()))
        return numbers[0]

    def end(self) -> None:
        """SIGKILL for all that is inside."""
        if self._bwrap:
            with suppress(ProcessLookupError):
                os.kill(self._bwrap, signal.SIGKILL)

    def _make_folders(self) -> None:
        """Those that it shows, and the attempt's own for the leader's files; the job's user's."""
        self._home, self._workspace = self._folder / "work/home", self._folder / "work/job"
        for place in (self._home, self._workspace, self._home / "work"):
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.getuid() != self._uid:
            for place in (self._folder, self._home, self._workspace):
                os.chown(place, self._uid, self._uid)

    def _why(self) -> str:
        """What bubblewrap says."""
        with suppress(OSError):
            said = os.read(self._errors, 4096).decode(errors="replace").split("\n")[0]
            if said:
                return said
        return _TOO_LATE

    # ---- in the child ----

    def enter(self) -> None:
        """Be in the sandbox, as its user. Returns in a child of the caller, and never in the caller."""
        try:
            self._carry()
            namespaces.join(self._wait(), user=os.getuid() != 0, network=not self._network)
            leader = os.fork()
            if leader:
                os.write(self._said, f"{leader}\n".encode())
                os._exit(0)
            namespaces.leave_keyring()
            namespaces.bound(self._sandbox.processes, self._sandbox.memory)
            namespaces.become(self._uid)
            os.write(self._said, f"{_INSIDE}\n".encode())
        except OSError as error:
            os.write(self._said, f"the sandbox could not be entered: {error.strerror}\n".encode())
            os._exit(1)
        for handle in (self._said, self._info, self._errors, self._leader):
            os.close(handle)
        self._lifeline.close()
        _change_environment()

    def _wait(self) -> int:
        """Until all is mounted, so that the program runs and answers: the process that has the namespaces. The end of
        this process where bubblewrap fails, which says why elsewhere."""
        try:
            process = json.loads(_until(b"}", self._info))["child-pid"]
            if self._lifeline.recv(1) == b".":
                return int(process)
        except (ConnectionError, ValueError):
            pass
        os._exit(1)

    def carried(self, path: str) -> str:
        """In the sandbox: the path of one of the `files`, or of the folder; '' stays ''."""
        return self._carried.get(path, path)

    def _carry(self) -> None:
        """Open what lies outside. A descriptor leads there from anywhere; steps do not get it, and may not look at the
        leader's."""
        for path in (str(self._folder), *filter(None, self._files)):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if os.getuid() != self._uid and path != str(self._folder):
                os.fchmod(handle, 0o644)  # for the job's user; the peer's folder around it stays closed
            self._carried[path] = f"/proc/self/fd/{handle}"

    @property
    def work(self) -> str:
        """In the sandbox: where the job's places are."""
        return str(HOME / "work")


def check(sandbox: Sandbox, home: Path) -> str:
    """Make one and enter it: '' when that works here, else the reason, one line. Takes some 20 ms."""
    if not sandbox.on:
        return ""
    for extra in sandbox.extras:
        if not os.path.isdir(extra.path):
            return f"sandbox_paths: there is no folder {extra.path}"
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, f"{_try(sandbox, home)}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = _read_in_time(reading, lines=1).decode(errors="replace").strip()
    os.close(reading)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "" if said == _INSIDE else said or _TOO_LATE


def job_user(taken: int) -> int:
    """Whose a job is: of a host that runs as root one of the users kept for that, else the host's own."""
    return FIRST_USER + taken % USERS if os.getuid() == 0 else os.getuid()


def _try(sandbox: Sandbox, home: Path) -> str:
    """_INSIDE where all went well, else the reason."""
    become_subreaper()
    folder = home / f"sandbox-check-{os.getpid()}"
    folder.mkdir(mode=0o700)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    box = Box(sandbox, folder, "check:", job_user(0), hidden=home)
    try:
        box.open()
        entrant = os.fork()
        if entrant == 0:
            try:
                box.enter()
                os.write(writing, (_not_writable(sandbox) or _INSIDE).encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(box.adopt(entrant), 0)
        return os.read(reading, 4096).decode()
    except (BoxError, OSError) as error:
        return str(error)
    finally:
        box.end()
        remove_tree(folder)


def _not_writable(sandbox: Sandbox) -> str:
    for extra in sandbox.extras:
        if extra.writable and not os.access(extra.path, os.W_OK | os.X_OK):
            return f"sandbox_paths: {extra.path} is not writable by uid {os.getuid()}, whose jobs are"
    return ""


def _spawn(program: str, words: list[str], environment: Mapping[str, str], given: Iterable[tuple[int, int]]) -> int:
    """A process that has of this one's descriptors those `given`, (here, there), and so leaves no other in the
    sandbox; its pid."""
    moves = [(os.POSIX_SPAWN_DUP2, here, there) for here, there in given]
    return os.posix_spawn(program, words, environment, file_actions=moves, setsigmask=())


def _memory_file(data: bytes) -> int:
    handle = os.memfd_create("clockmesh", os.MFD_CLOEXEC)
    os.write(handle, data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _until(end: bytes, handle: int) -> bytes:
    """All that is said up to `end`, or to the end of the pipe."""
    said = b""
    while end not in said and (more := os.read(handle, 4096)):
        said += more
    return said


def _read_in_time(handle: int, *, lines: int) -> bytes:
    """So many lines; what there is of them by the end of the pipe, or by the end of `_PATIENCE_S`."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    until, said = time.monotonic() + _PATIENCE_S, b""
    while said.count(b"\n") < lines and poll.poll(max(0.0, until - time.monotonic()) * 1000):
        more = os.read(handle, 4096)
        if not more:
            break
        said += more
    return said


def _change_environment() -> None:
    """What the job's steps are to inherit."""
    path = ":".join(part for part in os.environ.get("PATH", _PATH).split(":") if os.path.isdir(part))
    kept = {name: value for name, value in os.environ.items() if name.upper() in _KEPT or name.startswith("LC_")}
    os.environ.clear()
    os.environ.update(kept, PATH=path or _PATH, HOME=str(HOME), USER=USER, LOGNAME=USER)
