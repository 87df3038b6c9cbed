"""The fields of the events about schedules as msgpack values; `event_codec` gives them their codes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from clockmesh.protocol import limits
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import PeerId, ScheduleId, SetHash
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.plan_codec import read_plan, write_plan
from clockmesh.protocol.schedules import (
    CatchUp,
    CronLine,
    Overlap,
    ScheduleMoved,
    SchedulePaused,
    SchedulePausesAfter,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSet,
    ScheduleVoted,
    TickSkipped,
    TickSubmitted,
)
from clockmesh.protocol.wire import array, ascending, fields, flag, integer, line, raw, raw_or_none, real

_NONCE_BYTES = 16
_Word = TypeVar("_Word", bound=StrEnum)

_GUARDS = {guard.value: guard for guard in Guard}
_CATCH_UPS = {catch_up.value: catch_up for catch_up in CatchUp}
_OVERLAPS = {overlap.value: overlap for overlap in Overlap}


def write_set(event: ScheduleSet) -> list[object]:
    return [
        event.nonce,
        event.name,
        [[told.cron, told.timezone] for told in event.lines],
        write_plan(event.plan),
        event.guard.value,
        event.guard_follows,
        event.lease_ms,
        float(event.priority),
        list(event.electorate),
        event.catch_up.value,
        event.catch_up_age_s,
        event.catch_up_count,
        event.overlap.value,
        event.jitter_s,
        event.due_from_ms,
    ]


def read_set(rest: list[object]) -> ScheduleSet:
    nonce, name, lines, plan, guard, follows, lease_ms, priority, electorate, *policy = rest
    catch_up, age_s, count, overlap, jitter_s, due_from_ms = policy
    return ScheduleSet(
        nonce=raw(nonce, "nonce", _NONCE_BYTES),
        name=line(name, "schedule name", limits.MAX_NAME, 1),
        lines=tuple(_read_line(told) for told in array(lines, "cron lines", limits.MAX_CRON_LINES, 1)),
        plan=read_plan(plan),
        guard=_word(guard, _GUARDS, "guard"),
        guard_follows=flag(follows, "whether the guard follows"),
        lease_ms=integer(lease_ms, "lease", 1, limits.MAX_LEASE_MS),
        priority=real(priority, "priority"),
        electorate=_electorate(electorate),
        catch_up=_word(catch_up, _CATCH_UPS, "catch-up"),
        catch_up_age_s=integer(age_s, "catch-up age", 0, limits.MAX_CATCH_UP_S),
        catch_up_count=integer(count, "catch-up count", 1, limits.MAX_CATCH_UP),
        overlap=_word(overlap, _OVERLAPS, "overlap"),
        jitter_s=integer(jitter_s, "jitter", 0, limits.MAX_JITTER_S),
        due_from_ms=_time(due_from_ms),
    )


def _read_line(value: object) -> CronLine:
    cron, timezone = fields(value, "cron line", 2)
    return CronLine(line(cron, "cron line", limits.MAX_CRON, 1), line(timezone, "timezone", limits.MAX_TIMEZONE))


def _electorate(value: object) -> tuple[PeerId, ...]:
    peers = tuple(PeerId(raw(peer, "peer", 32)) for peer in array(value, "electorate", limits.MAX_ELECTORATE, 1))
    ascending(peers, "electorate")
    return peers


def _word(value: object, known: Mapping[str, _Word], what: str) -> _Word:
    if type(value) is not str or value not in known:
        raise RemoteError(f"{what} is not one of " + ", ".join(known))
    return known[value]


def _time(value: object) -> int:
    return integer(value, "due time")


def read_schedule(value: object) -> ScheduleId:
    return ScheduleId(raw(value, "schedule id", 32))


def _number(value: object) -> int:
    return integer(value, "number", 1, limits.MAX_ATTEMPT)


def write_moved(event: ScheduleMoved) -> list[object]:
    return [
        event.schedule,
        event.follows,
        event.number,
        event.guard.value,
        list(event.electorate),
        event.due_from_ms,
    ]


def read_moved(rest: list[object]) -> ScheduleMoved:
    schedule, follows, number, guard, electorate, due_from_ms = rest
    return ScheduleMoved(
        schedule=read_schedule(schedule),
        follows=SetHash(raw(follows, "followed set", 32)),
        number=_number(number),
        guard=_word(guard, _GUARDS, "guard"),
        electorate=_electorate(electorate),
        due_from_ms=_time(due_from_ms),
    )


def read_voted(rest: list[object]) -> ScheduleVoted:
    schedule, follows, number, move = rest
    chosen = raw_or_none(move, "move", 32)
    return ScheduleVoted(
        schedule=read_schedule(schedule),
        follows=SetHash(raw(follows, "followed set", 32)),
        number=_number(number),
        move=None if chosen is None else SetHash(chosen),
    )


def read_removed(rest: list[object]) -> ScheduleRemoved:
    return ScheduleRemoved(read_schedule(rest[0]))


def read_paused(rest: list[object]) -> SchedulePaused:
    return SchedulePaused(read_schedule(rest[0]), _number(rest[1]))


def read_resumed(rest: list[object]) -> ScheduleResumed:
    return ScheduleResumed(read_schedule(rest[0]), _number(rest[1]), _time(rest[2]))


def read_pauses_after(rest: list[object]) -> SchedulePausesAfter:
    return SchedulePausesAfter(read_schedule(rest[0]), integer(rest[1], "failures", 1, limits.MAX_FAILURES))


def read_tick(rest: list[object]) -> TickSubmitted:
    return TickSubmitted(read_schedule(rest[0]), _time(rest[1]))


def read_skipped(rest: list[object]) -> TickSkipped:
    return TickSkipped(read_schedule(rest[0]), _time(rest[1]))
