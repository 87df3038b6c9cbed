"""libp2p's Yamux with another way out: frames that are due at the same time leave together.

Yamux writes each frame by itself, under a lock: an encryption, a Noise packet and a system call for 12 bytes of
acknowledgement, and as much again at the reader. Here a frame joins what waits, and one task writes all of it at once.
Nobody who gives up waiting can then cut a frame in half, which would end the connection.
"""

from __future__ import annotations

from typing import Any

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.yamux import Yamux

_AHEAD_BYTES = 64 * 1024
"""What may wait for the socket before its writers do."""


class Muxer(Yamux):
    """Yamux; all that differs on the wire are the Noise packets that frames share."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting = bytearray()
        self._filled = trio.Event()
        self._written = trio.Event()
        """Set when what waits now has been written, or never will be."""
        self._writer_runs = False

    async def start(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_out)
            await super().start()
            nursery.cancel_scope.cancel()

    async def _write_frame(self, data: bytes) -> None:
        """Returns when `data` is on its way: of a lost connection the readers are told, the writers not always."""
        if not self._writer_runs:
            await super()._write_frame(data)
            return
        self._waiting += data
        self._filled.set()
        if len(self._waiting) < _AHEAD_BYTES:
            await trio.lowlevel.checkpoint()
            return
        await self._written.wait()
        if not self._writer_runs:
            raise ConnectionClosedError("connection lost", transport="tcp")

    async def _write_out(self) -> None:
        self._writer_runs = True
        written = self._written
        try:
            while True:
                await self._filled.wait()
                data, written = bytes(self._waiting), self._written
                self._waiting.clear()
                self._filled, self._written = trio.Event(), trio.Event()
                await self.secured_conn.write(data)
                written.set()
        except (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            return  # who reads the connection notices its end, and says so
        finally:
            self._writer_runs = False
            written.set()
            self._written.set()
