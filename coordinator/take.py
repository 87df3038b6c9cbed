"""The take rule: which job a peer with a free slot claims next (DESIGN 4). All of it is a hint; claims.py is the law.

Jobs that this peer may claim now stand in a Fibonacci heap by priority, then those it is nearest to, then age. What
it owns it takes at once; what k living members with a free slot are nearer to, after k half seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from clockmesh.coordinator import claims, jobs, leases, ranks, runs, ticks, votes
from clockmesh.coordinator.fibheap import Entry, FibonacciHeap
from clockmesh.coordinator.holding import Held
from clockmesh.coordinator.jobs import JobState
from clockmesh.coordinator.ownership import Ranked
from clockmesh.protocol.events import Ending, JobClaimed
from clockmesh.protocol.ids import JobRef, PeerId, RunId
from clockmesh.protocol.limits import MAX_ATTEMPT
from clockmesh.protocol.plan import Guard

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

RANK_DELAY = 0.5
"""Seconds that a peer leaves to each nearer one: ten times what two message rounds take on a healthy mesh."""

LEASE_RANK_DELAY = 2.0
"""The same under a lease, where a claim is a start and two that cross on a slow link are two starts."""

PATIENCE = 5.0
"""Seconds after which a job that nearer peers did not take counts as one's own."""

FIRST_BACKOFF = 0.2
"""Seconds within which a peer comes back after its first round without a quorum; doubled for each further one."""

FREE_LOSSES = 2
"""Attempts lost before each further one waits: a job that cannot even start must not fill the clock."""

MAX_SKIPPED = 16
"""Jobs looked past in one step because their electorate's majority is out of reach."""

Key = tuple[float, int, int, RunId, int]
"""Priority, nearer living peers, height of the submission, run, index in the plan."""


@dataclass(slots=True)
class Sight:
    """What this peer saw of an unclaimed job."""

    attempt: int = 0
    since: float = 0.0
    """When that attempt became claimable here."""
    results: int = 0
    """Valid results of it that are not final yet."""
    result_at: float = 0.0
    """When the last of them was first seen."""
    order: list[Ranked] = field(default_factory=list)
    made_of: tuple[int, tuple[str, ...]] = (-1, ())
    """The version of the members, and the labels asked for, that `order` was made of."""


@dataclass(slots=True)
class Offers:
    heap: FibonacciHeap[Key, JobRef] = field(default_factory=FibonacciHeap)
    entries: dict[JobRef, Entry[Key, JobRef]] = field(default_factory=dict)
    sights: dict[JobRef, Sight] = field(default_factory=dict)

    def put(self, ref: JobRef, key: Key) -> None:
        """Offer a job under this key."""
        entry = self.entries.get(ref)
        if entry is not None and key <= entry.key:
            self.heap.decrease_key(entry, key)
            return
        self.withdraw(ref)
        self.entries[ref] = self.heap.insert(key, ref)

    def withdraw(self, ref: JobRef) -> None:
        entry = self.entries.pop(ref, None)
        if entry is not None:
            self.heap.delete(entry)

    def pop(self) -> JobRef:
        ref = self.heap.extract_min().value
        del self.entries[ref]
        return ref


def consider(machine: Machine, job: JobState, now: float) -> float | None:
    """Offer a job or withdraw it; when to look again if nothing else happens."""
    if not _wanted(machine, job, now):
        machine.offers.withdraw(job.ref)
        return None
    sight = machine.offers.sights.setdefault(job.ref, Sight())
    attempt = claims.next_attempt(job)
    if attempt > MAX_ATTEMPT:  # a member has used the numbers up: a claim beyond them fits no node
        machine.offers.withdraw(job.ref)
        return None
    blocked = _blocked_until(machine, job, attempt, sight, now)
    if blocked > now:
        machine.offers.withdraw(job.ref)
        sight.attempt = 0
        return blocked
    if sight.attempt != attempt:
        sight.attempt, sight.since, sight.made_of = attempt, now, (-1, ())
    delay = RANK_DELAY if job.electorate.guard is Guard.QUORUM else LEASE_RANK_DELAY
    at = sight.since + _backoff(machine, job, attempt) + delay * len(_nearer(machine, job, sight, now))
    if at > now:
        machine.offers.withdraw(job.ref)
        return min(at, now + RANK_DELAY)
    patient = now - sight.since < PATIENCE
    nearer = _living_before(machine, job, sight, now) if patient else 0
    machine.offers.put(job.ref, _key(machine, job, nearer))
    return sight.since + PATIENCE if nearer else None


def _wanted(machine: Machine, job: JobState, now: float) -> bool:
    """A ready job that this peer may run and has not claimed."""
    run = machine.run_of(job)
    member = machine.members.get(machine.me)
    planned = run.planned.get(job.ref.key)
    return (
        planned is not None
        and member is not None
        and member.offers(ranks.labels_asked(run, job.ref.key))
        and job.ref not in machine.held
        and job.ref.key in run.open
        and runs.ready(run, job.ref.key)
        and ticks.may_run(machine, run, now)
    )


