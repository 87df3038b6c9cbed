"""The registry of events on the wire: [code, version, field, field, ...].

A code is never used again for another event. A change of an event's fields takes the next version; whoever does not
know a code or version keeps the event as `UnknownEvent`, which is written again bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clockmesh.protocol import limits
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.events import (
    AttemptEnded,
    CancelAsked,
    ClaimGranted,
    Description,
    Ending,
    Event,
    ForkProven,
    InvitationRedeemed,
    JobClaimed,
    MeshFounded,
    Noted,
    PeerAdmitted,
    PeerDescribed,
    ResultAccepted,
    ResultProposed,
    RunSubmitted,
    UnknownEvent,
)
from clockmesh.protocol.ids import JobKey, NodeHash, PeerId, ResultHash, RunId
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.plan_codec import read_plan, read_result, write_plan, write_result
from clockmesh.protocol.report_codec import read_reported, write_reported
from clockmesh.protocol.reports import JobReported
from clockmesh.protocol.schedule_codec import (
    read_moved,
    read_paused,
    read_pauses_after,
    read_removed,
    read_resumed,
    read_set,
    read_skipped,
    read_tick,
    read_voted,
    write_moved,
    write_set,
)
from clockmesh.protocol.schedules import (
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
from clockmesh.protocol.secret_codec import (
    read_keys_shared,
    read_secret_removed,
    read_secret_set,
    write_keys_shared,
    write_secret_removed,
    write_secret_set,
)
from clockmesh.protocol.secrets import KeysShared, SecretRemoved, SecretSet
from clockmesh.protocol.wire import (
    array,
    ascending,
    fields,
    integer,
    line,
    pack,
    raw,
    raw_or_none,
    real,
    shallow,
    text,
    unpack,
)

NONCE_BYTES = 16
INVITATION_BYTES = 16

_GUARDS = {guard.value: guard for guard in Guard}
_ENDINGS = {ending.value: ending for ending in Ending}


def encode_event(event: Event) -> bytes:
    """Canonical bytes of one event; LocalError if a peer would refuse them or read them as another event."""
    written = write_event(event)
    try:
        same = read_event(written) == event
    except RemoteError as error:
        raise LocalError(str(error)) from error
    if not same:
        raise LocalError(f"{type(event).__name__} does not read back as it was written")
    return pack(written)


def write_event(event: Event) -> list[object]:
    """An event as msgpack values, unchecked."""
    if isinstance(event, UnknownEvent):
        return _write_unknown(event)
    kind = _BY_TYPE[type(event)]
    return [kind.code, kind.version, *kind.write(event)]


def _write_unknown(event: UnknownEvent) -> list[object]:
    try:
        return [event.code, event.version, *array(unpack(event.fields), "fields", limits.MAX_ARRAY)]
    except RemoteError as error:
        raise LocalError(f"an unknown event's fields are a packed list: {error}") from error


def read_event(value: object) -> Event:
    """An event out of msgpack values; RemoteError names the field that is wrong."""
    code, version, *rest = array(value, "event", limits.MAX_ARRAY, 2)
    kind = _BY_CODE.get(code) if type(code) is int else None
    if kind is None or type(version) is not int or version != kind.version:
        return _keep_unknown(code, version, rest)
    if len(rest) != kind.count:
        raise RemoteError(f"{kind.event.__name__} must have {kind.count} fields")
    return kind.read(rest)


def _keep_unknown(code: object, version: object, rest: list[object]) -> UnknownEvent:
    shallow(rest, "fields of an unknown event")
    try:
        return UnknownEvent(
            code=integer(code, "event code", 1, limits.MAX_CODE),
            version=integer(version, "event version", 1, limits.MAX_CODE),
            fields=pack(rest),
        )
    except LocalError as error:
        raise RemoteError(str(error)) from error


def write_description(description: Description) -> list[object]:
    return [description.name, description.slots, list(description.labels), list(description.addresses)]


def read_description(value: object) -> Description:
    name, slots, labels, addresses = fields(value, "description", 4)
    found = Description(
        name=line(name, "peer name", limits.MAX_NAME, 1),
        slots=integer(slots, "slots", 0, limits.MAX_SLOTS),
        labels=tuple(line(label, "label", limits.MAX_LABEL, 1) for label in array(labels, "labels", limits.MAX_LABELS)),
        addresses=tuple(read_address(address) for address in array(addresses, "addresses", limits.MAX_ADDRESSES)),
    )
    ascending(found.labels, "labels")
    return found


def read_address(value: object) -> str:
    """A multiaddress as text: ASCII, beginning with a slash. What it says is checked by who dials it."""
    address = line(value, "address", limits.MAX_ADDRESS, 2)
    if not address.isascii() or not address.startswith("/"):
        raise RemoteError("address must be a multiaddress in ASCII")
    return address


def _run(value: object) -> RunId:
    return RunId(raw(value, "run id", 32))


def _key(value: object) -> JobKey:
    return JobKey(line(value, "job key", limits.MAX_KEY, 1))


def _attempt(value: object) -> int:
    return integer(value, "attempt", 1, limits.MAX_ATTEMPT)


def read_peer(value: object) -> PeerId:
    return PeerId(raw(value, "peer", 32))


def _read_founded(rest: list[object]) -> MeshFounded:
    return MeshFounded(nonce=raw(rest[0], "nonce", NONCE_BYTES), founder=read_description(rest[1]))


def _read_redeemed(rest: list[object]) -> InvitationRedeemed:
    return InvitationRedeemed(invitation=raw(rest[0], "invitation", INVITATION_BYTES))


def _read_admitted(rest: list[object]) -> PeerAdmitted:
    return PeerAdmitted(peer=read_peer(rest[0]), description=read_description(rest[1]))


def _read_described(rest: list[object]) -> PeerDescribed:
    return PeerDescribed(description=read_description(rest[0]))


def _write_submitted(event: RunSubmitted) -> list[object]:
    return [
        event.nonce,
        event.heads,
        write_plan(event.plan),
        event.guard.value,
        event.lease_ms,
        float(event.priority),
        list(event.electorate),
    ]


def _read_submitted(rest: list[object]) -> RunSubmitted:
    nonce, heads, plan, guard, lease_ms, priority, electorate = rest
    if type(guard) is not str or guard not in _GUARDS:
        raise RemoteError("guard is not one of " + ", ".join(_GUARDS))
    event = RunSubmitted(
        nonce=raw(nonce, "nonce", NONCE_BYTES),
        heads=raw(heads, "heads", 32),
        plan=read_plan(plan),
        guard=_GUARDS[guard],
        lease_ms=integer(lease_ms, "lease", 1, limits.MAX_LEASE_MS),
        priority=real(priority, "priority"),
        electorate=tuple(read_peer(peer) for peer in array(electorate, "electorate", limits.MAX_ELECTORATE)),
    )
    ascending(event.electorate, "electorate")
    return event


def _read_cancel(rest: list[object]) -> CancelAsked:
    return CancelAsked(run=_run(rest[0]))


def _read_claimed(rest: list[object]) -> JobClaimed:
    run, key, attempt, incarnation = rest
    return JobClaimed(_run(run), _key(key), _attempt(attempt), integer(incarnation, "incarnation"))


def _read_granted(rest: list[object]) -> ClaimGranted:
    run, key, attempt, claimant, carried_attempt, carried = rest
    result = raw_or_none(carried, "carried result", 32)
    event = ClaimGranted(
        run=_run(run),
        key=_key(key),
        attempt=_attempt(attempt),
        claimant=read_peer(claimant),
        carried_attempt=integer(carried_attempt, "carried attempt", 0, limits.MAX_ATTEMPT),
        carried=None if result is None else ResultHash(result),
    )
    if (event.carried_attempt == 0) != (result is None):
        raise RemoteError("a grant carries an attempt and its result, or neither")
    return event


def _read_ended(rest: list[object]) -> AttemptEnded:
    run, key, attempt, how = rest
    if type(how) is not str or how not in _ENDINGS:
        raise RemoteError("ending is not one of " + ", ".join(_ENDINGS))
    return AttemptEnded(_run(run), _key(key), _attempt(attempt), _ENDINGS[how])


def _read_proposed(rest: list[object]) -> ResultProposed:
    run, key, attempt, result = rest
    return ResultProposed(_run(run), _key(key), _attempt(attempt), read_result(result))


def _read_accepted(rest: list[object]) -> ResultAccepted:
    run, key, attempt, result = rest
    return ResultAccepted(_run(run), _key(key), _attempt(attempt), ResultHash(raw(result, "result hash", 32)))


def _read_noted(rest: list[object]) -> Noted:
    label, data = rest
    return Noted(line(label, "label", limits.MAX_NOTE_LABEL, 1), text(data, "note", limits.MAX_NOTE))


def _read_fork(rest: list[object]) -> ForkProven:
    author, seq, first, second = rest
    hashes = (NodeHash(raw(first, "first node", 32)), NodeHash(raw(second, "second node", 32)))
    if hashes[0] >= hashes[1]:
        raise RemoteError("the nodes of a fork are not two, the smaller hash first")
    return ForkProven(read_peer(author), integer(seq, "seq", 1), *hashes)


@dataclass(frozen=True, slots=True)
class _Kind:
    code: int
    version: int
    event: type[Event]
    count: int
    """Fields after code and version."""
    write: Callable[[Any], list[object]]
    read: Callable[[list[object]], Event]


_KINDS = (
    _Kind(1, 1, MeshFounded, 2, lambda e: [e.nonce, write_description(e.founder)], _read_founded),
    _Kind(2, 1, InvitationRedeemed, 1, lambda e: [e.invitation], _read_redeemed),
    _Kind(3, 1, PeerAdmitted, 2, lambda e: [e.peer, write_description(e.description)], _read_admitted),
    _Kind(4, 1, PeerDescribed, 1, lambda e: [write_description(e.description)], _read_described),
    _Kind(10, 1, RunSubmitted, 7, _write_submitted, _read_submitted),
    _Kind(11, 1, CancelAsked, 1, lambda e: [e.run], _read_cancel),
    _Kind(20, 1, JobClaimed, 4, lambda e: [e.run, e.key, e.attempt, e.incarnation], _read_claimed),
    _Kind(
        21,
        1,
        ClaimGranted,
        6,
        lambda e: [e.run, e.key, e.attempt, e.claimant, e.carried_attempt, e.carried],
        _read_granted,
    ),
    _Kind(22, 1, AttemptEnded, 4, lambda e: [e.run, e.key, e.attempt, e.how.value], _read_ended),
    _Kind(23, 1, ResultProposed, 4, lambda e: [e.run, e.key, e.attempt, write_result(e.result)], _read_proposed),
    _Kind(24, 1, ResultAccepted, 4, lambda e: [e.run, e.key, e.attempt, e.result], _read_accepted),
    _Kind(25, 1, JobReported, 7, write_reported, read_reported),
    _Kind(30, 1, ScheduleSet, 15, write_set, read_set),
    _Kind(31, 1, ScheduleMoved, 6, write_moved, read_moved),
    _Kind(32, 1, ScheduleVoted, 4, lambda e: [e.schedule, e.follows, e.number, e.move], read_voted),
    _Kind(33, 1, ScheduleRemoved, 1, lambda e: [e.schedule], read_removed),
    _Kind(34, 1, SchedulePaused, 2, lambda e: [e.schedule, e.count], read_paused),
    _Kind(35, 1, ScheduleResumed, 3, lambda e: [e.schedule, e.count, e.due_from_ms], read_resumed),
    _Kind(36, 1, TickSubmitted, 2, lambda e: [e.schedule, e.due_ms], read_tick),
    _Kind(37, 1, TickSkipped, 2, lambda e: [e.schedule, e.due_ms], read_skipped),
    _Kind(38, 1, SchedulePausesAfter, 2, lambda e: [e.schedule, e.failures], read_pauses_after),
    _Kind(60, 1, ForkProven, 4, lambda e: [e.author, e.seq, e.first, e.second], _read_fork),
    _Kind(50, 1, Noted, 2, lambda e: [e.label, e.data], _read_noted),
    _Kind(40, 1, SecretSet, 7, write_secret_set, read_secret_set),
    _Kind(41, 1, SecretRemoved, 3, write_secret_removed, read_secret_removed),
    _Kind(42, 1, KeysShared, 2, write_keys_shared, read_keys_shared),
)
_BY_CODE: dict[int, _Kind] = {kind.code: kind for kind in _KINDS}
_BY_TYPE = {kind.event: kind for kind in _KINDS}
