"""What this peer has heard, and what others have heard of it: silence (rule 3) and the deadline D (rule 5).

All of it lives only in memory: a restart forgets it, and silence then counts from the restart. Times are seconds of
CLOCK_BOOTTIME, which counts suspended time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from clockmesh.coordinator import jobs
from clockmesh.coordinator.jobs import JobState
from clockmesh.protocol.beacon import Beacon
from clockmesh.protocol.ids import AttemptRef, JobRef, PeerId

RUN_SHARE = 0.75
"""Of L that a holder runs on after a beacon that a quorum heard. Safe while clocks differ by less than 14 %:
0.75 / (1 - r) < 1 / (1 + r)."""

PAUSE_PERIODS = 3.0
"""Beacon periods without a step that count as a pause: beacons may have been lost in it."""

LIVE_PERIODS = 4.0
"""Beacon periods for which a session lives on after the last beacon."""

KEPT_BEACONS = 1024
"""Own beacons whose time is remembered: more than a lease is long."""

NEVER = -math.inf


@dataclass(slots=True)
class Session:
    """What the newest beacon of one peer said, and when it was heard."""

    incarnation: int
    number: int
    heard_at: float
    free: int
    load: float
    ack: tuple[int, int] = (0, 0)
    """The highest (incarnation, number) of this peer's own beacons that it said to have heard."""
    over: dict[JobRef, int] = field(default_factory=dict)
    """By job the highest attempt that it granted above a claimant that has not ended."""


@dataclass(slots=True)
class Leases:
    me: PeerId
    period: float
    """Seconds between two beacons."""
    incarnation: int = 0
    number: int = 0
    sent: dict[int, float] = field(default_factory=dict)
    """By number, the time taken before signing each of this incarnation's beacons."""
    sessions: dict[PeerId, Session] = field(default_factory=dict)
    granted_at: dict[AttemptRef, float] = field(default_factory=dict)
    """Own grants of this incarnation, of jobs without a final result."""
    seen_at: dict[tuple[AttemptRef, PeerId], float] = field(default_factory=dict)
    """When claims of others were first looked at, of jobs without a final result."""
    settled_at: float = NEVER
    """The last of the own restart and the own pause."""
    stepped_at: float = NEVER


def passed(known: Leases, now: float) -> None:
    """This peer is awake now; if it was not for a while, that was a pause."""
    if known.stepped_at != NEVER and now - known.stepped_at > PAUSE_PERIODS * known.period:
        known.settled_at = now
    known.stepped_at = max(now, known.stepped_at)


def hear(known: Leases, beacon: Beacon, now: float) -> bool:
    """Note a beacon; True if it is newer than all heard of its author."""
    last = known.sessions.get(beacon.peer)
    if beacon.peer == known.me or (last and (beacon.incarnation, beacon.number) <= (last.incarnation, last.number)):
        return False
    acks = [(heard.incarnation, heard.number) for heard in beacon.heard if heard.peer == known.me]
    session = Session(beacon.incarnation, beacon.number, now, beacon.free, beacon.load)
    session.ack = max([*acks, last.ack if last else (0, 0)])
    for ref in beacon.over:
        session.over[ref.job] = max(ref.attempt, session.over.get(ref.job, 0))
    known.sessions[beacon.peer] = session
    return True


def live(known: Leases, peer: PeerId, now: float) -> bool:
    """Its session lives: a beacon of it was heard a few periods ago. One's own always does."""
    session = known.sessions.get(peer)
    return peer == known.me or (session is not None and now - session.heard_at <= LIVE_PERIODS * known.period)


def settled(known: Leases, now: float) -> bool:
    """Awake for long enough that a missing session means something."""
    return now - known.settled_at > LIVE_PERIODS * known.period


def notice(known: Leases, job: JobState, now: float) -> None:
    """Remember when the open claims of others were first looked at."""
    for attempt, claimant in job.claims:
        if claimant != known.me and not jobs.is_over(job, attempt, claimant):
            known.seen_at.setdefault((job.attempt(attempt), claimant), now)


def silent_from(known: Leases, job: JobState, attempt: int, claimant: PeerId) -> float:
    """From when silence of this claimant counts for this attempt: the last of its newest beacon, the own grant, the
    own restart and the own pause (and when its claim was first seen, out of courtesy)."""
    session = known.sessions.get(claimant)
    ref = job.attempt(attempt)
    return max(
        session.heard_at if session else NEVER,
        known.granted_at.get(ref, NEVER),
        known.seen_at.get((ref, claimant), NEVER),
        known.settled_at,
    )


def silent(known: Leases, job: JobState, attempt: int, claimant: PeerId, now: float, lease: float) -> bool:
    """Rule 3: no newer beacon of the claimant was heard for L. Nobody is silent to itself."""
    return claimant != known.me and now - silent_from(known, job, attempt, claimant) >= lease


def deadline(known: Leases, job: JobState, attempt: int, claimed_at: float, lease: float) -> float:
    """Rule 5: D of an own attempt; minus infinity without a quorum of voters to rest on.

    `claimed_at` is when this incarnation claimed it, `NEVER` for one that an earlier incarnation claimed.
    """
    voters = job.grants.get((attempt, known.me), {})
    heard = sorted((acknowledged(known, job, attempt, voter, claimed_at) for voter in voters), reverse=True)
    quorum = job.electorate.quorum
    return heard[quorum - 1] + RUN_SHARE * lease if len(heard) >= quorum else NEVER


def acknowledged(known: Leases, job: JobState, attempt: int, voter: PeerId, claimed_at: float) -> float:
    """Rule 5: when the newest word of this peer that the voter has heard was signed. Its grant heard the claim."""
    if granted_above(known, job, attempt, voter):
        return claimed_at
    if voter == known.me:
        return max(claimed_at, known.sent.get(known.number, NEVER))
    session = known.sessions.get(voter)
    if session is None or not names_this_incarnation(known, session):
        return claimed_at
    return max(claimed_at, known.sent.get(min(session.ack[1], known.number), NEVER))


def names_this_incarnation(known: Leases, session: Session) -> bool:
    """Rule 5: what a voter heard of another incarnation says nothing about this one."""
    return session.ack[0] == known.incarnation


def granted_above(known: Leases, job: JobState, attempt: int, voter: PeerId) -> bool:
    """Rule 5: a voter that granted a higher attempt has stopped listening for this one."""
    session = known.sessions.get(voter)
    said = session.over.get(job.ref, 0) if session else 0
    return max(said, jobs.highest_vote(job, voter)) > attempt


def next_number(known: Leases, now: float) -> int:
    """Count one more own beacon, to be signed after `now`."""
    passed(known, now)
    known.number += 1
    known.sent[known.number] = now
    known.sent.pop(known.number - KEPT_BEACONS, None)
    return known.number


def forget_job(known: Leases, job: JobState) -> None:
    """Drop what was noted about a job that has its final result."""
    for attempt, claimant in job.claims:
        ref = job.attempt(attempt)
        known.granted_at.pop(ref, None)
        known.seen_at.pop((ref, claimant), None)
