"""The runner host as a service manager runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clockmesh.runner.host_messages import QuitIfIdle
from tests.integration.runner_hosts import Daemon

WATCHDOG_S = 1.0


@contextmanager
def unit(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A host of the home `folder`/home, and where a service manager listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(15)
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"),
                       "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
        command = [sys.executable, "-P", "-m", "clockmesh.runner.host", "--home", str(folder / "home"), "--unit"]
        host = subprocess.Popen(command, env=environment)
        try:
            assert manager.recv(4096).startswith(b"READY=1")
            yield host, manager
        finally:
            if host.poll() is None:
                host.kill()
            host.wait()


def test_a_unit_is_ready_when_it_can_be_reached_and_ends_in_order(tmp_path: Path) -> None:
    with unit(tmp_path) as (host, manager):
        assert (tmp_path / "home/host.sock").exists()
        host.terminate()
        heard = []
        while b"STOPPING=1" not in heard:
            heard.append(manager.recv(4096))
        assert host.wait(5) == 0


def test_a_unit_stays_however_idle_and_alone_it_is(tmp_path: Path) -> None:
    with unit(tmp_path) as (host, _):
        daemon = Daemon(tmp_path / "home", lease=0.1)
        daemon.send(QuitIfIdle())
        daemon.close()
        time.sleep(1)  # many leases
        assert host.poll() is None
        Daemon(tmp_path / "home", incarnation=2).close()


def test_a_unit_feeds_its_watchdog_with_and_without_a_daemon(tmp_path: Path) -> None:
    with unit(tmp_path) as (_, manager):
        assert longest_silence(manager, 2.2) < WATCHDOG_S
        daemon = Daemon(tmp_path / "home")
        assert longest_silence(manager, 2.2) < WATCHDOG_S
        daemon.close()


def longest_silence(manager: socket.socket, seconds: float) -> float:
    """Between two signs of life heard in the time, or its ends."""
    last, longest, end = time.monotonic(), 0.0, time.monotonic() + seconds
    while last < end:
        assert manager.recv(4096) == b"WATCHDOG=1"
        longest = max(longest, time.monotonic() - last)
        last = time.monotonic()
    return longest
