"""A schedule's electorate follows the membership by itself (DESIGN 5.11).

One peer proposes a move for ticks due from T on, a few seconds before others would; the electorate so far votes, each
voter once in a ballot. With a quorum's accepts it stands. A voter that accepted grants no tick due from T to the
electorate before, and one that granted such a tick accepts nothing: so no tick has two electorates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from clockmesh.coordinator import requests, ticks
from clockmesh.coordinator.schedules import ScheduleState, Voters, ballot_number
from clockmesh.protocol.ids import PeerId, SetHash
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import ScheduleMoved, ScheduleVoted

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine
    from clockmesh.coordinator.ticks import Watch

PROPOSE_DELAY = 2.0
"""Seconds that a peer leaves to each nearer one to propose: two different proposals may halve the votes."""

NOTICE_LEASES = 2.0
"""Leases of time, at least, between a proposal and T: for the votes to come together."""

WHOLE_MS = 60_000
"""T is a whole minute, so that two who propose at about one time propose the same."""


def follow(machine: Machine, known: ScheduleState, watch: Watch, wall: int, now: float) -> float:
    """Vote on what is proposed, propose what is missing; when to look again if nothing else happens."""
    last = known.chain[-1]
    number = ballot_number(known, last)
    proposed = sorted(
        move for move, event in known.moves.items() if event.follows == last.set and event.number == number
    )
    if proposed:
        watch.unlike_since = None
        _vote(machine, known, last, proposed[0], wall)
        return math.inf
    guard, electorate = _wanted(machine, known, last, now)
    if (guard, electorate) == (last.guard, last.electorate):
        watch.unlike_since = None
        return math.inf
    if watch.unlike_since is None:
        watch.unlike_since = now
    at = watch.unlike_since + PROPOSE_DELAY * ticks.place_among_living(machine, known.schedule, now)
    if at > now:
        return at
    earliest = wall + round(NOTICE_LEASES * known.told.lease_ms)
    due_from = max(last.due_from_ms, -(-earliest // WHOLE_MS) * WHOLE_MS)
    machine.decide(ScheduleMoved(known.schedule, last.set, number, guard, electorate, due_from))
    return now


def _wanted(
    machine: Machine, known: ScheduleState, last: Voters, now: float
) -> tuple[Guard, tuple[PeerId, ...]]:
    """The guard and electorate that a submission now would have, where that is more peers than vote already: an
    electorate never shrinks (DESIGN 5.12), and who is silent for a while stays in it. Nobody gets into it silent."""
    guard = last.guard
    if known.told.guard_follows and len(machine.members) >= requests.QUORUM_FROM:
        guard = Guard.QUORUM
    drawn = tuple(
        peer
        for peer in requests.draw_electorate(machine, known.schedule, now)
        if peer in last.electorate or machine.live(peer, now)
    )
    return guard, drawn if len(drawn) > len(last.electorate) else last.electorate


def _vote(machine: Machine, known: ScheduleState, last: Voters, move: SetHash, wall: int) -> None:
    event = known.moves[move]
    if machine.me not in last.electorate or _has_voted(known, machine.me, event):
        return
    chosen = move if _may_accept(machine, known, event, wall) else None
    machine.decide(ScheduleVoted(known.schedule, event.follows, event.number, chosen))


def _has_voted(known: ScheduleState, me: PeerId, event: ScheduleMoved) -> bool:
    """In this ballot or a higher one."""
    return any(
        me in votes
        for (follows, number), votes in known.votes.items()
        if follows == event.follows and number >= event.number
    )


def _may_accept(machine: Machine, known: ScheduleState, event: ScheduleMoved, wall: int) -> bool:
    """T is to come by this voter's clock, it granted no tick due from T, and the new voters are members."""
    granted = (
        due
        for due, run in known.ticks.items()
        if due >= event.due_from_ms
        and any(machine.me in job.votes for job in machine.state.runs[run].jobs.values())
    )
    return (
        wall + ticks.TOLERANCE_MS < event.due_from_ms
        and machine.members.keys() >= set(event.electorate)
        and next(granted, None) is None
    )
