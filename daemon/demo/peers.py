"""Real daemons and the real command, as a user would start them, each in a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmesh.runner.box import check
from clockmesh.runner.proctree import all_processes, descendants
from clockmesh.runner.sandbox import FIRST_USER, Sandbox

_COMMAND = (sys.executable, "-m", "clockmesh.daemon.cli")
_DAEMON = (sys.executable, "-m", "clockmesh.daemon.app")
_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 10.0


class DemoError(Exception):
    """What the demo found wrong, in words."""


@dataclass
class Peer:
    """One daemon with its home and its log."""

    name: str
    home: Path
    daemon: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()
    """More words for `clockmeshd`."""
    environment: dict[str, str] = field(default_factory=dict)
    """More variables for it."""

    @property
    def log(self) -> Path:
        return self.home.with_suffix(".log")

    def run(self, *words: str, good: Sequence[int] = (0,), limit: float = 60.0, typed: str | None = None) -> str:
        """What `clockmesh WORDS` prints on this peer, `typed` being its standard input; DemoError when it exits with
        anything but `good`."""
        try:
            done = subprocess.run(
                [*_COMMAND, *words, "--home", str(self.home)], capture_output=True, text=True, timeout=limit,
                input=typed,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"`clockmesh {' '.join(words)}` on {self.name} took over {limit:.0f} s") from None
        if done.returncode not in good:
            told = done.stderr.strip() or done.stdout.strip() or "nothing"
            raise DemoError(f"`clockmesh {' '.join(words)}` on {self.name} exited {done.returncode}: {told}")
        return done.stdout

    def waiting(self, *words: str) -> Iterator[None]:
        """Run `clockmesh WORDS`, yielding a few times a second until it has ended, and once more then."""
        with subprocess.Popen([*_COMMAND, *words, "--home", str(self.home)], stdout=subprocess.DEVNULL) as command:
            while command.poll() is None:
                yield
                time.sleep(0.1)
        yield

    def json(self, *words: str, **options: Any) -> Any:
        return json.loads(self.run(*words, "--json", **options))

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [*_DAEMON, "--home", str(self.home), "--listen", "127.0.0.1:0", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        wait_until(self._answers, f"daemon of {self.name} answers", _START_LIMIT_S)

    def _answers(self) -> bool:
        if self.daemon is None or self.daemon.poll() is not None:
            raise DemoError(f"the daemon of {self.name} ended: {self.log.read_text()[-1500:]}")
        try:
            return bool(self.json("status")["peer"])
        except DemoError:
            return False

    def kill(self) -> int:
        """SIGKILL the daemon; its process id."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()
        return self.daemon.pid

    def stop(self) -> None:
        """End the daemon in order, then its runner host."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        for pid in self.hosts():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.hosts(), f"the runner host of {self.name} ends", _STOP_LIMIT_S)

    def hosts(self) -> list[int]:
        return host_pids(self.home)

    def jobs(self) -> list[int]:
        """The leading processes of the jobs that run here."""
        table = all_processes()
        below = [proc.pid for host in self.hosts() for proc in descendants(host, table)]
        return [pid for pid in below if _title(pid).startswith(b"job: ")]

    def processes(self, pid: int) -> list[int]:
        """Those of the jobs here that call themselves `pid`, which in a sandbox is a number of its own."""
        table = all_processes()
        below = [proc.pid for host in self.hosts() for proc in descendants(host, table)]
        return [outer for outer in below if _own_number(outer) == pid]


@dataclass
class Mesh:
    """The peers of the demo, by name, the first being the founder."""

    folder: Path
    peers: dict[str, Peer] = field(default_factory=dict)
    sandbox: str = "bubblewrap"
    seen: tuple[Path, ...] = ()
    """More folders that jobs see."""

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    def __iter__(self) -> Iterator[Peer]:
        return iter(self.peers.values())

    @property
    def living(self) -> list[Peer]:
        return [peer for peer in self if peer.daemon is not None and peer.daemon.poll() is None]

    @property
    def shared(self) -> Path:
        """A folder that the jobs of all peers see and may write to."""
        return self.folder / "shared"

    def new_peer(self, name: str, *options: str) -> Peer:
        peer = self.peers[name] = Peer(name, self.folder / name, options=options)
        peer.home.mkdir(mode=0o700)
        share_with_jobs(self.shared)
        folders = ", ".join(str(folder) for folder in (self.shared, *self.seen))
        peer.home.joinpath("config.yml").write_text(f"sandbox: {self.sandbox}\nsandbox_paths: [{folders}]\n")
        return peer


@contextmanager
def stopped_at_end(mesh: Mesh) -> Iterator[Mesh]:
    """End every daemon and host when the block ends, however it ends."""
    try:
        yield mesh
    finally:
        for peer in mesh:
            peer.stop()


def share_with_jobs(folder: Path) -> None:
    """Make it, writable for jobs, which are another user's where this one is root."""
    folder.mkdir(exist_ok=True)
    if os.getuid() == 0:
        os.chown(folder, FIRST_USER, FIRST_USER)


def why_no_sandbox(folder: Path) -> str:
    """Of this machine; '' where one can be made."""
    return check(Sandbox(), folder)


def host_pids(home: Path) -> list[int]:
    """Process ids of a home's runner host: one or none, since keepers and jobs soon go by titles of their own."""
    mark = f"clockmesh.runner.host\0--home\0{home}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return sorted(found)


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _own_number(pid: int) -> int:
    """What a process of the innermost PID namespace calls itself."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))
    return 0


def wait_until(true: Callable[[], object], what: str, limit: float) -> None:
    """Ask `true` again and again; DemoError saying `what` did not come within `limit` seconds."""
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise DemoError(f"after {limit:.0f} s still not so: {what}")
        time.sleep(0.05)
