"""What each verb of the control API does: reads the request, asks the service, shapes the answer.

A function here is named as its verb in `routes`; `ANSWERS` finds it. Errors are raised; the server
makes answers of them.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from clockmesh.coordinator.runs import RunState, over
from clockmesh.coordinator.view import RunView, explain, run_view
from clockmesh.daemon import surface
from clockmesh.daemon.control_http import Answer, Lines, Request, Send
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.following import follow, log_lines
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import BlobHash, JobKey, RunId, peer_text
from clockmesh.protocol.plan import Guard, Remote, Snapshot

_LONGEST_WAIT_S = 366 * 86_400.0
_INVITATION_S = 3600.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a verb."""

    service: Service
    request: Request
    run_text: str
    """What stands for {run} in the path."""

    @property
    def run(self) -> RunId:
        """The run that is meant; see `Service.find_run`."""
        return self.service.find_run(self.run_text)

    def flag(self, name: str) -> bool:
        return self.request.query.get(name, "0") not in ("", "0", "false")


async def status(call: Call) -> Answer:
    told = call.service.status()
    if told.mesh is None:
        known = surface.status_json(None, None, (), 0)
        counts: dict[str, object] = {"peers": 0, "live": 0, "runs": 0, "unfinished": 0}
    else:
        known = surface.status_json(told.peer, told.mesh, told.heads, told.nodes)
        counts = _counts(call.service)
    here = {"id": peer_text(call.service.me), "home": str(call.service.home.path), "addresses": list(told.addresses)}
    return {**known, **here, **counts}


def _counts(service: Service) -> dict[str, object]:
    peers, runs = service.peers(), service.machine.runs.values()
    live = sum(peer.live for peer in peers)
    unfinished = sum(not over(run) for run in runs)
    return {"peers": len(peers), "live": live, "runs": len(runs), "unfinished": unfinished}


async def peers(call: Call) -> Answer:
    return surface.peers_json(call.service.peers())


async def init(call: Call) -> Answer:
    body = await call.request.json()
    mesh = await call.service.init(_optional(body, "name", str), _optional(body, "slots", int))
    return {"v": 1, "mesh": mesh.hex(), "peer": call.service.status().peer}


async def join(call: Call) -> Answer:
    body = await call.request.json()
    line = _required(body, "line", str)
    mesh = await call.service.join(line, _optional(body, "name", str), _optional(body, "slots", int))
    return {"v": 1, "mesh": mesh.hex(), "peer": call.service.status().peer}


async def invite(call: Call) -> Answer:
    body = await call.request.json()
    line = await call.service.invite(_number(body, "ttl_s", _INVITATION_S))
    return {"v": 1, "line": line}


async def submit(call: Call) -> Answer:
    body = await call.request.json()
    remote = _remote(body)
    run = await call.service.submit(
        b"" if remote else _workflow(body),
        _required(body, "path", str),
        inputs=_inputs(body),
        priority=_number(body, "priority", 5.0),
        guard=_guard(body),
        force=bool(body.get("force", False)),
        snapshot=_snapshot(body),
        remote=remote,
    )
    return surface.submitted_json(run)


async def put_blob(call: Call) -> Answer:
    blob = await call.service.put_blob(call.request.body())
    return {"v": 1, "blob": blob.hex()}


async def list_(call: Call) -> Answer:
    limit = call.request.query.get("limit", "0")
    if not limit.isdigit():
        raise _bad("limit is a whole number")
    machine = call.service.machine
    newest = sorted(machine.runs.values(), key=_age_order, reverse=True)[: int(limit) or None]
    return surface.runs_json([run_view(machine, run.run) for run in newest], machine.name_of, len(machine.runs))


async def show(call: Call) -> Answer:
    return _shown(call.service, call.run)


async def why(call: Call) -> Answer:
    service, run = call.service, call.run
    return {"v": 1, "run": run.hex(), "why": list(explain(service.machine, run, service.now()))}


async def cancel(call: Call) -> Answer:
    run = call.run
    await call.request.json()
    await call.service.cancel(run)
    return {"v": 1, "run": run.hex()}


