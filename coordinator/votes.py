"""The voter: what this peer accepts and grants (rules 2, 3 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockmesh.coordinator import claims, jobs, leases, ranks, runs, ticks
from clockmesh.coordinator.jobs import JobState, Try
from clockmesh.protocol.events import ClaimGranted, ResultAccepted
from clockmesh.protocol.ids import AttemptRef, PeerId

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine


def vote(machine: Machine, job: JobState, now: float) -> None:
    """Accept what may be accepted, grant what may be granted."""
    accept(machine, job)
    run = machine.run_of(job)
    if (
        job.final is None
        and job.ref.key in run.open
        and runs.ready(run, job.ref.key)
        and ticks.may_grant(machine, run, now)
    ):
        _grant(machine, job, now)


def accept(machine: Machine, job: JobState) -> None:
    """Rule 6: one result of each attempt, by its holder."""
    me = machine.me
    for (attempt, proposer), proposal in list(jobs.valid_proposals(job)):
        if (
            job.electorate.votes_for(me, proposer)
            and me not in job.accepts.get(attempt, {})
            and claims.may_accept(job, attempt, me)
        ):
            machine.decide(ResultAccepted(job.ref.run, job.ref.key, attempt, proposal.hash))


def _grant(machine: Machine, job: JobState, now: float) -> None:
    """One grant after the other: each may rule out the next."""
    lease = machine.run_of(job).lease
    for attempt, claimant in _by_hope(machine, job, now):
        if not claims.may_grant(job, attempt, claimant, machine.leases, now, lease):
            continue
        if jobs.highest_vote(job, machine.me) and job.ref not in machine.contested and not machine.may_contest():
            continue
        carried = claims.carried(job, machine.me)
        machine.leases.granted_at[job.attempt(attempt)] = now
        machine.decide(
            ClaimGranted(job.ref.run, job.ref.key, attempt, claimant, carried.attempt, carried.result)
            if carried
            else ClaimGranted(job.ref.run, job.ref.key, attempt, claimant)
        )


def _by_hope(machine: Machine, job: JobState, now: float) -> list[Try]:
    """Open claims worth a vote, the likeliest to win first: most grants, then highest attempt, then nearest owner.

    A hint, for liveness: all voters that see the same claims choose the same one.
    """
    hopeful = [key for key in jobs.open_claims(job) if _worth_it(machine, job, key, now)]
    if len(hopeful) < 2:
        return hopeful
    order = {key: ranks.place(machine, job.ref, *key) for key in hopeful}
    return sorted(hopeful, key=lambda key: (-len(job.grants.get(key, ())), -key[0], order[key]))


def _worth_it(machine: Machine, job: JobState, key: Try, now: float) -> bool:
    """Its claimant is a living member that may run this job, and the incarnation that claimed it."""
    _, claimant = key
    member = machine.members.get(claimant)
    session = machine.leases.sessions.get(claimant)
    labels = ranks.labels_asked(machine.run_of(job), job.ref.key)
    return (
        member is not None
        and member.offers(labels)
        and leases.live(machine.leases, claimant, now)
        and (session is None or session.incarnation <= job.claims[key])
    )


def next_silence(machine: Machine, job: JobState, now: float) -> float | None:
    """When the next of those granted or claiming would count as silent, if it is not heard again."""
    lease = machine.run_of(job).lease
    waiting = [
        leases.silent_from(machine.leases, job, *key) + lease
        for key in {**job.claims, **job.grants}
        if not jobs.is_over(job, *key) and not leases.silent(machine.leases, job, *key, now, lease)
    ]
    return max(min(waiting), now + machine.leases.period / 2) if waiting else None


def granted_over(job: JobState, voter: PeerId) -> AttemptRef | None:
    """Rule 5: the highest attempt this voter granted, if the claimant of a lower one has not ended it."""
    granted = job.votes.get(voter, {})
    top = max(granted, default=0)
    if any(lower < top and not jobs.is_over(job, lower, claimant) for lower, claimant in granted.items()):
        return job.attempt(top)
    return None
