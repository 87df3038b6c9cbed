"""How one fact changes what is known of one job. True where something changed."""

from __future__ import annotations

from clockmesh.coordinator import claims
from clockmesh.coordinator.jobs import Carried, JobState, Proposal, decide_final
from clockmesh.protocol.codec import result_hash
from clockmesh.protocol.events import AttemptEnded, ClaimGranted, JobClaimed, ResultAccepted, ResultProposed
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.reports import JobReported

JobFact = JobClaimed | ClaimGranted | AttemptEnded | ResultProposed | ResultAccepted | JobReported


def add_fact(job: JobState, author: PeerId, fact: JobFact) -> bool:
    """Count a fact; one counted before, or contradicting an earlier one of its author, changes nothing."""
    match fact:
        case JobClaimed():
            return _claimed(job, author, fact)
        case ClaimGranted():
            return _granted(job, author, fact)
        case AttemptEnded():
            return _ended(job, author, fact)
        case ResultProposed():
            return _proposed(job, author, fact)
        case ResultAccepted():
            return _accepted(job, author, fact)
        case JobReported():
            return _reported(job, author, fact)


def _claimed(job: JobState, author: PeerId, fact: JobClaimed) -> bool:
    key = (fact.attempt, author)
    if key in job.claims:
        return False
    job.claims[key] = fact.incarnation
    return True


def _granted(job: JobState, author: PeerId, fact: ClaimGranted) -> bool:
    key = (fact.attempt, fact.claimant)
    if not job.electorate.votes_for(author, fact.claimant) or author in job.grants.get(key, {}):
        return False
    if not claims.one_claimant(job, author, fact.attempt, fact.claimant):
        return False
    carried = Carried(fact.carried_attempt, fact.carried) if fact.carried is not None else None
    job.grants.setdefault(key, {})[author] = carried
    job.votes.setdefault(author, {}).setdefault(fact.attempt, fact.claimant)
    decide_final(job)
    return True


def _ended(job: JobState, author: PeerId, fact: AttemptEnded) -> bool:
    key = (fact.attempt, author)
    if key in job.ended:
        return False
    job.ended[key] = fact.how
    return True


def _proposed(job: JobState, author: PeerId, fact: ResultProposed) -> bool:
    key = (fact.attempt, author)
    if key in job.results:
        return False
    job.results[key] = Proposal(fact.result, result_hash(fact.result))
    decide_final(job)
    return True


def _accepted(job: JobState, author: PeerId, fact: ResultAccepted) -> bool:
    accepted = job.accepts.setdefault(fact.attempt, {})
    if author in accepted:
        return False
    accepted[author] = fact.result
    decide_final(job)
    return True


def _reported(job: JobState, author: PeerId, fact: JobReported) -> bool:
    key = (fact.attempt, author)
    if key in job.reports:
        return False
    job.reports[key] = fact.report
    return True
