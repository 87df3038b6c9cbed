"""Tell systemd what becomes of the service (sd_notify(3)); nothing where no service manager listens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends to $NOTIFY_SOCKET. Never raises: a deaf manager must not stop the daemon."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = _watchdog_seconds(environment)
        self._next_alive = 0.0

    @property
    def watchdog_period(self) -> float | None:
        """Seconds between two `alive`, half of what the manager allows; None when it does not watch."""
        return self._watchdog / 2 if self._watchdog else None

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def alive_in_time(self) -> None:
        """`alive`, but not more often than is of use: for a loop that turns at least once in a `watchdog_period`."""
        if self._watchdog and time.monotonic() >= self._next_alive:
            self._next_alive = time.monotonic() + self._watchdog / 4
            self.alive()

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError:
            return


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environment["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None
