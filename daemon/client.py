"""A blocking client of the control socket: HTTP/1.1 in as few imports as possible, because every command pays them.

It speaks to our own server alone, so it reads what that server sends: a status line, headers, and a body that has a
length or comes in chunks. Everything wrong comes out as `Trouble`, whose message is what the user reads.
"""

from __future__ import annotations

import json
import os
import select
import socket

from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.socketpath import short_path
from clockmesh.daemon.text import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedReader
    from typing import Any

ANSWER_WITHIN = 60.0
"""Seconds for a request that waits for nothing but the daemon and its disk."""
READ_WITHIN = 20.0
"""The same for one that waits for nothing but the daemon."""
_WORD_AFTER = 3.0
"""Seconds after which who waits is told so: a daemon that lives has answered long ago."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LONGEST_LINE = 65_536
_LONGEST_TEXT_LINE = 4 << 20
"""A line of a streamed answer; a job's log line is shorter by far."""


def quoted(text: str) -> str:
    """Percent-encoded for a path or a query (RFC 3986); what is no text (bytes that are not UTF-8) as `?`."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode(errors="replace"))


def start_hint(home: str) -> str:
    """The command that starts the daemon of this home."""
    import shlex

    return f"clockmeshd --home {shlex.quote(home)}"


class Client:
    """Asks the daemon of one home. Each call has its own connection, so a client may be kept for long."""

    def __init__(self, home: str | os.PathLike[str]) -> None:
        self.home = os.path.abspath(home)

    def get(self, path: str, *, timeout: float | None = READ_WITHIN) -> dict[str, Any]:
        return self._object("GET", path, None, timeout)

    def post(
        self, path: str, body: Mapping[str, object] | None = None, *, timeout: float | None = ANSWER_WITHIN
    ) -> dict[str, Any]:
        return self._object("POST", path, [json.dumps(body or {}).encode()], timeout)

    def upload(self, path: str, parts: Iterable[bytes]) -> dict[str, Any]:
        """PUT the parts as one body, whose length nobody needs to know before."""
        return self._object("PUT", path, parts, ANSWER_WITHIN, chunked=True)

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON objects of a streamed answer as they come, for as long as the daemon sends."""
        with self._connected(None) as connection:
            _send(connection, "GET", path, None, False)
            with connection.makefile("rb") as reader:
                answer = self._answer(reader)
                if answer.status != 200:
                    raise _trouble(answer.whole())
                for line in answer.lines():
                    item = _object_in(line)
                    if isinstance(item.get("error"), dict):  # a run has an error too: a line of text
                        raise _trouble(line)
                    yield item

    def answers(self) -> bool:
        """A daemon listens at this home's socket."""
        try:
            self._connected(5.0).close()
        except Trouble as trouble:
            if trouble.exit is Exit.UNREACHABLE:
                return False
            raise
        return True

    def _object(
        self, method: str, path: str, body: Iterable[bytes] | None, timeout: float | None, *, chunked: bool = False
    ) -> dict[str, Any]:
        with self._connected(timeout) as connection:
            try:
                _send(connection, method, path, body, chunked)
                if timeout in (READ_WITHIN, ANSWER_WITHIN) and not _readable(connection, _WORD_AFTER):
                    complain(f"the daemon of {self.home} has not answered for {_WORD_AFTER:.0f} s; still waiting")
                with connection.makefile("rb") as reader:
                    answer = self._answer(reader)
                    content = answer.whole()
            except TimeoutError:
                raise self._silent() from None
            except OSError as error:
                raise Trouble(Exit.UNREACHABLE, "connection_lost", f"the daemon of {self.home}: {error}") from None
        if answer.status != 200:
            raise _trouble(content)
        return _object_in(content)

    def _connected(self, timeout: float | None) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            with short_path(self.home) as path:
                connection.connect(path)
        except OSError as error:
            connection.close()
            raise self._unconnected(error) from None
        return connection

    def _unconnected(self, error: OSError) -> Trouble:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            message = f"no daemon runs for {self.home}; start it: {start_hint(self.home)}"
            return Trouble(Exit.UNREACHABLE, "unreachable", message)
        if isinstance(error, PermissionError):
            message = f"{self.home} belongs to another user; only that user and root may ask its daemon"
            return Trouble(Exit.NOT_ALLOWED, "not_allowed", message)
        if isinstance(error, TimeoutError | BlockingIOError):
            return self._silent()
        return Trouble(Exit.UNREACHABLE, "unreachable", f"the daemon of {self.home} cannot be reached: {error}")

    def _silent(self) -> Trouble:
        return Trouble(Exit.UNREACHABLE, "silent", f"the daemon of {self.home} does not answer; is it stopped?")

    def _answer(self, reader: BufferedReader) -> _Answer:
        try:
            status_line = reader.readline(_LONGEST_LINE).split(None, 2)
            if len(status_line) < 2 or not status_line[1].isdigit():
                raise self._lost()
            headers = {}
            while (line := reader.readline(_LONGEST_LINE)) not in (b"\r\n", b"\n"):
                if not line:
                    raise self._lost()
                name, _, value = line.partition(b":")
                headers[name.strip().lower()] = value.strip()
        except ConnectionError:
            raise self._lost() from None
        return _Answer(int(status_line[1]), headers, reader, self._lost())

    def _lost(self) -> Trouble:
        message = f"the daemon of {self.home} ended the connection; if it stopped, start it: {start_hint(self.home)}"
        return Trouble(Exit.UNREACHABLE, "connection_lost", message)


