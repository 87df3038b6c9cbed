"""A runner host whose jobs are in a sandbox, as root and as another user: the sandbox is made differently."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from clockmesh.protocol.result import Conclusion
from clockmesh.runner import box, host
from clockmesh.runner import host_messages as messages
from clockmesh.runner.sandbox import FIRST_USER, Sandbox
from tests.integration.runner_hosts import HOUR, Daemon, boottime, log_of, script, spec_of
from tests.integration.runner_support import wait_for

TICKET = "owners-ticket"
PLAIN_USER = 61_500
"""Of the daemon, where the tests run as root: nobody's."""
KINDS = ("as root", "as a user") if os.getuid() == 0 else ("as a user",)


class Boxed:
    """A host with a daemon that asks for a sandbox."""

    def __init__(self, home: Path, kind: str, sandbox: Sandbox):
        self.home = home
        self.uid = PLAIN_USER if os.getuid() == 0 and kind == "as a user" else os.getuid()
        self.process = _fork_host(home, self.uid)
        self.daemon = Daemon(home, sandbox=sandbox)
        self._attempts = 0

    @property
    def job_user(self) -> int:
        """Whose the jobs are that share folders."""
        return FIRST_USER if self.uid == 0 else self.uid

    def start(self, text, *, deadline=None, **more):
        """The spec of a job that was started: `text` is the script of its one step, or a workflow."""
        self._attempts += 1
        flow = text if text.startswith("on:") else script(text)
        spec = spec_of(self.home, flow, attempt=self._attempts, **more)
        self.last = spec
        Path(spec.workflow).chmod(0o644)
        self.daemon.send(messages.Start(spec, deadline or boottime() + HOUR))
        return spec

    def run(self, text, **more):
        """The lines that a job printed, which must end well."""
        spec = self.start(text, **more)
        result = self.daemon.result(spec.ref)
        lines = log_of(self.home, spec.ref)
        assert result.conclusion is Conclusion.SUCCESS, (result.error, lines)
        return lines

    def lines(self, spec):
        return log_of(self.home, spec.ref)


@contextmanager
def boxed(kind: str, sandbox: Sandbox | None = None, *, tried: bool = True):
    """In a folder that both users can reach; not in pytest's, which is the runner's own."""
    if tried and (reason := box.check(Sandbox(), Path(tempfile.gettempdir()))):
        pytest.skip(f"no sandbox can be made here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="cm-box-"))
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir(mode=0o700)
    if kind == "as a user" and os.getuid() == 0:
        os.chown(home, PLAIN_USER, PLAIN_USER)
    host = Boxed(home, kind, sandbox or Sandbox())
    try:
        yield host
    finally:
        os.kill(host.process, signal.SIGTERM)
        os.waitpid(host.process, 0)
        shutil.rmtree(folder, ignore_errors=True)


def _keep_a_ticket() -> None:
    """Have a key in the session keyring, as a login may."""
    if os.uname().machine == "x86_64":
        libc = ctypes.CDLL(None)
        libc.syscall(250, 1, None)
        libc.syscall(248, b"user", TICKET.encode(), b"hush", 4, -3)


def _fork_host(home: Path, uid: int) -> int:
    """Not a fresh interpreter, whose files the other user may not be able to read."""
    log = os.open(home / "host.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.chown(home / "host.log", uid, uid)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            if uid != os.getuid():
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            _keep_a_ticket()
            host.main(["--home", str(home)])
        finally:
            os._exit(0)
    os.close(log)
    wait_for(lambda: (home / "host.sock").exists(), "the host listens")
    return child
