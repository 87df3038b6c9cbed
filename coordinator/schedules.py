"""What the clock says of schedules: who votes on which tick, what is paused or removed, which ticks there were.

As all state a sum of facts that comes out the same in whatever order they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from clockmesh.protocol.codec import move_hash, schedule_id
from clockmesh.protocol.events import RunSubmitted
from clockmesh.protocol.ids import PeerId, RunId, ScheduleId, SetHash
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import (
    ScheduleFact,
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

Ballot = tuple[SetHash, int]
"""What is followed, and the number of the proposal."""


@dataclass(frozen=True, slots=True)
class Voters:
    """Who votes on ticks due from a time on."""

    set: SetHash
    guard: Guard
    electorate: tuple[PeerId, ...]
    due_from_ms: int

    @property
    def quorum(self) -> int:
        return len(self.electorate) // 2 + 1 if self.guard is Guard.QUORUM else 1


@dataclass(slots=True)
class ScheduleState:
    schedule: ScheduleId
    told: ScheduleSet
    chain: tuple[Voters, ...]
    """In force, the first to the last."""
    moves: dict[SetHash, ScheduleMoved] = field(default_factory=dict)
    votes: dict[Ballot, dict[PeerId, SetHash | None]] = field(default_factory=dict)
    removed: bool = False
    switch: tuple[int, int, int] = (0, 0, 0)
    """Of the pause (1) or resumption (0) that stands: count, which of them, and from when ticks are due again."""
    pause_after: int = 0
    """Failed ticks in a row after which it pauses itself (see `failures`); 0 for never."""
    ticks: dict[int, RunId] = field(default_factory=dict)
    """By due time."""
    skipped: dict[int, None] = field(default_factory=dict)

    @property
    def paused(self) -> bool:
        return self.switch[1] == 1

    @property
    def due_from_ms(self) -> int:
        """Ticks due before are none."""
        return max(self.told.due_from_ms, self.switch[2])

    def governing(self, due_ms: int) -> Voters:
        """Who votes on the tick due then."""
        return next((voters for voters in reversed(self.chain) if voters.due_from_ms <= due_ms), self.chain[0])

    def submission(self, due_ms: int) -> RunSubmitted:
        """What the submission of this tick stands for."""
        voters = self.governing(due_ms)
        return RunSubmitted(
            nonce=self.told.nonce,
            heads=self.schedule,
            plan=self.told.plan,
            guard=voters.guard,
            lease_ms=self.told.lease_ms,
            priority=self.told.priority,
            electorate=voters.electorate,
        )


def new_schedule(event: ScheduleSet) -> ScheduleState:
    schedule = schedule_id(event)
    first = Voters(SetHash(schedule), event.guard, event.electorate, event.due_from_ms)
    return ScheduleState(schedule, event, (first,))


def add_schedule_fact(known: ScheduleState, author: PeerId, event: ScheduleFact) -> bool:
    """Count a fact about this schedule. True where something changed."""
    match event:
        case ScheduleMoved():
            return _moved(known, event)
        case ScheduleVoted():
            return _voted(known, author, event)
        case ScheduleRemoved():
            changed, known.removed = not known.removed, True
            return changed
        case SchedulePaused():
            return _switched(known, (event.count, 1, 0))
        case ScheduleResumed():
            return _switched(known, (event.count, 0, event.due_from_ms))
        case SchedulePausesAfter():
            before, known.pause_after = known.pause_after, min(known.pause_after or event.failures, event.failures)
            return known.pause_after != before
        case TickSkipped():
            changed = event.due_ms not in known.skipped
            known.skipped[event.due_ms] = None
            return changed
        case ScheduleSet() | TickSubmitted():
            return False


def _switched(known: ScheduleState, switch: tuple[int, int, int]) -> bool:
    if switch <= known.switch:
        return False
    known.switch = switch
    return True


def _moved(known: ScheduleState, event: ScheduleMoved) -> bool:
    move = move_hash(event)
    if move in known.moves:
        return False
    known.moves[move] = event
    known.chain = _chain(known)
    return True


def _voted(known: ScheduleState, voter: PeerId, event: ScheduleVoted) -> bool:
    """Who breaks the rule and votes twice in one ballot is counted with the lesser vote."""
    votes = known.votes.setdefault((event.follows, event.number), {})
    if voter in votes and (votes[voter] or b"") <= (event.move or b""):
        return False
    votes[voter] = event.move
    known.chain = _chain(known)
    return True


def _chain(known: ScheduleState) -> tuple[Voters, ...]:
    """The first set, then each time the move that a quorum of the electorate before has accepted. Under a lease there
    may be several, for one is a quorum: the lowest hash stands."""
    chain = [known.chain[0]]
    while accepted := sorted(move for move in known.moves if _is_accepted(known, move, chain[-1])):
        event = known.moves[accepted[0]]
        chain.append(Voters(accepted[0], event.guard, event.electorate, event.due_from_ms))
    return tuple(chain)


def _is_accepted(known: ScheduleState, move: SetHash, last: Voters) -> bool:
    event = known.moves[move]
    if event.follows != last.set or event.due_from_ms < last.due_from_ms:
        return False
    return _accepts(known, last, event.number)[move] >= last.quorum


def _accepts(known: ScheduleState, last: Voters, number: int) -> Counter[SetHash]:
    votes = known.votes.get((last.set, number), {})
    return Counter(move for voter, move in votes.items() if move is not None and voter in last.electorate)


def is_dead(known: ScheduleState, last: Voters, number: int) -> bool:
    """No move with this number can be accepted any more, whoever still votes: each votes once in a ballot, and in none
    below one it voted in. A further number may only be voted on after that."""
    voted = {
        voter
        for (follows, other), votes in known.votes.items()
        if follows == last.set and other >= number
        for voter in votes
    }
    free = sum(1 for voter in last.electorate if voter not in voted)
    return free + max(_accepts(known, last, number).values(), default=0) < last.quorum


def ballot_number(known: ScheduleState, last: Voters) -> int:
    """The number that is voted on next."""
    number = 1
    while is_dead(known, last, number):
        number += 1
    return number


def promised(known: ScheduleState, voter: PeerId, due_ms: int) -> bool:
    """This voter accepted a move that takes this tick away from those who vote on it now, and it may yet stand."""
    last = known.governing(due_ms)
    for (follows, number), votes in known.votes.items():
        move = votes.get(voter)
        if follows != last.set or move is None or is_dead(known, last, number):
            continue
        event = known.moves.get(move)
        if event is None or event.due_from_ms <= due_ms:
            return True
    return False


def moved_ticks(known: ScheduleState, before: tuple[Voters, ...]) -> Iterator[tuple[int, RunId]]:
    """Ticks whose voters are not those any more that the chain before gave them."""
    if known.chain == before:
        return
    old = ScheduleState(known.schedule, known.told, before)
    for due_ms, run in known.ticks.items():
        if old.governing(due_ms) != known.governing(due_ms):
            yield due_ms, run
