"""The host's end of its socket: the daemon's commands in, reports out, one daemon at a time.

The fence (DESIGN 5, rule 8): when a `hello` arrives, every earlier connection is closed and what it still had to say is
dropped, so no command of an earlier daemon is obeyed after a later one has been heard.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from clockmesh.runner.host_messages import (
    BadFrame,
    Command,
    CommandReader,
    Hello,
    Report,
    pack_report,
    socket_path,
)

_READ_BYTES = 1 << 18
_HELLO_S = 5.0
"""A daemon's hello follows its connection at once; a silent connection keeps no idle host alive for longer."""
_UNSENT_LIMIT = 64 * 1024 * 1024
"""Of reports that a daemon does not read: then its connection is closed. All results of a full host fit."""


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    reader: CommandReader = field(default_factory=CommandReader)
    unsent: bytearray = field(default_factory=bytearray)
    since: float = field(default_factory=time.monotonic)


class Link:
    """Accepts daemons. `handle` gives the commands of the one that said hello last."""

    def __init__(self, home: Path, selector: selectors.BaseSelector) -> None:
        """Binds `host.sock` (0600); the caller holds the home's host lock, so an old socket file is nobody's."""
        self._home = home
        self._selector = selector
        self._daemon: _Connection | None = None
        self._waiting: set[_Connection] = set()
        self._incarnation = 0
        self._open()

    @property
    def connected(self) -> bool:
        return self._daemon is not None

    @property
    def expecting(self) -> bool:
        """A connection has come that may still say hello."""
        return any(time.monotonic() < waiting.since + _HELLO_S for waiting in self._waiting)

    def is_daemons(self, ready: object) -> bool:
        """Whether this is the connection of the daemon that said hello last. To be handled after all others, so that
        what it sent before it was superseded, and nobody read yet, is dropped."""
        return self._daemon is not None and ready is self._daemon.socket

    def handle(self, ready: socket.socket, events: int) -> list[Command]:
        """Commands that arrived on this socket of the link, in order; a Hello among them is new and accepted."""
        if ready is self._listener:
            return self._accept()
        connection = self._find(ready)
        if connection is None:
            return []  # closed by an earlier event of the same round
        if events & selectors.EVENT_WRITE:
            self._flush(connection)
        return self._read(connection) if events & selectors.EVENT_READ else []

    def report(self, report: Report) -> None:
        """Send it to the daemon; without one it is lost here (the jobs are still known when one says hello)."""
        if self._daemon is not None:
            self._daemon.unsent += pack_report(report)
            self._flush(self._daemon)

    def retire(self) -> bool:
        """Stop listening; False, and listening again, when a daemon came in at the last moment."""
        socket_path(self._home).unlink(missing_ok=True)  # from here on nobody can connect
        if self._take() is None:
            return True
        self._selector.unregister(self._listener)
        self._listener.close()
        self._open()
        return False

    def _open(self) -> None:
        self._listener = _listen(self._home)
        self._selector.register(self._listener, selectors.EVENT_READ, self._listener)

    def close(self) -> None:
        for connection in [*self._waiting, *([self._daemon] if self._daemon else [])]:
            self._drop(connection)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _accept(self) -> list[Command]:
        """Take a new connection, and read what it has already sent."""
        connection = self._take()
        return [] if connection is None else self._read(connection)

    def _take(self) -> _Connection | None:
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return None
        if _user_of(peer) not in (0, os.getuid()):
            peer.close()
            return None
        peer.setblocking(False)
        connection = _Connection(peer)
        self._waiting.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, peer)
        return connection

    def _read(self, connection: _Connection) -> list[Command]:
        try:
            data = connection.socket.recv(_READ_BYTES)
            commands = connection.reader.feed(data)
        except BlockingIOError:
            return []
        except (OSError, BadFrame) as error:
            print(f"clockmesh host: a connection is closed: {error}", file=sys.stderr, flush=True)
            data, commands = b"", []
        if not data:
            self._drop(connection)
            return []
        return [command for command in commands if self._admit(connection, command)]

    def _admit(self, connection: _Connection, command: Command) -> bool:
        """Whether to obey: only the daemon that said hello last is obeyed, and no hello of an earlier incarnation."""
        if isinstance(command, Hello):
            if command.incarnation < self._incarnation:
                print("clockmesh host: a daemon of an earlier start is refused", file=sys.stderr, flush=True)
                self._drop(connection)
                return False
            self._incarnation = command.incarnation
            if self._daemon is not None and self._daemon is not connection:
                self._drop(self._daemon)
            self._waiting.discard(connection)
            self._daemon = connection
        elif connection is not self._daemon:
            self._drop(connection)
        return connection is self._daemon

    def _flush(self, connection: _Connection) -> None:
        try:
            while connection.unsent:
                del connection.unsent[: connection.socket.send(connection.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if len(connection.unsent) > _UNSENT_LIMIT:
            self._drop(connection)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        self._selector.modify(connection.socket, events, connection.socket)

    def _drop(self, connection: _Connection) -> None:
        self._waiting.discard(connection)
        if connection is self._daemon:
            self._daemon = None
        with suppress(KeyError, ValueError):  # dropped already
            self._selector.unregister(connection.socket)
        connection.socket.close()

    def _find(self, peer: socket.socket) -> _Connection | None:
        known = [*self._waiting, *([self._daemon] if self._daemon else [])]
        return next((connection for connection in known if connection.socket is peer), None)


def _listen(home: Path) -> socket.socket:
    """Through a descriptor of the home, because a Unix socket's path holds 108 bytes."""
    path = socket_path(home)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.umask(mask)
        os.close(folder)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def _user_of(peer: socket.socket) -> int:
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(user)
