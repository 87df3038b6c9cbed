"""The runner host, a process of its own: `python -m clockmesh.runner.host --home DIR [--unit]`.

It outlives the daemon, so that a restarted daemon finds its jobs; it holds each job's deadline D and kills the job when
D passes, whatever the daemon does; and no job outlives it (see `keeper`). One thread, one selector, no Trio. It loads
what a job needs before the first one, and runs a small one itself, so that a job is a fork away.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import hashlib
import os
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clockmesh.runner.box import check
from clockmesh.runner.faults import FaultError, Faults
from clockmesh.runner.host_jobs import Jobs, boottime
from clockmesh.runner.host_link import Link
from clockmesh.runner.host_messages import (
    Command,
    Extend,
    Forget,
    Hello,
    Kill,
    QuitIfIdle,
    Start,
    Stop,
)
from clockmesh.runner.host_messages import Jobs as KnownJobs
from clockmesh.runner.job import lead
from clockmesh.runner.keeper import run_warden
from clockmesh.runner.lossy import LossyStream
from clockmesh.runner.notify import Notifier
from clockmesh.runner.proctree import become_subreaper
from clockmesh.runner.rehearsal import rehearse
from clockmesh.runner.sandbox import Sandbox

_TICK_S = 0.1
"""The loop's longest sleep while a job exists: `select` does not count suspended time, D does."""
_LEASE_S = 15.0
"""Until a daemon says otherwise."""


class Host:
    """The loop."""

    def __init__(self, home: Path, notifier: Notifier, faults: Faults, *, unit: bool = False) -> None:
        """`unit`: a service manager runs it, and it ends when that says so, however idle and alone it is."""
        self._unit = unit
        self._home = home
        self._refused = ""
        self._notifier = notifier
        self._selector = selectors.DefaultSelector()
        mark = _home_mark(home)
        self._mark = f"{mark}{secrets.token_hex(4)}:"
        self._lives, warden = _start_warden(self._mark)
        self._jobs = Jobs(home, self._mark, lead, lambda report: self._link.report(report), {warden}, faults)
        ended = self._jobs.take_over(mark)
        if ended:
            _say(f"ended {ended} processes that an earlier host had left")
        self._link = Link(home, self._selector)
        self._lease = _LEASE_S
        self._idle_since = boottime()
        self._stopping = False
        self._signals = _signal_socket()
        self._selector.register(self._signals, selectors.EVENT_READ, self._signals)
        self._watched: set[socket.socket] = set()

    def run(self) -> None:
        """Until it was idle and alone for the lease, or was told to end by SIGTERM."""
        self._notifier.ready("waiting for a daemon")
        while not self._done():
            self._notifier.alive_in_time()
            self._watch_keepers()
            ready = self._selector.select(self._patience())
            self._jobs.tick()
            for key, events in sorted(ready, key=lambda found: self._link.is_daemons(found[0].data)):
                self._handle(key.data, events)
        self._link.close()
        os.close(self._lives)

    def _handle(self, ready: socket.socket, events: int) -> None:
        if ready is self._signals:
            self._signalled(ready.recv(4096))
        elif ready in self._watched:
            self._watched.discard(ready)
            self._selector.unregister(ready)
            self._jobs.hear(ready)
        else:
            for command in self._link.handle(ready, events):
                self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case Hello(_, lease, sandbox):
                self._lease = lease
                self._set_sandbox(sandbox)
                self._link.report(KnownJobs(tuple(self._jobs.known()), self._refused))
                for ended in self._jobs.ended():
                    self._link.report(ended)
            case Start(spec, deadline):
                if not self._stopping:
                    self._jobs.start(spec, deadline)
            case Extend(ref, deadline):
                self._jobs.extend(ref, deadline)
            case Stop(ref):
                self._jobs.stop(ref)
            case Kill(ref):
                self._jobs.kill(ref)
            case Forget(ref):
                self._jobs.forget(ref)
            case QuitIfIdle():
                self._stopping = self._stopping or not (self._unit or self._jobs.running)

    def _set_sandbox(self, sandbox: Sandbox) -> None:
        """Try it once: bubblewrap may be there and be forbidden to do what it must."""
        if sandbox != self._jobs.sandbox or self._refused:
            self._jobs.sandbox = sandbox
            self._refused = check(sandbox, self._home)
        if self._refused:
            _say(f"no job can be started: {self._refused}")

    def _signalled(self, numbers: bytes) -> None:
        self._jobs.reap()
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stopping = True
            self._notifier.stopping()
            self._jobs.kill_all("the runner host was stopped")

    def _watch_keepers(self) -> None:
        """Each keeper's socket is waited on until it is readable: a dead one would be readable for ever."""
        for control in self._jobs.controls():
            if control not in self._watched:
                self._watched.add(control)
                self._selector.register(control, selectors.EVENT_READ, control)

    def _done(self) -> bool:
        if self._jobs.running or ((self._link.connected or self._link.expecting) and not self._stopping):
            self._idle_since = boottime()
            return False
        if self._stopping:
            return True
        return not self._unit and boottime() >= self._idle_since + self._lease and self._link.retire()

    def _patience(self) -> float | None:
        """How long to sleep at most."""
        if self._jobs.running:
            first = self._jobs.next_deadline()
            return _TICK_S if first is None else max(0.0, min(_TICK_S, first - boottime()))
        if self._link.connected or self._unit:
            return self._notifier.watchdog_period
        return max(0.0, self._idle_since + self._lease - boottime())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="clockmesh-host", description="Runs the jobs of one clockmesh home.")
    parser.add_argument("--home", required=True, type=Path, help="the daemon's home")
    parser.add_argument("--unit", action="store_true", help="a service manager runs it: never end unasked")
    options = parser.parse_args(arguments)
    sys.stderr = LossyStream(sys.stderr)  # the home's disk may be full
    home = options.home.resolve()
    try:
        faults = Faults.from_environment(os.environ)
    except FaultError as error:
        _say(str(error))
        return 78
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(home) as locked:
        if not locked:
            _say(f"another runner host serves {home}")
            return 6
        become_subreaper()
        if not rehearse(home / "rehearsal", _home_mark(home)):
            return 0
        gc.collect()
        gc.freeze()  # what is loaded now is shared by all jobs: keep the collector from touching it in each fork
        Host(home, Notifier(os.environ), faults, unit=options.unit).run()
    return 0


@contextmanager
def _lock(home: Path) -> Iterator[bool]:
    """The home's host lock, for a second's patience: an earlier host may be on its way out."""
    handle = os.open(home / "host.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + 1.0
        while not (locked := _try_lock(handle)) and time.monotonic() < until:
            time.sleep(0.02)
        yield locked
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _home_mark(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:16] + "."


def _start_warden(mark: str) -> tuple[int, int]:
    """The write end of the pipe whose closing tells the warden that this host is dead, and the warden's pid."""
    lives, held = os.pipe()
    warden = os.fork()
    if warden == 0:
        try:
            os.closerange(3, lives)
            os.closerange(lives + 1, os.sysconf("SC_OPEN_MAX"))
            run_warden(lives, mark)
        finally:
            os._exit(70)
    os.close(lives)
    return held, warden


def _signal_socket() -> socket.socket:
    """Readable with the number of each signal that came."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    return ours


def _say(text: str) -> None:
    print(f"clockmesh host: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
