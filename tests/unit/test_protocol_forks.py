"""An author that signed two nodes with one number: both are kept, and what counts is the same on every peer."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmesh.protocol.clock import Clock, ForkFound, append
from clockmesh.protocol.events import ForkProven, Noted
from clockmesh.protocol.forks import Counting
from clockmesh.protocol.node import Node
from clockmesh.protocol.orphans import Orphans, take_in
from tests.unit.protocol_builders import MESH, WALL_MS, filled, founded_clock, key, write


def copy(clock: Clock) -> Clock:
    made = Clock(MESH)
    for node in clock:
        made.add_branch(node)
    return made


def say(clock: Clock, number: int, text: str) -> Node:
    return append(clock, key(number), wall_ms=WALL_MS, events=[Noted("t", text)])


def meet(clock: Clock, counting: Counting, number: int, node: Node) -> None:
    """As a daemon does: what counted until now is named in a node of its own before the branch comes in."""
    try:
        clock.add(node)
    except ForkFound as fork:
        first, second = sorted((fork.known.hash, fork.other.hash))
        counting.entered(write(clock, number, ForkProven(node.author, node.seq, first, second)))
        clock.add_branch(node)
    counting.entered(node)


def pull(sides: dict[int, Clock], counting: dict[int, Counting], me: int) -> None:
    """Take in what the other of two peers has."""
    for node in list(sides[3 - me]):
        if node.hash not in sides[me]:
            meet(sides[me], counting[me], me, node)


def facts(clock: Clock) -> object:
    counting = Counting(clock)
    counted = {node.hash for node in counting.all()}
    return clock.heads, clock.vector(), clock.vector_digest(), counted, {node.hash for node in clock}


def two_branches() -> tuple[Clock, Node, Node, Clock, Clock]:
    """Peer 3 has signed `left` and `right`; one clock with each."""
    base = founded_clock(1, 2, 3)
    before = say(base, 3, "before")
    left_side, right_side = copy(base), copy(base)
    left, right = say(left_side, 3, "left"), say(right_side, 3, "right")
    assert left.seq == right.seq == before.seq + 1
    return base, left, right, left_side, right_side


def test_a_fork_is_told_first_and_then_both_branches_are_kept() -> None:
    _, left, right, clock, _ = two_branches()
    with pytest.raises(ForkFound):
        clock.add(right)
    assert not clock.forked
    assert clock.add_branch(right)
    assert set(clock.forked) == {key(3).peer}
    assert {left.hash, right.hash} == set(clock.heads)
    assert clock.vector()[key(3).peer] == 1
    assert list(clock.missing_for(clock.vector())) == [left, right], "whoever asks gets both"
    assert not clock.add(right)


def test_a_later_fork_nearer_to_the_root_moves_the_point_from_which_all_is_sent() -> None:
    base = founded_clock(1, 3)
    one, other = copy(base), copy(base)
    first, second = say(one, 3, "a1"), say(one, 3, "a2")
    third = say(other, 3, "b1")
    late = copy(one)
    fork = say(filled([*base, first]), 3, "a2 again")
    for node in (fork, third):
        late.add_branch(node)
    assert key(3).peer not in late.vector()
    assert set(late.missing_for({})) == set(late)
    assert [node.hash for node in late.nodes_of(key(3).peer)] == [first.hash, second.hash, fork.hash, third.hash]


def test_what_was_taken_for_good_before_the_fork_was_known_counts_everywhere_and_nothing_later_does() -> None:
    _, left, right, left_side, right_side = two_branches()
    counting = {1: Counting(left_side), 2: Counting(right_side)}
    later = say(copy(left_side), 3, "later")  # whoever has the key goes on
    meet(left_side, counting[1], 1, right)
    meet(right_side, counting[2], 2, left)
    pull({1: left_side, 2: right_side}, counting, 1)
    pull({1: left_side, 2: right_side}, counting, 2)
    for number, side in ((1, left_side), (2, right_side)):
        meet(side, counting[number], number, later)
        assert counting[number].counts(left), "peer 1 had taken it for good"
        assert counting[number].counts(right), "peer 2 had taken it for good"
        assert not counting[number].counts(later)
    assert facts(left_side) == facts(right_side)


def test_a_branch_counts_from_the_moment_that_a_witness_of_it_comes() -> None:
    _, left, right, clock, right_side = two_branches()
    counting = Counting(clock)
    meet(clock, counting, 1, right)
    assert not counting.counts(right)
    witness = say(right_side, 2, "I had taken it for good")
    clock.add(witness)
    assert counting.entered(witness) == [right, witness]
    assert counting.counts(left)


def test_who_knew_of_the_fork_is_no_witness() -> None:
    _, _, right, clock, _ = two_branches()
    counting = Counting(clock)
    meet(clock, counting, 1, right)
    counting.entered(say(clock, 2, "I have both"))
    assert not counting.counts(right)


def test_every_order_of_the_same_nodes_gives_the_same_clock_and_the_same_that_counts() -> None:
    base, left, right, left_side, right_side = two_branches()
    more = [left, right, say(left_side, 1, "saw left"), say(right_side, 2, "saw right"), say(right_side, 3, "on")]
    found = []
    for order in permutations(more):
        clock, orphans = copy(base), Orphans()
        for node in order:
            take_in(clock, orphans, node, branch=True)
        assert len(orphans) == 0
        found.append(facts(clock))
    assert all(each == found[0] for each in found)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=4, max_size=25))
@settings(max_examples=60, deadline=None)
def test_peers_that_meet_a_fork_at_any_moment_agree_in_the_end_on_what_counts(steps) -> None:
    """Peers 1 and 2 write and exchange at random; whoever has key 3 writes on either side without looking."""
    base = founded_clock(1, 2, 3)
    sides = {1: copy(base), 2: copy(base)}
    counting = {number: Counting(clock) for number, clock in sides.items()}
    for what, number in steps:
        me = 1 + number % 2
        if what == 0:
            counting[me].entered(say(sides[me], me, "x"))
        elif what < 3:
            if key(3).peer not in sides[me].forked:
                counting[me].entered(say(sides[me], 3, "y"))
        else:
            pull(sides, counting, me)
    for me in (1, 2) * 3:
        pull(sides, counting, me)
    assert facts(sides[1]) == facts(sides[2])
    for me, clock in sides.items():
        afresh = Counting(clock)
        assert {node.hash for node in afresh.all()} == {node.hash for node in clock if counting[me].counts(node)}

