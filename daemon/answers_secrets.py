"""What the verbs about secrets and remotes do, as `answers` does for the others. No answer holds a value."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from clockmesh.daemon import bodies, surface
from clockmesh.daemon.call import Call
from clockmesh.daemon.control_http import Answer
from clockmesh.protocol.secrets import Kind


async def secret_set(call: Call) -> Answer:
    body = await call.request.json()
    name = bodies.required(body, "name", str)
    value = bodies.required(body, "value", str)
    name = await call.service.keeping.set_secret(name, bodies.texts(body, "workflows"), value)
    return _set(call, Kind.SECRET, name)


async def remote_add(call: Call) -> Answer:
    body = await call.request.json()
    url, credential = bodies.required(body, "url", str), bodies.required(body, "credential", str)
    name = await call.service.keeping.add_remote(url, credential)
    return _set(call, Kind.REMOTE, name)


def _set(call: Call, kind: Kind, name: str) -> Answer:
    view = next(view for view in call.service.keeping.views(kind) if view.name == name)
    return {"v": surface.VERSION, **surface.secret_json(view, call.service.machine)}


async def secret_list(call: Call) -> Answer:
    return surface.secrets_json("secrets", call.service.keeping.views(Kind.SECRET), call.service.machine)


async def remote_list(call: Call) -> Answer:
    return surface.secrets_json("remotes", call.service.keeping.views(Kind.REMOTE), call.service.machine)


async def secret_remove(call: Call) -> Answer:
    body = await call.request.json()
    name = await call.service.keeping.remove(Kind.SECRET, bodies.required(body, "name", str))
    return {"v": surface.VERSION, "name": name}


async def remote_remove(call: Call) -> Answer:
    body = await call.request.json()
    name = await call.service.keeping.remove(Kind.REMOTE, bodies.required(body, "url", str))
    return {"v": surface.VERSION, "url": name}


async def remote_read(call: Call) -> Answer:
    body = await call.request.json()
    texts = (bodies.required(body, key, str) for key in ("url", "ref", "path"))
    content = await call.service.keeping.read_remote(*texts)
    return {"v": surface.VERSION, "workflow_b64": base64.b64encode(content).decode("ascii")}


SECRET_ANSWERS: dict[str, Callable[[Call], Awaitable[Answer]]] = {
    "secret_set": secret_set,
    "secret_list": secret_list,
    "secret_remove": secret_remove,
    "remote_add": remote_add,
    "remote_list": remote_list,
    "remote_remove": remote_remove,
    "remote_read": remote_read,
}