class _Answer:
    """A response whose body is still to be read."""

    def __init__(self, status: int, headers: dict[bytes, bytes], reader: BufferedReader, lost: Trouble) -> None:
        self.status = status
        self._headers = headers
        self._reader = reader
        self._lost = lost

    def whole(self) -> bytes:
        if self._headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            return b"".join(self._chunks())
        length = self._headers.get(b"content-length", b"0")
        content = self._reader.read(int(length)) if length.isdigit() else b""
        if str(len(content)).encode() != length:
            raise self._lost
        return content

    def lines(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line for line in whole if line)
            if len(rest) > _LONGEST_TEXT_LINE:
                raise self._lost
        if rest:
            yield rest

    def _chunks(self) -> Iterator[bytes]:
        try:
            while size := int(self._reader.readline(_LONGEST_LINE), 16):
                chunk = self._reader.read(size)
                if len(chunk) < size or self._reader.readline(_LONGEST_LINE) != b"\r\n":
                    raise self._lost
                yield chunk
            self._reader.readline(_LONGEST_LINE)
        except (ValueError, OSError):
            raise self._lost from None


def _send(connection: socket.socket, method: str, path: str, body: Iterable[bytes] | None, chunked: bool) -> None:
    head = [f"{method} {path} HTTP/1.1", "host: clockmesh", "connection: close"]
    parts = iter(()) if body is None else iter(body)
    try:
        if chunked:
            head.append("transfer-encoding: chunked")
            connection.sendall(_encoded(head))
            for part in parts:
                if part:
                    connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            connection.sendall(b"0\r\n\r\n")
            return
        content = b"".join(parts)
        if body is not None:
            head += ["content-type: application/json", f"content-length: {len(content)}"]
        connection.sendall(_encoded(head) + content)
    except (BrokenPipeError, ConnectionResetError):
        return  # The daemon answered before it had read all, with an error: read that.


def _readable(connection: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _encoded(head: list[str]) -> bytes:
    return ("\r\n".join(head) + "\r\n\r\n").encode("ascii")


def _object_in(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _not_understood(content)
    return value


def _trouble(content: bytes) -> Trouble:
    """The daemon's error object as the exception it stands for."""
    try:
        error = json.loads(content)["error"]
        place = {name: error[name] for name in ("file", "line", "column") if name in error}
        return Trouble(Exit(error["exit"]), str(error["code"]), str(error["message"]), place)
    except (ValueError, KeyError, TypeError):
        return _not_understood(content)


def _not_understood(content: bytes) -> Trouble:
    return Trouble(Exit.INTERNAL, "bad_answer", f"the daemon's answer is not understood: {content[:200]!r}")
