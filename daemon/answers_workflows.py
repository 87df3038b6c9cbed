"""The mesh's runs as the Python API shows them: one workflow dict for each run, with the keys of `WorkflowTask`."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import trio

from clockmesh.coordinator.view import JobView, RunView, Status, run_view
from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.call import Call
from clockmesh.daemon.control_http import Answer
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import BlobHash, PeerId, RunId
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.tags import read_tags

ID_DIGITS = 16
"""Of a run's id: what a workflow's id has always had. Every command takes it for the run."""
_KEPT = 1024
_tags: OrderedDict[BlobHash, list[str]] = OrderedDict()
"""Of workflow files, which never change under one hash; the newest 1024."""


async def workflows(call: Call) -> Answer:
    service = call.service
    machine = service.machine
    told = service.status()
    known = sorted(machine.runs.values(), key=lambda run: (run.carrier.wall_ms or float("inf"), run.run))
    shown = [await workflow_json(service, run.run) for run in known]
    for run in known:
        await service.settled(run.run)
    return {"v": 1, "peer": told.peer, "peers": [peer.name for peer in service.peers()],
            "height": machine.state.height, "heads": [head.hex() for head in told.heads], "workflows": shown}


async def workflow(call: Call) -> Answer:
    run = call.run
    shown = await workflow_json(call.service, run)
    await call.service.settled(run)
    return {"v": 1, "run": run.hex(), "workflow": shown}


async def workflow_json(service: Service, run: RunId) -> dict[str, object]:
    machine = service.machine
    view, plan = run_view(machine, run), machine.state.runs[run].plan
    tags = [] if plan.workflow is None else await _tags_of(service.blobs, plan.workflow)
    owner = _owner(view)
    return {
        "workflow_id": run.hex()[:ID_DIGITS],
        "name": view.name,
        "workflow_file": view.path,
        "inputs": dict(plan.inputs),
        "priority": view.priority,
        "tags": tags,
        "status": view.status.value,
        "assigned_peer": None if owner is None else machine.name_of(owner),
        "created_at": view.submitted_ms / 1000,
        "started_at": _seconds(min((job.started_ms for job in view.jobs if job.started_ms), default=0)),
        "completed_at": _seconds(max(job.finished_ms for job in view.jobs)) if view.conclusion and view.jobs else None,
        "result": {job.key: dict(job.outputs) for job in view.jobs} if view.conclusion else None,
        "error": view.error or next((job.error for job in view.jobs if job.error), None),
    }


def _owner(view: RunView) -> PeerId | None:
    """Who runs the first job that goes on, else who has claimed the next, else who ran the last."""

    def urgency(job: JobView) -> int:
        return {Status.IN_PROGRESS: 0, Status.ASSIGNED: 1}.get(job.status, 2)

    held = [job for job in reversed(view.jobs) if job.peer is not None]
    return min(held, key=urgency).peer if held else None


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None


async def _tags_of(blobs: BlobStore, workflow: BlobHash) -> list[str]:
    """The tags and labels of a workflow file; none where this peer does not have it."""
    if workflow not in _tags:
        data: bytes | None = await trio.to_thread.run_sync(blobs.get, workflow)
        if data is None:
            return []
        try:
            _tags[workflow] = sorted(read_tags(data, "workflow").tags)
        except WorkflowError:
            _tags[workflow] = []
        while len(_tags) > _KEPT:
            _tags.popitem(last=False)
    return list(_tags.get(workflow, ()))


WORKFLOW_ANSWERS: dict[str, Any] = {"workflows": workflows, "workflow": workflow}
