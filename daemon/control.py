"""The control socket of a daemon: its place in the home, and which verb answers which request."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
import trio

from clockmesh.daemon.answers import ANSWERS
from clockmesh.daemon.call import Call
from clockmesh.daemon.control_http import Answer, Request
from clockmesh.daemon.control_server import bind, serve
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.home import Home
from clockmesh.daemon.routes import find, methods_at
from clockmesh.daemon.service import Service
from clockmesh.daemon.socketpath import short_path

log = structlog.get_logger()


async def serve_control(
    service: Service, home: Home, *, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer on the home's control socket until cancelled; started once it listens. Call with the home's lock held: a
    socket that lies there is a dead daemon's. OSError where the socket cannot be made."""
    listener = bind(str(home.path))
    try:
        log.info("control_opened", socket=str(home.control_socket))
        await serve(listener, partial(dispatch, service), task_status=task_status)
    finally:
        with suppress(OSError), short_path(str(home.path)) as path:
            os.unlink(path)
        log.info("control_closed", socket=str(home.control_socket))


async def dispatch(service: Service, request: Request) -> Answer:
    """The answer of the verb that the request names."""
    found = find(request.method, request.path)
    if found is None:
        raise _nothing_there(request)
    verb, named = found
    return await ANSWERS[verb.name](Call(service, request, named))


def _nothing_there(request: Request) -> Trouble:
    methods = methods_at(request.path)
    if methods:
        message = f"{request.method} is not possible at {request.path[:100]}; possible: {', '.join(methods)}"
        return Trouble(Exit.USAGE, "bad_method", message)
    return Trouble(Exit.NOT_FOUND, "no_such_path", f"nothing is at {request.path[:100]}")
