"""The control API for programs that execute external jobs: take, beat, end. See `external`."""

from __future__ import annotations

import json
from typing import Any

from clockmesh.coordinator import view
from clockmesh.daemon import bodies
from clockmesh.daemon.answers_workflows import workflow_json
from clockmesh.daemon.call import Call
from clockmesh.daemon.control_http import Answer
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import AttemptRef, JobKey
from clockmesh.protocol.limits import MAX_ERROR, MAX_OUTPUT_BYTES, MAX_OUTPUT_NAME, MAX_OUTPUTS
from clockmesh.protocol.result import Conclusion
from clockmesh.protocol.wire import clean_line

_CONCLUSIONS = {"completed": Conclusion.SUCCESS, "failed": Conclusion.FAILURE, "cancelled": Conclusion.CANCELLED}
_LONGEST_WORKER = 64


async def external_take(call: Call) -> Answer:
    worker = _worker(await call.request.json())
    service = call.service
    return {"v": 1, "jobs": [await _job(service, ref) for ref in service.external.take(worker)]}


async def external_beat(call: Call) -> Answer:
    mine, ending = call.service.external.beat(_worker(await call.request.json()))
    return {"v": 1, "jobs": [_named(ref) for ref in mine], "cancelled": [_named(ref) for ref in ending]}


async def external_end(call: Call) -> Answer:
    body = await call.request.json()
    worker, service = _worker(body), call.service
    run = service.find_run(bodies.required(body, "run", str))
    ref = AttemptRef(run, JobKey(bodies.required(body, "job", str)), bodies.required(body, "attempt", int))
    conclusion = _CONCLUSIONS.get(bodies.required(body, "status", str))
    if conclusion is None:
        raise bodies.bad(f"status is none of {', '.join(_CONCLUSIONS)}")
    error = clean_line(bodies.optional(body, "error", str) or "", MAX_ERROR)
    service.external.end(worker, ref, conclusion, _outputs(body), error)
    await service.probe()  # all that was decided is durable
    return {"v": 1, "run": run.hex()}


def _worker(body: dict[str, Any]) -> str:
    worker = bodies.required(body, "worker", str)
    if not (worker.isalnum() and worker.isascii() and len(worker) <= _LONGEST_WORKER):
        raise bodies.bad("worker is not 1 to 64 letters and digits")
    return worker


def _outputs(body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """A result's values as a job's outputs: text as it is, anything else as JSON."""
    told: dict[str, Any] = bodies.optional(body, "result", dict) or {}
    outputs = tuple(sorted((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
                           for name, value in told.items()))
    size = sum(len(part.encode(errors="replace")) for pair in outputs for part in pair)
    if size > MAX_OUTPUT_BYTES or len(outputs) > MAX_OUTPUTS:
        raise bodies.bad(f"the result has {size} bytes; all peers keep it, so {MAX_OUTPUT_BYTES} are allowed: put the "
                         "rest into a file, and its place here")
    if any(clean_line(name, MAX_OUTPUT_NAME) != name or not name for name, _ in outputs):
        raise bodies.bad("a name in the result is empty, too long or holds control characters")
    return outputs


def _named(ref: AttemptRef) -> dict[str, object]:
    return {"run": ref.run.hex(), "job": ref.key, "attempt": ref.attempt}


async def _job(service: Service, ref: AttemptRef) -> dict[str, object]:
    machine = service.machine
    planned = machine.runs[ref.run].planned
    needs = {name: need.outputs for name, need in view.needs_of(machine, ref.job).items()
             if name in planned[ref.key].needs}
    return {**_named(ref), "jobs": len(planned), "needs": needs, "matrix": planned[ref.key].matrix or None,
            "workflow": await workflow_json(service, ref.run)}


EXTERNAL_ANSWERS: dict[str, Any] = {
    "external_take": external_take,
    "external_beat": external_beat,
    "external_end": external_end,
}
