"""From a workflow with `on.schedule` to a durable schedule, and what is asked of one afterwards."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, replace
from difflib import get_close_matches
from zoneinfo import available_timezones

import structlog
import trio

from clockmesh.coordinator import schedule_health
from clockmesh.coordinator.calendar import next_due
from clockmesh.coordinator.inputs import (
    BackfillWanted,
    Change,
    RescueWanted,
    ScheduleChangeWanted,
    ScheduleWanted,
    TriggerWanted,
)
from clockmesh.daemon import submitting
from clockmesh.daemon.cronlines import zone
from clockmesh.daemon.errors import NotFound, UsageError
from clockmesh.daemon.member import Member
from clockmesh.daemon.submitting import NONCE_BYTES, Order
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.ids import PeerId, RunId, ScheduleId
from clockmesh.protocol.limits import MAX_CRON_LINES, MAX_FAILURES, MAX_JITTER_S, MAX_NAME
from clockmesh.protocol.schedules import CatchUp, CronLine, Overlap
from clockmesh.protocol.wire import clean_line
from clockmesh.runner.errors import WorkflowError, quoted
from clockmesh.runner.plan import make_plan, read_workflow

log = structlog.get_logger()
_EVENT = "schedule"
_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class ScheduleOrder:
    """What was asked for; see `Service.add_schedule`."""

    order: Order
    """Its workflow's bytes are there even with a remote: the cron lines are read from them."""
    name: str | None
    catch_up: CatchUp
    overlap: Overlap
    jitter_s: int
    pause_after: int = 0
    """Failed ticks in a row; 0 for never."""


async def add(member: Member, wanted: ScheduleOrder) -> ScheduleId:
    """Durable when it returns; nothing is kept when it raises."""
    if not 0 <= wanted.jitter_s <= MAX_JITTER_S:
        raise UsageError(f"jitter is {wanted.jitter_s} s; give 0 to {MAX_JITTER_S}")
    if not 0 <= wanted.pause_after <= MAX_FAILURES:
        raise UsageError(f"pause_after is {wanted.pause_after} failures; give 1 to {MAX_FAILURES}, 0 for never")
    order = replace(wanted.order, event=_EVENT)
    name = _name(wanted)
    lines = await trio.to_thread.run_sync(_lines, member, order)
    plan = await submitting.prepare(member, order)
    nonce = os.urandom(NONCE_BYTES)
    await member.request(lambda token: ScheduleWanted(
        token, nonce, name, lines, plan, member.loop.wall_ms(), order.guard, order.priority, wanted.catch_up,
        wanted.overlap, wanted.jitter_s, wanted.pause_after))
    schedule = _by_nonce(member, nonce)
    log.info("schedule_added", schedule=schedule.hex(), name=name, lines=[line.cron for line in lines])
    return schedule


def _name(wanted: ScheduleOrder) -> str:
    path = wanted.order.path
    name = posixpath.splitext(posixpath.basename(path))[0] if wanted.name is None else wanted.name.strip()
    if not 0 < len(name) <= MAX_NAME or clean_line(name, MAX_NAME) != name or "/" in name:
        raise UsageError(f"the name {quoted(name)!r} is not one line of 1 to {MAX_NAME} characters without a slash; "
                         "give --name NAME")
    return name


def _lines(member: Member, order: Order) -> tuple[CronLine, ...]:
    """When the workflow is due. WorkflowError when it never is, or not by this machine's time zones."""
    workflow = read_workflow(order.workflow, order.path)
    told = workflow.triggers.schedules
    if not told:
        raise _refuse(order, "the workflow has no `on.schedule`; add `schedule: [{cron: '0 6 * * *'}]` under `on:`")
    if len(told) > MAX_CRON_LINES:
        raise _refuse(order, f"`on.schedule` has {len(told)} entries, above {MAX_CRON_LINES}; make it two workflows")
    lines = tuple(CronLine(schedule.cron, schedule.timezone) for schedule in told)
    for line, schedule in zip(lines, told, strict=True):
        if zone(line.timezone) is None:
            raise WorkflowError(order.path, schedule.line, schedule.column,
                                f"there is no timezone `{quoted(line.timezone)}`{_near(line.timezone)}")
        if next_due(member.machine.calendar, (line,), member.loop.wall_ms()) is None:
            raise WorkflowError(order.path, schedule.line, schedule.column,
                                f"the cron line `{quoted(line.cron)}` names a day that no calendar has; correct it")
    if order.remote is not None:  # each tick plans anew; what is wrong today is said today
        make_plan(workflow, path=order.path, workflow_blob=manifest_of(order.workflow).blob, source=order.remote,
                  inputs=order.inputs, force=order.force, event=_EVENT)
    return lines


