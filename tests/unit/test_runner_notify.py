"""What systemd hears."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from clockmesh.runner.notify import Notifier


def test_the_manager_hears_ready_alive_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000000"})
        notifier.ready("peer alpha")
        notifier.alive()
        notifier.stopping()
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=peer alpha", b"WATCHDOG=1", b"STOPPING=1"]
        assert notifier.watchdog_period == 5.0


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
    assert Notifier({"WATCHDOG_USEC": "junk"}).watchdog_period is None
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_period is None


def test_a_loop_that_turns_often_says_alive_no_oftener_than_is_of_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000000"})
        for _ in range(50):
            notifier.alive_in_time()
        assert manager.recv(100) == b"WATCHDOG=1"
        with pytest.raises(BlockingIOError):
            manager.recv(100)
    Notifier({}).alive_in_time()
