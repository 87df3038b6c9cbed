"""What each verb of the control API does: reads the request, asks the service, shapes the answer.

A function here is named as its verb in `routes`; `ANSWERS` finds it. Errors are raised; the server
makes answers of them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from clockmesh.coordinator import schedule_health
from clockmesh.coordinator.runs import RunState, over
from clockmesh.coordinator.view import RunView, explain, run_view
from clockmesh.daemon import bodies, surface
from clockmesh.daemon.answers_external import EXTERNAL_ANSWERS
from clockmesh.daemon.answers_schedules import SCHEDULE_ANSWERS
from clockmesh.daemon.answers_secrets import SECRET_ANSWERS
from clockmesh.daemon.answers_workflows import WORKFLOW_ANSWERS
from clockmesh.daemon.call import Call
from clockmesh.daemon.control_http import Answer, Lines, Send
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.following import follow, log_lines, summary_lines
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import JobKey, RunId, peer_text

_INVITATION_S = 3600.0


async def status(call: Call) -> Answer:
    told = call.service.status()
    if told.mesh is None:
        known = surface.status_json(None, None, (), 0)
        counts: dict[str, object] = {"peers": 0, "live": 0, "runs": 0, "unfinished": 0, "warnings": []}
    else:
        known = surface.status_json(told.peer, told.mesh, told.heads, told.nodes)
        counts = _counts(call.service, told.forked)
    here = {"id": peer_text(call.service.me), "home": str(call.service.home.path), "addresses": list(told.addresses),
            "sandbox": told.sandbox, "refused": told.refused}
    reserve = call.service.reserve
    disk = {"left": reserve.left, "reserve": reserve.size, "low": reserve.look()}
    return {**known, **here, **counts, "disk": disk}


def _forked(name: str) -> str:
    return (f"{name} has signed two histories: its key is stolen, or its home was copied; what it writes counts for "
            "nothing any more. Move its home away and join again as a new peer")


def _counts(service: Service, forked: tuple[str, ...]) -> dict[str, object]:
    peers, runs = service.peers(), service.machine.runs.values()
    live = sum(peer.live for peer in peers)
    unfinished = sum(not over(run) for run in runs)
    warnings = [*schedule_health.warnings(service.machine, service.now()), *map(_forked, forked)]
    return {"peers": len(peers), "live": live, "runs": len(runs), "unfinished": unfinished, "warnings": warnings}


async def peers(call: Call) -> Answer:
    return surface.peers_json(call.service.peers())


async def init(call: Call) -> Answer:
    body = await call.request.json()
    mesh = await call.service.init(bodies.optional(body, "name", str), bodies.optional(body, "slots", int))
    return {"v": 1, "mesh": mesh.hex(), "peer": call.service.status().peer}


async def join(call: Call) -> Answer:
    body = await call.request.json()
    line = bodies.required(body, "line", str)
    mesh = await call.service.join(line, bodies.optional(body, "name", str), bodies.optional(body, "slots", int))
    return {"v": 1, "mesh": mesh.hex(), "peer": call.service.status().peer}


async def invite(call: Call) -> Answer:
    body = await call.request.json()
    line = await call.service.invite(bodies.number(body, "ttl_s", _INVITATION_S))
    return {"v": 1, "line": line}


async def submit(call: Call) -> Answer:
    body = await call.request.json()
    remote = bodies.remote(body)
    workflow = b"" if remote else bodies.workflow(body)
    run = await call.service.submit(
        workflow,
        bodies.required(body, "path", str),
        inputs=bodies.inputs(body),
        priority=bodies.number(body, "priority", 5.0),
        guard=bodies.guard(body),
        force=bool(body.get("force", False)),
        snapshot=bodies.snapshot(body),
        remote=remote,
        name=bodies.optional(body, "name", str) or "",
    )
    return {**surface.submitted_json(run), "unset_secrets": _unset(call.service, run, workflow)}


def _unset(service: Service, run: RunId, workflow: bytes) -> list[str]:
    return service.keeping.unset(service.machine.runs[run].plan, workflow)


async def put_blob(call: Call) -> Answer:
    blob = await call.service.put_blob(call.request.body())
    return {"v": 1, "blob": blob.hex()}


async def list_(call: Call) -> Answer:
    limit = call.request.query.get("limit", "0")
    if not limit.isdigit():
        raise bodies.bad("limit is a whole number")
    machine = call.service.machine
    newest = sorted(machine.runs.values(), key=_age_order, reverse=True)[: int(limit) or None]
    shown = surface.runs_json([run_view(machine, run.run) for run in newest], machine.name_of, len(machine.runs))
    for run in newest:
        await call.service.settled(run.run)
    return shown


async def show(call: Call) -> Answer:
    return await _shown(call.service, call.run)


async def why(call: Call) -> Answer:
    service, run = call.service, call.run
    told = list(explain(service.machine, run, service.now()))
    if service.reserve.low and not over(service.machine.runs[run]):
        told.append(f"the disk of {service.home.path} is low, so this peer claims no jobs: make room there")
    return {"v": 1, "run": run.hex(), "why": told}


async def rerun(call: Call) -> Answer:
    run, body = call.run, await call.request.json()
    again = await call.service.rerun(run, abandon=bool(body.get("abandon", False)), guard=bodies.guard(body))
    names = [call.service.machine.name_of(peer) for peer in again.may_be_running]
    return {**surface.submitted_json(again.run), "again": run.hex(), "may_be_running": names}


async def cancel(call: Call) -> Answer:
    run = call.run
    await call.request.json()
    await call.service.cancel(run)
    return {"v": 1, "run": run.hex()}


async def wait(call: Call) -> Answer:
    run, service = call.run, call.service
    text = call.request.query.get("timeout", "")
    with trio.move_on_after(bodies.seconds(text) if text else bodies.LONGEST_WAIT_S):
        while _view(service, run).conclusion is None:
            await service.wait_changed(run)
    if _view(service, run).conclusion is None:
        raise Trouble(Exit.TIMED_OUT, "timed_out", f"run {run.hex()[:12]} has not ended in time")
    return await _shown(service, run)


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


async def summary(call: Call) -> Answer:
    service, run = call.service, call.run

    async def write(send: Send) -> None:
        await summary_lines(service, run, send)

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
    "rerun": rerun,
    "wait": wait,
    "logs": logs,
    "summary": summary,
    "events": events,
    **SCHEDULE_ANSWERS,
    **SECRET_ANSWERS,
    **WORKFLOW_ANSWERS,
    **EXTERNAL_ANSWERS,
}


def _view(service: Service, run: RunId) -> RunView:
    return run_view(service.machine, run)


def _age_order(run: RunState) -> tuple[float, RunId]:
    """Rises with the time of submission; a run whose node is not written yet is the newest."""
    return run.carrier.wall_ms or math.inf, run.run


async def _shown(service: Service, run: RunId) -> surface.Json:
    shown = surface.run_json(_view(service, run), service.machine.name_of)
    await service.settled(run)
    return shown
