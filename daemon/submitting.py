"""From a workflow's bytes to a durable submission. The workflow is parsed here, once; peers see the plan alone."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog
import trio

from clockmesh.coordinator.inputs import RerunWanted, SubmitWanted
from clockmesh.coordinator.view import may_be_running
from clockmesh.daemon.errors import NeedsSnapshot, NotFound, TooLarge, UsageError
from clockmesh.daemon.keeping import refuse_credentials
from clockmesh.daemon.member import Member
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.codec import encode_plan
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.ids import PeerId, RunId
from clockmesh.protocol.limits import MAX_NODE_BYTES
from clockmesh.protocol.plan import Guard, Plan, Remote, Snapshot
from clockmesh.runner.plan import make_plan, read_workflow, resolve_plan, uses_checkout

log = structlog.get_logger()
NONCE_BYTES = 16
_MAX_WORKFLOW = 1024 * 1024
_QUICK_BYTES = 32 * 1024
"""Up to here parsing takes a few milliseconds and stays in the daemon's thread; above it must not hold up beacons."""
_MAX_PLAN = MAX_NODE_BYTES - 16 * 1024
"""Bytes of a plan that its node can carry beside the rest of the submission."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; see `Service.submit`."""

    workflow: bytes
    path: str
    inputs: Mapping[str, str]
    priority: float
    guard: Guard | None
    force: bool
    snapshot: Snapshot | None
    remote: Remote | None
    event: str | None = None
    """What triggers it; None: the first of what the workflow is triggered by, see `make_plan`."""
    name: str = ""
    """What to call the run; '': by its workflow's name."""


async def submit(member: Member, order: Order) -> RunId:
    """Durable when it returns; nothing is kept when it raises. Errors: see `Service.submit`."""
    plan = await prepare(member, order)
    run = await member.request(lambda token: SubmitWanted(token, plan, os.urandom(NONCE_BYTES),
                                                          member.clock.combined_head(), order.priority, order.guard))
    if run is None:
        raise UsageError("the submission was answered without a run")
    log.info("run_submitted", run=run.hex(), workflow=plan.name, jobs=len(plan.jobs))
    return run


@dataclass(frozen=True, slots=True)
class Rerun:
    run: RunId
    """The new one."""
    may_be_running: tuple[PeerId, ...]
    """Who may go on with a job of the old one, until it hears that its end was asked for."""


async def rerun(member: Member, run: RunId, abandon: bool, guard: Guard | None) -> Rerun:
    """Durable when it returns. Errors: see `Service.rerun`."""
    holding = tuple(may_be_running(member.machine, run)) if run in member.machine.runs else ()
    again = await member.request(lambda token: RerunWanted(token, run, os.urandom(NONCE_BYTES),
                                                           member.clock.combined_head(), abandon, guard))
    if again is None:
        raise UsageError("the submission was answered without a run")
    log.info("run_submitted", run=again.hex(), workflow=member.machine.runs[again].plan.name, again=run.hex())
    return Rerun(again, holding)


async def prepare(member: Member, order: Order) -> Plan:
    """The plan of what was ordered, its workflow kept here. Errors: see `Service.submit`."""
    if not (math.isfinite(order.priority) and 0 <= order.priority <= 1000):
        raise UsageError(f"priority is {order.priority:g}; give 1 (critical) to 6 (very low) or higher")
    for url in [order.remote.url] if order.remote else [order.snapshot.origin] if order.snapshot else []:
        refuse_credentials(url)
    plan = await _plan(member, order)
    if order.name:
        plan = replace(plan, name=order.name)
    _check_size(order, plan)
    if plan.workflow is not None and not member.blobs.keeps(plan.workflow):
        await trio.to_thread.run_sync(member.blobs.put, order.workflow)
    return plan


def _check_size(order: Order, plan: Plan) -> None:
    try:
        size = len(encode_plan(plan))
    except LocalError as error:
        raise UsageError(f"{order.path} cannot be shared with the mesh: {error}") from error
    if size > _MAX_PLAN:
        raise TooLarge(f"the plan of {order.path} has {size // 1024} KiB, above {_MAX_PLAN // 1024}: split its matrix")


async def _plan(member: Member, order: Order) -> Plan:
    if order.remote is not None:
        plan: Plan = resolve_plan(order.remote.url, order.remote.ref, order.path, order.inputs, order.force,
                                  order.event or "workflow_dispatch")
        return plan
    if len(order.workflow) > _MAX_WORKFLOW:
        raise TooLarge(f"{order.path} has {len(order.workflow)} bytes; a workflow may have {_MAX_WORKFLOW}")
    if order.snapshot is not None and order.snapshot.blob is not None and not member.blobs.has(order.snapshot.blob):
        raise NotFound(f"the snapshot {order.snapshot.blob.hex()[:12]} is not here; send it first")
    if len(order.workflow) <= _QUICK_BYTES:
        return _read(order)
    return await trio.to_thread.run_sync(_read, order)


def _read(order: Order) -> Plan:
    workflow = read_workflow(order.workflow, order.path)
    plan: Plan = make_plan(workflow, path=order.path, workflow_blob=manifest_of(order.workflow).blob,
                     source=order.snapshot or Snapshot(), inputs=order.inputs, force=order.force,
                     event=order.event)
    if (order.snapshot is None or order.snapshot.blob is None) and uses_checkout(workflow, plan):
        raise NeedsSnapshot(f"{order.path} checks out its repository: submit it from a work tree, or with --remote URL")
    return plan
