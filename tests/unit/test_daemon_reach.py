"""Who need not get a node from us because it hears the author itself."""

from __future__ import annotations

from clockmesh.daemon.reach import Reach
from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.ids import PeerId

A, B, C = (PeerId(bytes([i]) * 32) for i in range(1, 4))


def beacon(peer: PeerId, number: int, *heard: tuple[PeerId, int], incarnation: int = 1, of: int = 1) -> Beacon:
    """`of`: the incarnation of those that were heard."""
    words = tuple(Heard(each, of, newest) for each, newest in heard)
    return Beacon(peer, incarnation, number, bytes(32), 1, 0.0, words, ())


def reach(*beacons: Beacon, at: float = 100.0, period: float = 1.0) -> Reach:
    known = Reach(lambda: period)
    for each in beacons:
        known.hear(each, at)
    return known


def test_who_hears_the_author_gets_its_nodes_from_it() -> None:
    known = reach(beacon(A, 10), beacon(B, 7, (A, 9)), beacon(C, 3, (A, 8)))
    assert known.served(A, 101.0) == {B, C}


def test_who_has_not_heard_the_author_for_a_while_gets_its_nodes_from_us() -> None:
    known = reach(beacon(A, 10), beacon(B, 7, (A, 7)), beacon(C, 3))
    assert known.served(A, 101.0) == frozenset()


def test_a_member_that_has_fallen_silent_may_hear_nobody() -> None:
    known = reach(beacon(A, 10), beacon(B, 7, (A, 10)))
    assert known.served(A, 102.4) == {B}
    assert known.served(A, 102.6) == frozenset()


def test_where_beacons_are_rarer_they_count_for_longer() -> None:
    known = reach(beacon(A, 10), beacon(B, 7, (A, 10)), period=5.0)
    assert known.served(A, 112.0) == {B}
    assert known.served(A, 113.0) == frozenset()


def test_nothing_is_presumed_of_an_author_that_was_not_heard_here() -> None:
    assert reach(beacon(B, 7, (A, 10))).served(A, 100.0) == frozenset()


def test_what_was_heard_of_an_earlier_incarnation_says_nothing() -> None:
    known = reach(beacon(A, 1, incarnation=2), beacon(B, 7, (A, 500), of=1))
    assert known.served(A, 100.0) == frozenset()


def test_an_old_beacon_that_comes_late_changes_nothing() -> None:
    known = reach(beacon(A, 10), beacon(B, 7, (A, 10)), beacon(B, 6))
    assert known.served(A, 100.0) == {B}
