"""What the verbs about schedules do, as `answers` does for the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from clockmesh.coordinator.inputs import Change
from clockmesh.coordinator.schedule_requests import CATCH_UP_AGE_S
from clockmesh.daemon import bodies, surface
from clockmesh.daemon.call import Call
from clockmesh.daemon.control_http import Answer
from clockmesh.daemon.scheduling import ScheduleOrder
from clockmesh.daemon.submitting import Order
from clockmesh.protocol.schedules import CatchUp, Overlap


async def add(call: Call) -> Answer:
    body = await call.request.json()
    order = Order(
        workflow=bodies.workflow(body),
        path=bodies.required(body, "path", str),
        inputs=bodies.inputs(body),
        priority=bodies.number(body, "priority", 5.0),
        guard=bodies.guard(body),
        force=bool(body.get("force", False)),
        snapshot=bodies.snapshot(body),
        remote=bodies.remote(body),
    )
    wanted = ScheduleOrder(
        order,
        bodies.optional(body, "name", str),
        bodies.word(body, "catch_up", CatchUp.LAST),
        bodies.word(body, "overlap", Overlap.SKIP),
        bodies.optional(body, "jitter_s", int) or 0,
        bodies.optional(body, "pause_after", int) or 0,
    )
    schedule = await call.service.add_schedule(wanted)
    view = next(view for view in call.service.schedules() if view.schedule == schedule)
    unset = call.service.keeping.unset(view.told.plan, order.workflow)
    now_at = surface.iso(call.service.schedule_time())
    told = surface.schedule_json(view, call.service.machine)
    return {"v": surface.VERSION, "now_at": now_at, **told, "unset_secrets": unset}


async def list_(call: Call) -> Answer:
    service = call.service
    return surface.schedules_json(service.schedules(), service.machine, service.schedule_time())


async def rescue(call: Call) -> Answer:
    schedule = call.schedule
    body = await call.request.json()
    rescued = await call.service.rescue_schedule(schedule, abandon=bool(body.get("abandon", False)))
    may_be_running = sorted(map(call.service.machine.name_of, rescued.may_be_running))
    return {"v": surface.VERSION, "schedule": rescued.schedule.hex(), "instead_of": schedule.hex(),
            "may_be_running": may_be_running}


async def backfill(call: Call) -> Answer:
    schedule = call.schedule
    body = await call.request.json()
    since, until = bodies.optional(body, "since_ms", int), bodies.optional(body, "until_ms", int)
    now = call.service.schedule_time()
    ticks = await call.service.backfill_schedule(
        schedule, now - CATCH_UP_AGE_S * 1000 if since is None else since, now if until is None else until)
    told = [{"due_at": surface.iso(due), "run": run.hex()} for due, run in ticks]
    return {"v": surface.VERSION, "schedule": schedule.hex(), "ticks": told}


async def trigger(call: Call) -> Answer:
    schedule = call.schedule
    await call.request.json()
    run = await call.service.trigger_schedule(schedule)
    return {"v": surface.VERSION, "schedule": schedule.hex(), "run": run.hex()}


def _changing(what: Change) -> Callable[[Call], Awaitable[Answer]]:
    async def change(call: Call) -> Answer:
        schedule = call.schedule
        await call.request.json()
        await call.service.change_schedule(schedule, what)
        return {"v": surface.VERSION, "schedule": schedule.hex()}

    return change


SCHEDULE_ANSWERS: dict[str, Callable[[Call], Awaitable[Answer]]] = {
    "schedule_add": add,
    "schedule_list": list_,
    "schedule_rescue": rescue,
    "schedule_backfill": backfill,
    "schedule_trigger": trigger,
    "schedule_pause": _changing(Change.PAUSE),
    "schedule_resume": _changing(Change.RESUME),
    "schedule_remove": _changing(Change.REMOVE),
}
