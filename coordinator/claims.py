"""The safety rules about claims, grants and results, one function each (DESIGN 5; its proof is in claims/REVIEW.md).

Each is called through this module, so that a test can take one rule away and see what it held back. Times are
seconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

from clockmesh.coordinator import jobs, leases
from clockmesh.coordinator.jobs import Carried, JobState, Proposal
from clockmesh.coordinator.leases import Leases
from clockmesh.protocol.events import Ending
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.plan import Guard


def next_attempt(job: JobState) -> int:
    """Rule 1: above every attempt seen granted, and above those seen claimed, whose numbers are spent."""
    claimed = max((attempt for attempt, _ in job.claims), default=0)
    granted = max((attempt for attempt, _ in job.grants), default=0)
    return max(claimed, granted) + 1


def may_claim(job: JobState, attempt: int, known: Leases, now: float, lease: float) -> bool:
    """Rule 1: rule 3 applied to all the grants seen would pass, and no claim of its own is still open."""
    return all(
        jobs.is_over(job, lower, claimant) or leases.silent(known, job, lower, claimant, now, lease)
        for lower, claimant in job.grants
        if lower < attempt
    ) and not _own_open_claim(job, attempt, known.me)


def unstarted_too_long(claimed_at: float, now: float, lease: float) -> bool:
    """Rule 1: a claim not started L/2 after it was made is released."""
    return now - claimed_at > lease / 2


def hopeless(job: JobState, attempt: int, claimant: PeerId) -> bool:
    """Rule 1: a claim that a quorum can no longer grant is released."""
    voters = job.electorate.voters_of(claimant)
    granted = job.grants.get((attempt, claimant), {})
    lost = sum(1 for voter in voters if voter not in granted and not _can_vote(job, voter, attempt, claimant))
    return len(voters) - lost < job.electorate.quorum


def _can_vote(job: JobState, voter: PeerId, attempt: int, claimant: PeerId) -> bool:
    return one_claimant(job, voter, attempt, claimant) and not_below(job, voter, attempt)


def one_claimant(job: JobState, voter: PeerId, attempt: int, claimant: PeerId) -> bool:
    """Rule 2: a voter grants an attempt to one claimant only, ever; a second grant of it counts for nothing."""
    return job.votes.get(voter, {}).get(attempt, claimant) == claimant


def not_below(job: JobState, voter: PeerId, attempt: int) -> bool:
    """Rule 2: never below an attempt that this voter granted."""
    return attempt >= jobs.highest_vote(job, voter)


def no_final(job: JobState) -> bool:
    """Rule 2: never once a final result is known."""
    return job.final is None


def carried(job: JobState, voter: PeerId) -> Carried | None:
    """Rule 2: the result of the highest attempt that this voter accepted goes with its grant."""
    accepted = [(attempt, results[voter]) for attempt, results in job.accepts.items() if voter in results]
    return Carried(*max(accepted)) if accepted else None


def lower_attempts_over(job: JobState, attempt: int, known: Leases, now: float, lease: float) -> bool:
    """Rule 3: every lower attempt that this voter granted is over by its claimant's word, or its claimant is silent.

    A lower attempt that the voter itself claimed and has not ended counts as granted: its grant of it may have been
    lost with a crash before it was durable.
    """
    granted = job.votes.get(known.me, {})
    return all(
        jobs.is_over(job, lower, claimant) or leases.silent(known, job, lower, claimant, now, lease)
        for lower, claimant in granted.items()
        if lower < attempt
    ) and not _own_open_claim(job, attempt, known.me)


def _own_open_claim(job: JobState, attempt: int, me: PeerId) -> bool:
    return any(
        claimant == me and lower < attempt and not jobs.is_over(job, lower, me) for lower, claimant in job.claims
    )


def may_grant(job: JobState, attempt: int, claimant: PeerId, known: Leases, now: float, lease: float) -> bool:
    """Rules 2 and 3 together, for an open claim by this peer's vote."""
    me = known.me
    return (
        job.electorate.votes_for(me, claimant)
        and me not in job.grants.get((attempt, claimant), {})
        and not jobs.is_over(job, attempt, claimant)
        and no_final(job)
        and one_claimant(job, me, attempt, claimant)
        and not_below(job, me, attempt)
        and lower_attempts_over(job, attempt, known, now, lease)
    )


def may_start(job: JobState, attempt: int, claimant: PeerId, deadline: float, now: float) -> bool:
    """Rule 4: only with a quorum's grants, D ahead, and no final result."""
    return jobs.has_quorum(job, attempt, claimant) and deadline > now and no_final(job)


def may_accept(job: JobState, attempt: int, voter: PeerId) -> bool:
    """Rule 6: a voter accepts an attempt's result unless it granted a higher attempt."""
    return jobs.highest_vote(job, voter) <= attempt


def adopted(job: JobState, attempt: int, claimant: PeerId) -> Proposal | None:
    """Rule 6: what a holder must propose instead of running the job.

    The accepted result of the highest attempt that its grants carry; without one, the valid result of the highest
    lower attempt that it has seen.
    """
    carrying = [vote for vote in job.grants.get((attempt, claimant), {}).values() if vote is not None]
    known = {(number, proposal.hash): proposal for (number, _), proposal in job.results.items()}
    for vote in sorted(carrying, reverse=True):
        if vote in known:
            return known[vote]
    seen = [proposal for (number, _), proposal in jobs.valid_proposals(job) if number < attempt]
    return seen[-1] if seen else None


def ending_after_restart(job: JobState, attempt: int, me: PeerId) -> Ending:
    """Rule 8: an own claim that the runner host does not know ends: it may have started if a quorum had granted it."""
    return Ending.LOST if jobs.has_quorum(job, attempt, me) else Ending.RELEASED


def stands_back(job: JobState, attempt: int, known: Leases, now: float) -> bool:
    """Rule 10: under a lease, of two live holders the higher (attempt, peer) stops itself."""
    return job.electorate.guard is Guard.LEASE and any(
        (other, holder) < (attempt, known.me) and holder != known.me and leases.live(known, holder, now)
        for other, holder in jobs.holders(job)
    )
