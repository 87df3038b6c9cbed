"""What the clock says about one job: a set of facts that only grows, and what follows from them.

Nothing here depends on the order in which facts of different peers came; of one peer's contradicting facts its first
stands, and a peer's own facts always come in its own order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from clockmesh.protocol.events import Ending
from clockmesh.protocol.ids import AttemptRef, JobRef, PeerId, ResultHash
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.reports import Report
from clockmesh.protocol.result import Result

Try = tuple[int, PeerId]
"""(attempt, claimant): what is claimed, granted, and ends."""


class Carried(NamedTuple):
    """The result that a voter had accepted when it granted."""

    attempt: int
    result: ResultHash


class Proposal(NamedTuple):
    result: Result
    hash: ResultHash


class Final(NamedTuple):
    """A result that a quorum accepted in one attempt."""

    attempt: int
    hash: ResultHash
    result: Result


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who votes on the jobs of one run. Under a lease every claimant is its own and only voter."""

    members: frozenset[PeerId]
    guard: Guard

    @property
    def quorum(self) -> int:
        return len(self.members) // 2 + 1 if self.guard is Guard.QUORUM else 1

    def votes_for(self, voter: PeerId, claimant: PeerId) -> bool:
        return voter in self.members if self.guard is Guard.QUORUM else voter == claimant

    def voters_of(self, claimant: PeerId) -> frozenset[PeerId]:
        return self.members if self.guard is Guard.QUORUM else frozenset((claimant,))


@dataclass(slots=True)
class JobState:
    ref: JobRef
    electorate: Electorate
    claims: dict[Try, int] = field(default_factory=dict)
    """The incarnation in which each was claimed."""
    grants: dict[Try, dict[PeerId, Carried | None]] = field(default_factory=dict)
    """By voter; votes of peers that are no voters of that claimant are left out."""
    votes: dict[PeerId, dict[int, PeerId]] = field(default_factory=dict)
    """The same by voter: whom it granted each attempt first."""
    ended: dict[Try, Ending] = field(default_factory=dict)
    results: dict[Try, Proposal] = field(default_factory=dict)
    accepts: dict[int, dict[PeerId, ResultHash]] = field(default_factory=dict)
    """By attempt and voter."""
    reports: dict[Try, Report] = field(default_factory=dict)
    final: Final | None = None
    duplicates: tuple[Final, ...] = ()
    """Other finals with another result: under a lease two peers may both have run to the end."""

    def attempt(self, number: int) -> AttemptRef:
        return AttemptRef(self.ref.run, self.ref.key, number)


def is_over(job: JobState, attempt: int, claimant: PeerId) -> bool:
    """The claimant itself said so: it released it, lost it, or proposed its result."""
    return (attempt, claimant) in job.ended or (attempt, claimant) in job.results


def times_lost(job: JobState) -> int:
    """Attempts that their own claimants declared lost."""
    return sum(1 for how in job.ended.values() if how is Ending.LOST)


def open_claims(job: JobState) -> list[Try]:
    """Claims that their claimants have not ended, in a fixed order."""
    return sorted(key for key in job.claims if not is_over(job, *key))


def has_quorum(job: JobState, attempt: int, claimant: PeerId) -> bool:
    return len(job.grants.get((attempt, claimant), ())) >= job.electorate.quorum


def holders(job: JobState) -> list[Try]:
    """Who was granted an attempt by a quorum and has not ended it."""
    return sorted(key for key in job.grants if has_quorum(job, *key) and not is_over(job, *key))


def highest_vote(job: JobState, voter: PeerId) -> int:
    return max(job.votes.get(voter, ()), default=0)


def valid_proposals(job: JobState) -> Iterator[tuple[Try, Proposal]]:
    """Proposals of holders, in a fixed order: only these may be accepted."""
    for key in sorted(job.results):
        if has_quorum(job, *key):
            yield key, job.results[key]


def executed(job: JobState) -> Try | None:
    """The attempt that made the final result, and who ran it: it may have been proposed again by a later holder."""
    if job.final is None:
        return None
    made = (key for key, proposal in valid_proposals(job) if proposal.hash == job.final.hash)
    return next(made, None)


def decide_final(job: JobState) -> bool:
    """Work out the final result again; True if it changed. The lowest (attempt, hash) stands."""
    finals = sorted(_finals(job), key=lambda final: (final.attempt, final.hash))
    first = finals[0] if finals else None
    others = tuple(final for final in finals if first and final.hash != first.hash)
    changed = first != job.final
    job.final, job.duplicates = first, others
    return changed


def _finals(job: JobState) -> Iterator[Final]:
    for (attempt, _), proposal in valid_proposals(job):
        accepting = [
            voter
            for voter, result in job.accepts.get(attempt, {}).items()
            if result == proposal.hash and _counts(job, attempt, voter, result)
        ]
        if len(accepting) >= job.electorate.quorum:
            yield Final(attempt, proposal.hash, proposal.result)


def _counts(job: JobState, attempt: int, voter: PeerId, result: ResultHash) -> bool:
    """Under a lease a claimant votes on its own result alone."""
    if job.electorate.guard is Guard.QUORUM:
        return voter in job.electorate.members
    own = job.results.get((attempt, voter))
    return own is not None and own.hash == result
