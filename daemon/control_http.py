"""HTTP/1.1 on one connection of the control socket: h11 holds the protocol's states, this file feeds it bounded bytes.

A connection serves one request after another. Everything a client can make large or slow has a limit here; what a
client waits for (a run's end, the next log line) has none.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

import h11
import trio

from clockmesh.daemon.exits import Exit, Trouble

MAX_HEAD_BYTES = 16_384
"""Request line and headers together."""
MAX_JSON_BYTES = 4 << 20
"""A workflow of 1 MiB in base64 with its inputs, twice over."""
IDLE_S = 60.0
"""A kept connection without a request."""
HEAD_S = 10.0
"""From the first byte of a request to the last of its headers."""
STALLED_S = 30.0
"""Without a byte of a body, or without the client taking any of an answer that is ready."""
_READ_BYTES = 65_536
_MAX_FIELDS = 32
"""In a query; no verb has more than three."""


_T = TypeVar("_T")


class Gone(Exception):
    """The client is no longer there, or too slow to be served."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, str]
    body: Callable[[], AsyncIterator[bytes]]
    """The body's parts as they come; to be read once."""

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one for an empty body. Trouble (USAGE) for anything else."""
        content = bytearray()
        async for part in self.body():
            content += part
            if len(content) > MAX_JSON_BYTES:
                raise Trouble(Exit.USAGE, "too_large", f"a request's JSON is limited to {MAX_JSON_BYTES} bytes")
        try:
            value = json.loads(content or b"{}")
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair: no peer could be told it
        except (ValueError, RecursionError) as error:
            raise Trouble(Exit.USAGE, "bad_request", f"the request's body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise Trouble(Exit.USAGE, "bad_request", "the request's body is not a JSON object")
        return value


Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Lines:
    """A streamed answer: `write` sends JSON lines until it returns, or is cancelled because the client left."""

    write: Callable[[Send], Awaitable[None]]


Answer = Mapping[str, object] | Lines
"""A JSON object, or lines of them."""


def json_line(value: Mapping[str, object]) -> bytes:
    """One line of JSON. Half of a surrogate pair, which only a stranger's text can hold, becomes a question mark."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace") + b"\n"


class Http:
    """The server's side of one connection."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def next_request(self) -> Request | None:
        """The next request's head; None when the client has gone or asks nothing. h11.RemoteProtocolError for junk,
        Trouble for a query that is none."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        with trio.move_on_after(IDLE_S) as limit:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                await self._read()
                limit.deadline = min(limit.deadline, trio.current_time() + HEAD_S)
        if limit.cancelled_caught or not isinstance(event, h11.Request):
            return None
        target, _, query = event.target.decode("ascii").partition("?")
        return Request(event.method.decode("ascii"), unquote(target), _fields(query), self._body)

    @property
    def open(self) -> bool:
        """Another request can follow on this connection."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    @property
    def silent(self) -> bool:
        """Nothing of an answer was sent yet."""
        return self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    async def send_json(self, status: int, value: Mapping[str, object]) -> None:
        content = json_line(value)
        headers = [("content-type", "application/json"), ("content-length", str(len(content)))]
        head = self._h11.send(h11.Response(status_code=status, headers=[*headers, *self._closing()]))
        body = self._h11.send(h11.Data(data=content))
        end = self._h11.send(h11.EndOfMessage())
        with trio.move_on_after(STALLED_S + len(content) / 100_000) as limit:
            await self._write((head or b"") + (body or b"") + (end or b""))
        if limit.cancelled_caught:
            raise Gone

    async def send_lines(self, lines: Lines) -> None:
        """Stream the answer; cancel its writer as soon as the client leaves, even while there is nothing to send."""
        headers = [("content-type", "application/jsonl"), ("transfer-encoding", "chunked"), *self._closing()]
        await self._write(self._h11.send(h11.Response(status_code=200, headers=headers)) or b"")
        await self.unless_gone(lambda: lines.write(self._send_part))
        await self._write(self._h11.send(h11.EndOfMessage()) or b"")

    async def send_last_line(self, value: Mapping[str, object]) -> None:
        """End a stream that failed midway: its status is sent already, so the error is its last line."""
        await self._send_part(json_line(value))
        await self._write(self._h11.send(h11.EndOfMessage()) or b"")

    async def unless_gone(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """What the work gives; Gone when the client leaves first. Reads the request's body to its end, and drops it."""
        async for _ in self._body():
            pass
        outcome: _T | Exception = Gone()

        async def watch() -> None:
            await self._left()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            try:
                outcome = await work()
            except Exception as error:  # Out of the nursery as it is, not in a group.
                outcome = error
            nursery.cancel_scope.cancel()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _left(self) -> None:
        """Returns once the client has closed, or has sent more of its next requests than we keep."""
        kept = 0
        with suppress(Gone):
            while kept <= MAX_HEAD_BYTES and (size := await self._read()):
                kept += size

    async def _send_part(self, data: bytes) -> None:
        if data:
            await self._write(self._h11.send(h11.Data(data=data)) or b"")

    async def _body(self) -> AsyncIterator[bytes]:
        if self._h11.they_are_waiting_for_100_continue:
            await self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        while self._h11.their_state is h11.SEND_BODY:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                with trio.move_on_after(STALLED_S) as limit:
                    await self._read()
                if limit.cancelled_caught:
                    raise Trouble(Exit.USAGE, "stalled", f"no byte of the request came for {STALLED_S:.0f} s")
            elif isinstance(event, h11.Data):
                yield bytes(event.data)

    def _closing(self) -> list[tuple[str, str]]:
        """An answer given before the request was read to its end is the connection's last."""
        unread = self._h11.their_state in (h11.SEND_BODY, h11.ERROR)
        return [("connection", "close")] if unread else []

    async def _read(self) -> int:
        try:
            data = await self._stream.receive_some(_READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone from None
        self._h11.receive_data(data)
        return len(data)

    async def _write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone from None


def _fields(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise Trouble(Exit.USAGE, "bad_request", f"the query has more than {_MAX_FIELDS} fields") from None