def _blocked_until(machine: Machine, job: JobState, attempt: int, sight: Sight, now: float) -> float:
    """Until when rule 1, or a claim or result that may still win, tells this peer to wait; `now` for not at all."""
    lease, known = machine.run_of(job).lease, machine.leases
    times = [now]
    if not claims.may_claim(job, attempt, known, now, lease):
        times.append(votes.next_silence(machine, job, now) or now + lease)
    for number, claimant in jobs.open_claims(job):
        if not leases.silent(known, job, number, claimant, now, lease):
            seen = known.seen_at.get((job.attempt(number), claimant), now)
            times.append(seen + lease / 2)
    results = sum(1 for _ in jobs.valid_proposals(job))
    if results != sight.results:
        sight.results, sight.result_at = results, now
    if results:
        times.append(sight.result_at + lease / 2)
    return max(times)


def _nearer(machine: Machine, job: JobState, sight: Sight, now: float) -> list[PeerId]:
    """Nearer members that may be about to take it: alive, with a free slot."""
    if not leases.settled(machine.leases, now):
        return [peer for peer in _before(machine, job, sight) if free_slots(machine, peer) > 0]
    return [
        peer
        for peer in _before(machine, job, sight)
        if leases.live(machine.leases, peer, now) and free_slots(machine, peer) > 0
    ]


def _before(machine: Machine, job: JobState, sight: Sight) -> list[PeerId]:
    """Members that are nearer to this attempt, whatever their state."""
    made_of = machine.state.members.version, ranks.labels_asked(machine.run_of(job), job.ref.key)
    if sight.made_of != made_of:
        sight.order = ranks.ranked(machine, job.attempt(sight.attempt))
        sight.made_of = made_of
    order = [entry.peer for entry in sight.order]
    return order[: order.index(machine.me)] if machine.me in order else order


def free_slots(machine: Machine, peer: PeerId) -> int:
    """Slots of a member that no open claim of it takes, as the clock says."""
    member = machine.members.get(peer)
    return max(0, member.description.slots - len(machine.state.busy.get(peer, ()))) if member else 0


def _living_before(machine: Machine, job: JobState, sight: Sight, now: float) -> int:
    """How many living members are nearer: each peer takes first what is its own, so that peers seldom collide."""
    return sum(1 for peer in _before(machine, job, sight) if leases.live(machine.leases, peer, now))


def _key(machine: Machine, job: JobState, nearer: int) -> Key:
    run = machine.run_of(job)
    return (run.submission.priority, nearer, run.carrier.height, run.run, run.index[job.ref.key])


def _backoff(machine: Machine, job: JobState, attempt: int) -> float:
    """Seconds to wait after rounds of one's own without a quorum, and after repeated losses: spread over peers and
    attempts by a hash, so that contention ends though nobody draws lots."""
    lease = machine.run_of(job).lease
    released = sum(1 for (_, peer), how in job.ended.items() if peer == machine.me and how is Ending.RELEASED)
    lost = jobs.times_lost(job) - FREE_LOSSES
    wait = 0.0
    if released:
        seed = sha256(b"clockmesh/backoff" + machine.me + job.ref.run + f"{job.ref.key}\0{attempt}".encode())
        spread = min(lease / 2, FIRST_BACKOFF * 2 ** min(released, 10))
        wait = spread * int.from_bytes(seed.digest()[:4], "big") / 2**32
    if lost > 0:
        wait += min(lease, RANK_DELAY * 2 ** min(lost, 10))
    return wait


def take_next(machine: Machine, now: float) -> bool:
    """Claim the first job on offer, if there is a free slot for it. True if one was claimed."""
    skipped: list[tuple[JobRef, Key]] = []
    claimed = False
    while not claimed and machine.started and machine.free and len(machine.offers.heap) and len(skipped) < MAX_SKIPPED:
        key = machine.offers.heap.find_min().key
        job = machine.state.job(machine.offers.pop())
        if job is None:
            continue
        if _electorate_lives(machine, job, now):
            claimed = _claim(machine, job, now)
        else:
            skipped.append((job.ref, key))
    for ref, key in skipped:
        machine.offers.put(ref, key)
    return claimed


def _electorate_lives(machine: Machine, job: JobState, now: float) -> bool:
    """Enough voters have a session to grant a claim."""
    if job.electorate.guard is Guard.LEASE:
        return True
    living = sum(1 for voter in job.electorate.members if leases.live(machine.leases, voter, now))
    return living >= job.electorate.quorum


def _claim(machine: Machine, job: JobState, now: float) -> bool:
    attempt = claims.next_attempt(job)
    if attempt > MAX_ATTEMPT or not claims.may_claim(job, attempt, machine.leases, now, machine.run_of(job).lease):
        machine.state.touched[job.ref] = None
        return True
    ref = job.attempt(attempt)
    machine.held[job.ref] = Held(ref, now)
    machine.decide(JobClaimed(*ref, machine.leases.incarnation))
    return True