def _near(timezone: str) -> str:
    close = get_close_matches(timezone, available_timezones(), 1, 0.8)
    return f"; did you mean `{close[0]}`?" if close else "; names are such as `Europe/Berlin`"


def _refuse(order: Order, message: str) -> WorkflowError:
    return WorkflowError(order.path, 1, 1, message)


async def change(member: Member, schedule: ScheduleId, what: Change) -> None:
    """See `Service.change_schedule`."""
    await member.request(lambda token: ScheduleChangeWanted(token, schedule, what, member.loop.wall_ms()))
    log.info("schedule_changed", schedule=schedule.hex(), change=what.value)


@dataclass(frozen=True, slots=True)
class Rescue:
    schedule: ScheduleId
    """The new one."""
    may_be_running: tuple[PeerId, ...]
    """Who may go on with ticks of the old one, until it hears that it was removed."""


async def rescue(member: Member, schedule: ScheduleId, abandon: bool, now: float) -> Rescue:
    """See `Service.rescue_schedule`; `now` is the machine's."""
    nonce, away = os.urandom(NONCE_BYTES), schedule_health.away(member.machine, now)
    await member.request(lambda token: RescueWanted(token, schedule, nonce, member.loop.wall_ms(), abandon))
    new = _by_nonce(member, nonce)
    log.warning("schedule_rescued", schedule=new.hex(), instead_of=schedule.hex(),
                abandoned=", ".join(map(member.machine.name_of, away)))
    return Rescue(new, away)


def _by_nonce(member: Member, nonce: bytes) -> ScheduleId:
    return next(known.schedule for known in member.machine.state.schedules.values() if known.told.nonce == nonce)


async def backfill(member: Member, schedule: ScheduleId, since_ms: int, until_ms: int) -> list[tuple[int, RunId]]:
    """See `Service.backfill_schedule`."""
    known = member.machine.state.schedules[schedule].ticks
    before = set(known)
    await member.request(lambda token: BackfillWanted(token, schedule, since_ms, until_ms))
    new = [(due, run) for due, run in sorted(known.items()) if due not in before and since_ms <= due < until_ms]
    log.info("schedule_backfilled", schedule=schedule.hex(), ticks=len(new))
    return new


async def trigger(member: Member, schedule: ScheduleId) -> RunId:
    """See `Service.trigger_schedule`."""
    run = await member.request(lambda token: TriggerWanted(token, schedule, os.urandom(NONCE_BYTES),
                                                           member.clock.combined_head()))
    assert run is not None, "a triggered schedule is answered with its run"
    log.info("schedule_triggered", schedule=schedule.hex(), run=run.hex())
    return run


def find(member: Member, text: str) -> ScheduleId:
    """By its name in any case, else by the first digits of its id. NotFound; UsageError for several."""
    standing = [known for known in member.machine.state.schedules.values() if not known.removed]
    named = [known.schedule for known in standing if known.told.name.casefold() == text.strip().casefold()]
    wanted = text.strip().lower()
    found = named or [known.schedule for known in standing if known.schedule.hex().startswith(wanted)]
    if not found or (not named and len(wanted) < _SHORTEST_PREFIX):
        close = get_close_matches(text.strip(), [known.told.name for known in standing], 1)
        hint = f"did you mean {close[0]}?" if close else "`clockmesh schedule list` shows those there are"
        raise NotFound(f"no schedule {quoted(text)}; {hint}")
    if len(found) > 1:
        ids = ", ".join(schedule.hex()[:12] for schedule in found)
        raise UsageError(f"{len(found)} schedules are meant by {quoted(text)}; give one's id: {ids}")
    return found[0]
