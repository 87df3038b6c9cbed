from __future__ import annotations

from clockmesh.protocol.events import CancelAsked, PeerAdmitted
from clockmesh.protocol.orphans import Orphans, take_in
from tests.unit.protocol_builders import description, digest, filled, founded_clock, key, lone_node, write


def test_nodes_that_come_in_reverse_enter_once_the_first_is_here():
    clock = founded_clock(1)
    behind, orphans = filled(clock), Orphans()
    nodes = [write(clock, number) for number in (1, 0, 1, 1)]
    for node in reversed(nodes[1:]):
        assert take_in(behind, orphans, node).held == [node]
    assert len(orphans) == 3
    assert take_in(behind, orphans, nodes[0]).added == nodes
    assert len(orphans) == 0
    assert behind.heads == clock.heads


def test_a_newcomers_node_waits_for_its_admission():
    clock = founded_clock()
    branch = filled(clock)
    admission = write(clock, 0, PeerAdmitted(key(1).peer, description("bob")))
    branch.add(admission)
    newcomer = write(branch, 1)
    behind, orphans = founded_clock(), Orphans()
    assert take_in(behind, orphans, newcomer).held == [newcomer]
    assert take_in(behind, orphans, admission).added == [admission, newcomer]


def test_a_node_that_waits_for_two_parents_enters_after_both():
    clock = founded_clock(1, 2)
    left, right = filled(clock), filled(clock)
    one, two = write(left, 1), write(right, 2)
    clock.add(one)
    clock.add(two)
    both = write(clock, 0)
    behind, orphans = founded_clock(1, 2), Orphans()
    take_in(behind, orphans, both)
    taken = take_in(behind, orphans, both)
    assert taken.held == [both]
    take_in(behind, orphans, two)
    assert len(orphans) == 1
    assert take_in(behind, orphans, one).added == [one, both]


def test_a_node_here_already_is_neither_added_nor_held():
    clock = founded_clock(1)
    node = write(clock, 1)
    taken = take_in(clock, Orphans(), node)
    assert (taken.added, taken.held, taken.forks, taken.refused) == ([], [], [], [])


def test_a_fork_and_a_bad_node_are_told_and_spoil_nothing():
    clock = founded_clock(1)
    other = filled(clock)
    first = write(clock, 1)
    forked = write(other, 1, CancelAsked(digest("x")))
    assert take_in(clock, Orphans(), forked).forks[0].known == first
    bad = lone_node(seq=3, parents=clock.heads, previous=clock.heads[0], height=clock.height + 5)
    taken = take_in(clock, Orphans(), bad)
    assert taken.refused[0][0] == bad
    assert bad.hash not in clock


def test_beyond_its_limits_the_oldest_orphan_is_dropped():
    nodes = [lone_node(CancelAsked(digest(str(number)))) for number in range(5)]
    orphans = Orphans(limit=3)
    for node in nodes:
        orphans.hold(node, node.parents[0])
    assert [node in orphans for node in (n.hash for n in nodes)] == [False, False, True, True, True]
    assert orphans.ready(nodes[0].parents[0]) == nodes[2:]
    assert orphans.ready(nodes[0].parents[0]) == []

    orphans = Orphans(limit_bytes=len(nodes[0].data) * 2)
    for node in nodes:
        orphans.hold(node, node.parents[0])
    assert len(orphans) == 2


def test_a_node_held_twice_is_held_once_and_waits_for_the_last_thing_named():
    node = lone_node()
    orphans = Orphans()
    orphans.hold(node, digest("first"))
    orphans.hold(node, digest("second"))
    assert len(orphans) == 1
    assert orphans.ready(digest("first")) == []
    assert orphans.ready(digest("second")) == [node]
