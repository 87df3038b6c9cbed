"""One stream of a connection: frames in, frames out, and which protocol it speaks.

Written against Yamux itself rather than libp2p's NetStream. Its read gives the window back after every read, as a frame
of its own, encrypted and sent (three for each small message); this one waits until 64 KiB are due. Its write, where the
reader lets the window run dry for 5 s, breaks the stream; this one waits as long as a slow disk may take.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT
from libp2p.utils.varint import encode_uvarint

from clockmesh.daemon.network_switch import Link
from clockmesh.daemon.network_types import StreamLost
from clockmesh.protocol.limits import MAX_FRAME

_CREDIT_BYTES = 64 * 1024
"""A quarter of Yamux's window: the writer never runs dry, and small messages cost no frame of ours."""
_SHUT_POLL = 0.02
"""Seconds between two looks at a window that the reader has shut; Yamux tells nobody when it opens."""
_FINISH = 1.0
"""Seconds for the last frame of a stream; who does not take it has a connection that will be aborted."""
_MULTISTREAM = "/multistream/1.0.0"
_MAX_LINE = 256
_MAX_PROPOSALS = 8

_FAULTS = (BaseLibp2pError, OSError, KeyError, ValueError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What libp2p raises when a stream or its connection is gone."""


class Channel:
    """A stream of `link`. Not for two readers, nor two writers, at a time; StreamLost when it is cut."""

    def __init__(self, link: Link, stream: Any, *, stalled: float = 60.0) -> None:
        self.link = link
        self._stream = stream
        self._muxed = stream.muxed_stream
        self._buffer = bytearray()
        self._due = 0
        self._stalled = stalled

    async def write(self, data: bytes) -> None:
        try:
            while data:
                if self._muxed.send_window <= 0:
                    await self._window_opened()
                part, data = data[: self._muxed.send_window], data[self._muxed.send_window :]
                await self._write_part(part)
        except _FAULTS as error:
            raise StreamLost(f"stream cut while writing: {error}") from error

    async def _write_part(self, part: bytes) -> None:
        """One frame of data, as Yamux would write it; its own way there takes two locks."""
        muxed = self._muxed
        if muxed.send_closed or muxed.closed:
            raise StreamLost("stream is closed")
        muxed.send_window -= len(part)
        header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, muxed.stream_id, len(part))
        await muxed.conn._write_frame(header + part)

    async def _window_opened(self) -> None:
        with trio.move_on_after(self._stalled):
            while self._muxed.send_window <= 0:
                if self._muxed.closed or not self.link.alive:
                    raise StreamLost("stream cut while its reader was slow")
                await trio.sleep(_SHUT_POLL)
            return
        raise StreamLost(f"its reader took nothing for {self._stalled:.0f} s")

    async def read(self) -> bytes:
        """Some bytes; none at the other end's orderly end."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return await self._fetch()

    async def _fetch(self) -> bytes:
        muxed = self._muxed
        try:
            data = await self._next_data()
            self._due += len(data)
            if self._due >= _CREDIT_BYTES:
                due, self._due = self._due, 0
                muxed.recv_window += due
                await muxed.send_window_update(due)
            return data
        except EOFError as error:
            # Yamux also says "end" when the whole connection is gone.
            if muxed.reset_received or not self.link.alive:
                raise StreamLost("cut by the other end" if self.link.alive else "connection lost") from error
            return b""
        except _FAULTS as error:
            raise StreamLost(f"stream cut while reading: {error}") from error

    async def _next_data(self) -> bytes:
        """What has come, as soon as something has; the ends of a stream are told by Yamux itself."""
        muxed, conn = self._muxed, self._muxed.conn
        await trio.lowlevel.checkpoint()
        while not (muxed.closed or muxed.recv_closed or muxed.reset_received or conn.event_shutting_down.is_set()):
            buffer = conn.stream_buffers[muxed.stream_id]
            if buffer:
                data = bytes(buffer[:_CREDIT_BYTES])
                del buffer[:_CREDIT_BYTES]
                return data
            await conn.stream_events[muxed.stream_id].wait()
            conn.stream_events[muxed.stream_id] = trio.Event()
        last: bytes = await conn.read_stream(muxed.stream_id, _CREDIT_BYTES)
        return last

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._fetch()
            if not data:
                raise StreamLost("stream ended within a message")
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _more(self) -> bool:
        """Whether a byte is there or comes; False at the orderly end."""
        if not self._buffer:
            self._buffer += await self._fetch()
        return bool(self._buffer)

    async def send(self, frame: bytes) -> None:
        """One frame: 4 bytes of length, big-endian, then `frame`."""
        await self.write(len(frame).to_bytes(4, "big") + frame)

    async def receive(self, limit: int = MAX_FRAME) -> bytes | None:
        """The next frame, or None at the orderly end. A frame above `limit` cuts the stream."""
        if not await self._more():
            return None
        size = int.from_bytes(await self._take(4), "big")
        if size > limit:
            raise StreamLost(f"a frame of {size} bytes; {limit} are allowed")
        return await self._take(size)

    async def receive_varint_frame(self, limit: int) -> bytes | None:
        """As `receive`, for frames of gossipsub and multistream, whose length is an unsigned varint."""
        if not await self._more():
            return None
        size = shift = 0
        while True:
            byte = (await self._take(1))[0]
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise StreamLost("a length of more than 5 bytes")
        if size > limit:
            raise StreamLost(f"a frame of {size} bytes; {limit} are allowed")
        return await self._take(size)

    async def select(self, protocol: str) -> None:
        """As the opener: agree on `protocol` (multistream-select 1.0), in one round trip."""
        await self.write(_line(_MULTISTREAM) + _line(protocol))
        for expected in (_MULTISTREAM, protocol):
            if await self._receive_line() != expected:
                raise StreamLost(f"the other end does not speak {protocol}")

    async def selected(self, supported: Collection[str]) -> str | None:
        """As the other one: which of `supported` the opener wants, or None if it wants something else."""
        await self.write(_line(_MULTISTREAM))
        if await self._receive_line() != _MULTISTREAM:
            return None
        for _ in range(_MAX_PROPOSALS):
            proposed = await self._receive_line()
            if proposed in supported:
                await self.write(_line(proposed))
                return proposed
            await self.write(_line("na"))
        return None

    async def _receive_line(self) -> str:
        line = await self.receive_varint_frame(_MAX_LINE)
        if line is None or not line.endswith(b"\n"):
            raise StreamLost("no line where one was due")
        return line[:-1].decode("utf-8", "replace")

    async def close(self) -> None:
        """Orderly end of what we write; never raises, takes at most a second."""
        with trio.move_on_after(_FINISH) as scope:
            scope.shield = True
            try:
                await self._stream.close()
            except _FAULTS:
                return

    async def reset(self) -> None:
        """Cut the stream in both directions; never raises, takes at most a second."""
        with trio.move_on_after(_FINISH) as scope:
            scope.shield = True
            try:
                await self._stream.reset()
            except _FAULTS:
                return


def _line(text: str) -> bytes:
    data = text.encode() + b"\n"
    return encode_uvarint(len(data)) + data


async def open_channel(link: Link, protocol: str, *, limit: float, stalled: float = 60.0) -> Channel:
    """A new stream of `link` that speaks `protocol`. StreamLost if that takes longer than `limit` seconds, or fails."""
    if link.conn is None:
        raise StreamLost("the connection is not ready")
    # Yamux loses one of its 256 slots for good if it is cancelled while it opens a stream, so it never is. The
    # connection's own health check bounds the wait.
    with trio.CancelScope(shield=True):
        try:
            stream = await link.conn.new_stream()
        except _FAULTS as error:
            raise StreamLost(f"no new stream: {error}") from error
    channel = Channel(link, stream, stalled=stalled)
    try:
        with trio.fail_after(limit):
            await channel.select(protocol)
    except trio.TooSlowError as error:
        await channel.reset()
        raise StreamLost(f"no agreement on {protocol} within {limit:.0f} s") from error
    except BaseException:
        await channel.reset()
        raise
    return channel
