"""The TCP connection under a libp2p connection: counted, bounded, and closable at once.

libp2p's own wrapper is not used because: it reads in tiny pieces (a system call for two bytes of length); it swallows
writes to a closed socket; nothing bounds what a stranger may make us keep; and a connection whose other end is frozen
can only be closed politely, which waits for a lock that the frozen write holds.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError

_READ_BYTES = 64 * 1024
STRANGER_BYTES = 256 * 1024
"""All that someone unknown may send: a handshake, one stream and one JoinRequest take some 2 KiB."""
HELD_BYTES = 16 * 1024 * 1024
"""Bytes that wait unread on all streams of one connection: 64 full windows, and a busy peer has some 20 streams. Yamux
announces windows but does not enforce them."""


class Pipe(ReadWriteCloser):
    """One TCP connection. `received` counts its bytes, so that silence can be told."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.received = 0
        self.closed = trio.Event()
        """Set as soon as either end has closed it, or it broke."""
        self.budget: int | None = STRANGER_BYTES
        """Bytes that may come in all; None: no limit."""
        self.held: Callable[[], int] = lambda: 0
        """Bytes that the muxer keeps for readers who have not come."""
        self._stream = stream
        self._buffer = bytearray()
        self._sending = trio.Lock()

    async def read(self, n: int | None = None) -> bytes:
        """`n` bytes, fewer only at the end; whatever there is for None. libp2p reads exact amounts only."""
        wanted = 1 if n is None else n
        while len(self._buffer) < wanted:
            data = await self._receive()
            if not data:
                break
            self._buffer += data
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        return taken

    async def _receive(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(_READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.closed.set()
            raise ConnectionClosedError(f"connection lost: {error}", transport="tcp") from error
        if not data:
            self.closed.set()
        self.received += len(data)
        if self.budget is not None and self.received > self.budget:
            self.abort()
            raise ConnectionClosedError("a stranger sent too much", transport="tcp")
        if self.held() > HELD_BYTES:
            self.abort()
            raise ConnectionClosedError("too much waits unread", transport="tcp")
        return data

    async def write(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError(f"connection lost: {error}", transport="tcp") from error

    async def close(self) -> None:
        self.closed.set()
        await self._stream.aclose()

    def abort(self, *, reset: bool = True) -> None:
        """Close now, without waiting for anything: whoever reads or writes here is woken with an error.

        With `reset` the other end is told that the connection broke, and what it has not taken is dropped.
        """
        self.closed.set()
        sock = self._stream.socket
        if sock.fileno() < 0:
            return
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        try:
            host, port = self._stream.socket.getpeername()[:2]
        except OSError:
            return None
        return str(host), int(port)