async def wait(call: Call) -> Answer:
    run, service = call.run, call.service
    text = call.request.query.get("timeout", "")
    with trio.move_on_after(_seconds(text) if text else _LONGEST_WAIT_S):
        while _view(service, run).conclusion is None:
            await service.wait_changed(run)
    if _view(service, run).conclusion is None:
        raise Trouble(Exit.TIMED_OUT, "timed_out", f"run {run.hex()[:12]} has not ended in time")
    return _shown(service, run)


async def logs(call: Call) -> Answer:
    service, run = call.service, call.run
    key = JobKey(call.request.query["job"]) if call.request.query.get("job") else None
    keys = [job.key for job in _view(service, run).jobs]
    if key is not None and key not in keys:
        known = ", ".join(keys[:10]) + (", ..." if len(keys) > 10 else "")
        raise Trouble(Exit.NOT_FOUND, "not_found", f"run {run.hex()[:12]} has no job {key[:80]!r}; it has: {known}")
    following = call.flag("follow")

    async def write(send: Send) -> None:
        await log_lines(service, run, key, following, send)

    return Lines(write)


async def events(call: Call) -> Answer:
    service, run, with_logs = call.service, call.run, call.flag("logs")

    async def write(send: Send) -> None:
        await follow(service, run, with_logs, send)

    return Lines(write)


ANSWERS: dict[str, Callable[[Call], Awaitable[Answer]]] = {
    "status": status,
    "peers": peers,
    "init": init,
    "join": join,
    "invite": invite,
    "submit": submit,
    "put_blob": put_blob,
    "list": list_,
    "show": show,
    "why": why,
    "cancel": cancel,
    "wait": wait,
    "logs": logs,
    "events": events,
}


def _view(service: Service, run: RunId) -> RunView:
    return run_view(service.machine, run)


def _age_order(run: RunState) -> tuple[float, RunId]:
    """Rises with the time of submission; a run whose node is not written yet is the newest."""
    return run.carrier.wall_ms or math.inf, run.run


def _shown(service: Service, run: RunId) -> surface.Json:
    return surface.run_json(_view(service, run), service.machine.name_of)


# ---- what a body says ----


def _bad(message: str) -> Trouble:
    return Trouble(Exit.USAGE, "bad_request", f"the request is malformed: {message}")


def _optional(body: dict[str, Any], key: str, kind: type[_T]) -> _T | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _bad(f"{key} is not {'a text' if kind is str else 'a whole number'}")
    return value


def _required(body: dict[str, Any], key: str, kind: type[_T]) -> _T:
    value = _optional(body, key, kind)
    if value is None:
        raise _bad(f"{key} is missing")
    return value


def _number(body: dict[str, Any], key: str, default: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _bad(f"{key} is not a finite number")
    return float(value)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_WAIT_S:
        raise _bad("timeout is not a number of seconds up to a year")
    return seconds


def _inputs(body: dict[str, Any]) -> dict[str, str]:
    inputs = body.get("inputs") or {}
    if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
        raise _bad("inputs is not an object of texts")
    return inputs


def _guard(body: dict[str, Any]) -> Guard | None:
    text = _optional(body, "guard", str)
    try:
        return Guard(text) if text else None
    except ValueError:
        raise _bad("guard is neither quorum nor lease") from None


def _workflow(body: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(_required(body, "workflow_b64", str), validate=True)
    except (binascii.Error, ValueError):
        raise _bad("workflow_b64 is not base64") from None


def _remote(body: dict[str, Any]) -> Remote | None:
    remote = _optional(body, "remote", dict)
    if remote is None:
        return None
    return Remote(_required(remote, "url", str), _optional(remote, "ref", str) or "")


def _snapshot(body: dict[str, Any]) -> Snapshot | None:
    told = _optional(body, "snapshot", dict)
    if told is None:
        return None
    try:
        blob = bytes.fromhex(_required(told, "blob", str))
    except ValueError:
        blob = b""
    if len(blob) != 32:
        raise _bad("snapshot.blob is not 64 hexadecimal digits")
    texts = (_optional(told, key, str) or "" for key in ("sha", "ref", "origin"))
    return Snapshot(BlobHash(blob), _required(told, "size", int), *texts)
