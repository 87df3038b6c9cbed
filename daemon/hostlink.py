"""The daemon's end of the runner host: finds or starts it, asks what it has, sends commands, hears reports.

A host that goes away takes its jobs with it. The next one first kills what its predecessor left, so only when that one
has answered are the jobs that it does not list reported as ended without a result.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from clockmesh.daemon.errors import HostError
from clockmesh.daemon.home import Home
from clockmesh.protocol.ids import AttemptRef
from clockmesh.runner.host_messages import (
    BadFrame,
    Command,
    Ended,
    Forget,
    Hello,
    Jobs,
    QuitIfIdle,
    Report,
    ReportReader,
    Start,
    pack_command,
    socket_path,
)
from clockmesh.runner.sandbox import NO_SANDBOX, Sandbox

log = structlog.get_logger()
_START_SECONDS = 15.0
"""A host that does not answer within this after its start never will."""
_RETRY_SECONDS = 0.02
"""While a host starts: its socket appears at once or not at all, and a submitted job may be waiting."""
_LEAVE_SECONDS = 0.5
_GREET_PAUSES = (0.1, 0.3, 1.0)
_RECEIVE_BYTES = 65_536
_REMEDY = "install bubblewrap and allow it user namespaces, or set `sandbox: none` in config.yml; then restart"
_FOLDER_REMEDY = "put that right, or take the folder out of config.yml; then restart"


class HostLink:
    """One daemon's link. `connect` first, then `run`; `send` at any time between."""

    def __init__(self, home: Home, incarnation: int, lease: float, reported: Callable[[Report], None], *,
                 unit: bool = False, sandbox: Sandbox = NO_SANDBOX) -> None:
        """`reported` gets each Started and Ended, in order, in the daemon's thread. `unit`: the host is a service
        manager's to start, never ours. `sandbox`: what jobs are to run in."""
        self._home = home
        self._incarnation = incarnation
        self._lease = lease
        self._reported = reported
        self._unit = unit
        self._sandbox = sandbox
        self.refused = ""
        """Why the host cannot start jobs in that sandbox; '' where it can."""
        self._stream: trio.SocketStream | None = None
        self._reader = ReportReader()
        self._early: list[Report] = []
        self._queue: deque[Command] = deque()
        self._queued = trio.Event()
        self._halfway = False
        """A command was cut off while it was sent: nothing may follow it."""
        self._handed: set[AttemptRef] = set()
        self._process: subprocess.Popen[bytes] | None = None

    async def connect(self) -> Jobs:
        """Reach the host, starting one if none answers, and ask what it has. HostError when it does not come up."""
        jobs = await self._greet()
        self._handed = {job.ref for job in jobs.jobs}
        return jobs

    def send(self, command: Command) -> None:
        """Queue a command; it never waits. What a host that dies has not been sent goes to the next one."""
        if isinstance(command, Start):
            self._handed.add(command.spec.ref)
        elif isinstance(command, Forget):
            self._handed.discard(command.ref)
        self._queue.append(command)
        self._queued.set()

    async def run(self) -> None:
        """Carry commands and reports until cancelled. HostError when no host can be started any more."""
        while True:
            await self._carry()
            log.warning("host_lost", jobs=len(self._handed))
            jobs = await self._greet()
            for ref in sorted(self._handed - {job.ref for job in jobs.jobs} - self._unsent()):
                self._report(Ended(ref, None, "the runner host went away"))

    def _unsent(self) -> set[AttemptRef]:
        """What is still to be handed to the host that answers now: reported as lost, it would run all the same."""
        return {command.spec.ref for command in self._queue if isinstance(command, Start)}

    async def leave(self) -> None:
        """After `run`: part in order, so that a host without jobs ends at once. Never waits long."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with trio.move_on_after(_LEAVE_SECONDS) as scope:
            scope.shield = True
            if not self._halfway:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await stream.send_all(pack_command(QuitIfIdle()))
        await trio.aclose_forcefully(stream)

    # ---- one connection ----

    async def _carry(self) -> None:
        """Serve one connection to its end."""
        stream = self._stream
        if stream is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream, nursery.cancel_scope)
            await self._read(stream)
            nursery.cancel_scope.cancel()
        self._stream = None
        await trio.aclose_forcefully(stream)

    async def _write(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        try:
            while True:
                while self._queue:
                    self._halfway = True
                    await stream.send_all(pack_command(self._queue.popleft()))
                    self._halfway = False
                self._queued = trio.Event()
                await self._queued.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()

    async def _read(self, stream: trio.SocketStream) -> None:
        early, self._early = self._early, []
        for report in early:
            self._report(report)
        try:
            while data := await stream.receive_some(_RECEIVE_BYTES):
                for report in self._reader.feed(data):
                    self._report(report)
        except (trio.BrokenResourceError, trio.ClosedResourceError, BadFrame):
            return

    def _report(self, report: Report) -> None:
        if isinstance(report, Ended):
            self._handed.discard(report.ref)
        self._reported(report)

    # ---- reaching a host ----

    async def _greet(self) -> Jobs:
        """Ask the host; again, should the one that was reached be just ending."""
        for pause in _GREET_PAUSES:
            try:
                return await self._ask_jobs()
            except HostError as error:
                log.warning("host_lost", error=str(error))
                await trio.sleep(pause)
        return await self._ask_jobs()

    async def _ask_jobs(self) -> Jobs:
        stream = await self._reach()
        self._reader = ReportReader()
        try:
            await stream.send_all(pack_command(Hello(self._incarnation, self._lease, self._sandbox)))
            reports: list[Report] = []
            while not reports:
                data = await stream.receive_some(_RECEIVE_BYTES)
                if not data:
                    raise HostError(f"the runner host of {self._home.path} closed the connection; see "
                                      f"{self._told_in()}")
                reports = self._reader.feed(data)
        except (trio.BrokenResourceError, BadFrame) as error:
            await trio.aclose_forcefully(stream)
            raise HostError(f"the runner host of {self._home.path} does not answer: {error}") from error
        jobs, *self._early = reports
        if not isinstance(jobs, Jobs):
            raise HostError(f"the runner host of {self._home.path} is of another version; stop it")
        self._stream = stream
        self._halfway = False
        remedy = _FOLDER_REMEDY if jobs.refused.startswith("sandbox_paths:") else _REMEDY
        self.refused = f"{jobs.refused}; {remedy}" if jobs.refused and self._sandbox.on else ""
        log.info("host_connected", jobs=len(jobs.jobs), sandbox=self._sandbox.name)
        if self.refused:
            log.error("sandbox_refused", reason=self.refused)
        return jobs

    async def _reach(self) -> trio.SocketStream:
        """A connection to the host; one is started, or its unit waited for, when none listens."""
        if stream := await self._dial():
            return stream
        if not self._unit:
            self._start()
        with trio.move_on_after(_START_SECONDS):
            while True:
                if stream := await self._dial():
                    return stream
                if self._process is not None and self._process.poll() is not None:
                    break
                await trio.sleep(_RETRY_SECONDS)
        raise HostError(f"the runner host does not start; see {self._told_in()}")

    def _told_in(self) -> str:
        """Where the host says what is wrong with it."""
        return "`journalctl -u clockmesh-host`" if self._unit else str(self._home.host_log)

    async def _dial(self) -> trio.SocketStream | None:
        """The socket is named through a descriptor of its folder: a Unix socket's path may have 108 bytes only."""
        folder = os.open(self._home.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return await trio.open_unix_socket(f"/proc/self/fd/{folder}/{socket_path(self._home.path).name}")
        except OSError:
            return None
        finally:
            os.close(folder)

    def _start(self) -> None:
        """In a session of its own: a restart of the daemon, or a signal to its terminal, must not reach the jobs."""
        if self._process is not None:
            self._process.poll()
        environment = {key: value for key, value in os.environ.items() if key not in _DAEMON_ONLY}
        with self._home.host_log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clockmesh.runner.host", "--home", str(self._home.path)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._home.path, env=environment,
                start_new_session=True, close_fds=True)
        log.info("host_started", pid=self._process.pid)


_DAEMON_ONLY = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "INVOCATION_ID")
"""The daemon's own dealings with systemd: a child that speaks there would speak for it."""
