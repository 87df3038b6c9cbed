"""The server behind the control socket: who may ask, and that no request can end the daemon, whatever it is.

    accept -> credentials of the other end -> request -> `dispatch` -> JSON, or JSON lines
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import structlog
import trio

from clockmesh.daemon.control_http import Answer, Gone, Http, Lines, Request
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.refusals import error_json, http_status, trouble_of
from clockmesh.daemon.socketpath import short_path

log = structlog.get_logger()

MAX_CONNECTIONS = 200
"""At a time; far above what one person's commands need, far below what the process may open (1024)."""
_BACKLOG = 128
_CREDENTIALS = struct.Struct("3i")

Dispatch = Callable[[Request], Awaitable[Answer]]


def bind(home: str) -> socket.socket:
    """A listening socket that only the owner of the home can reach: its mode is set before it listens."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(home) as path:
            with suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(path)
            os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


async def serve(
    listener: socket.socket, dispatch: Dispatch, *, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve each connection in a task of its own until cancelled. Closes the listener."""
    listener.setblocking(False)
    accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    free = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def connection(stream: trio.SocketStream) -> None:
        await _serve_connection(stream, dispatch, free)

    async with trio.open_nursery() as nursery:
        task_status.started()
        await trio.serve_listeners(connection, [accepting], handler_nursery=nursery)


async def _serve_connection(stream: trio.SocketStream, dispatch: Dispatch, free: trio.CapacityLimiter) -> None:
    http = Http(stream)
    async with stream:
        try:
            free.acquire_nowait()
        except trio.WouldBlock:
            await _refuse(http, Trouble(Exit.BUSY, "busy", f"{MAX_CONNECTIONS} commands are being served; try again"))
            return
        try:
            if not _may_ask(_uid_of(stream)):
                await _refuse(http, Trouble(Exit.NOT_ALLOWED, "not_allowed", "only the daemon's own user may ask it"))
                return
            await _converse(http, dispatch)
        except Gone:
            return
        except Exception as error:  # No client may end the daemon, whatever it sent and whatever we got wrong.
            log.error("request_failed", exc_info=error)
        finally:
            free.release()


def _uid_of(stream: trio.SocketStream) -> int:
    """The user at the other end, as the kernel noted when it connected."""
    data = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    assert isinstance(data, bytes)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid


def _may_ask(uid: int) -> bool:
    return uid in (0, os.geteuid())


async def _converse(http: Http, dispatch: Dispatch) -> None:
    """Request after request, until one side has enough."""
    while True:
        try:
            request = await http.next_request()
        except h11.RemoteProtocolError as error:
            trouble = Trouble(Exit.USAGE, "bad_http", f"not a request that this socket understands: {error}")
            await _refuse(http, trouble, error.error_status_hint)
            return
        except Trouble as trouble:
            await _refuse(http, trouble)
            return
        if request is None:
            return
        await _answer(http, request, dispatch)
        if not http.open:
            return


async def _answer(http: Http, request: Request, dispatch: Dispatch) -> None:
    """One answer, a good one or an error; raises Gone only."""
    try:
        if request.method == "GET":
            answer = await http.unless_gone(partial(dispatch, request))
        else:
            answer = await dispatch(request)
        if isinstance(answer, Lines):
            await http.send_lines(answer)
        else:
            await http.send_json(200, answer)
    except Exception as error:  # A verb's failure, a defect too, is the answer to this request and nobody else's.
        await _answer_error(http, request, _first(error))


async def _answer_error(http: Http, request: Request, error: Exception) -> None:
    if isinstance(error, Gone):
        raise error
    trouble = trouble_of(error)
    status = None
    if isinstance(error, h11.RemoteProtocolError):
        trouble = Trouble(Exit.USAGE, "bad_http", f"the request's body is malformed: {error}")
        status = error.error_status_hint
    if trouble is None:
        log.error("request_failed", method=request.method, path=request.path, exc_info=error)
        told = f"{type(error).__name__} in the daemon, which has logged where; this is a defect of clockmesh"
        trouble = Trouble(Exit.INTERNAL, "internal", told)
    if http.silent:
        await _refuse(http, trouble, status)
    else:
        await http.send_last_line(error_json(trouble))


async def _refuse(http: Http, trouble: Trouble, status: int | None = None) -> None:
    with suppress(Gone):
        await http.send_json(status or http_status(trouble), error_json(trouble))


def _first(error: Exception) -> Exception:
    """Out of a nursery errors come in groups: the one that says most, which is any but a client's leaving."""
    if not isinstance(error, ExceptionGroup):
        return error
    found = [_first(part) for part in error.exceptions]
    return next((part for part in found if not isinstance(part, Gone)), found[0])
