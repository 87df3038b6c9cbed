"""Frames on a byte stream: a length of 4 bytes, big-endian, then so many bytes of msgpack. No I/O here."""

from __future__ import annotations

from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.limits import MAX_FRAME
from clockmesh.protocol.wire import pack as pack_value
from clockmesh.protocol.wire import unpack

__all__ = ["LENGTH_BYTES", "FrameReader", "frame", "pack", "unpack"]

LENGTH_BYTES = 4


def frame(payload: bytes, limit: int = MAX_FRAME) -> bytes:
    """`payload` with its length before it; LocalError above `limit` bytes."""
    if len(payload) > limit:
        raise LocalError(f"a frame of {len(payload)} bytes is above {limit}")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def pack(value: object, limit: int = MAX_FRAME) -> bytes:
    """One frame that holds `value` (None, bool, int, float, str, bytes, list, dict); `unpack` reads its payload."""
    return frame(pack_value(value), limit)


class FrameReader:
    """Finds the frames in bytes as they come."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes, in order. RemoteError as soon as a length above the limit is read: the
        stream is of no more use."""
        self._buffer += data
        payloads = []
        start = 0
        while len(self._buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[start : start + LENGTH_BYTES], "big")
            if length > self._limit:
                raise RemoteError(f"a frame of {length} bytes is above {self._limit}")
            end = start + LENGTH_BYTES + length
            if end > len(self._buffer):
                break
            payloads.append(bytes(self._buffer[start + LENGTH_BYTES : end]))
            start = end
        del self._buffer[:start]
        return payloads

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame; at the end of a stream they were cut off."""
        return len(self._buffer)
