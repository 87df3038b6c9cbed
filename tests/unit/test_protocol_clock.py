from __future__ import annotations

from hashlib import sha256

import pytest

from clockmesh.protocol import limits
from clockmesh.protocol.clock import Clock, ForkFound, MissingParents, UnknownAuthor, append
from clockmesh.protocol.codec import encode_node, mesh_id
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.events import CancelAsked, MeshFounded, Noted, PeerAdmitted
from clockmesh.protocol.ids import MeshId, NodeHash
from tests.unit.protocol_builders import (
    MESH,
    NONCE,
    RUN,
    WALL_MS,
    description,
    digest,
    filled,
    founded_clock,
    key,
    write,
)


def signed(clock: Clock, number: int, *events, **changes):
    """What key `number` would append, with some things wrong."""
    place = clock.place_for(key(number).peer)
    right = {"seq": place.seq, "parents": place.parents, "previous": place.previous, "height": place.height}
    return encode_node(key(number), MESH, wall_ms=WALL_MS, events=events or (CancelAsked(RUN),), **{**right, **changes})


def facts(clock: Clock) -> tuple:
    """All that peers compare."""
    return clock.heads, clock.combined_head(), clock.vector(), clock.vector_digest(), clock.height, len(clock)


def test_an_empty_clock_has_no_heads_and_height_0():
    clock = Clock(MESH)
    assert (clock.heads, clock.height, len(clock), clock.vector()) == ((), 0, 0, {})
    assert clock.combined_head() == sha256(b"").digest()
    assert clock.last_of(key(0).peer) is None


def test_the_founder_is_admitted_by_the_first_node():
    clock = founded_clock()
    assert clock.is_admitted(key(0).peer)
    assert not clock.is_admitted(key(1).peer)
    assert clock.vector() == {key(0).peer: 1}


def test_a_node_enters_once():
    clock = founded_clock()
    node = signed(clock, 0)
    assert clock.add(node) is True
    before = facts(clock)
    assert clock.add(node) is False
    assert facts(clock) == before
    assert node.hash in clock
    assert clock.get(node.hash) is node
    assert clock.of(key(0).peer, 2) is node
    assert clock.of(key(0).peer, 3) is None
    assert clock.of(key(0).peer, 0) is None


def test_concurrent_nodes_are_several_heads_and_the_next_names_them_all():
    clock = founded_clock(1, 2)
    base = clock.heads[0]
    others = [filled(clock), filled(clock)]
    for number, other in enumerate(others, 1):
        clock.add(write(other, number))
    assert len(clock.heads) == 2
    assert clock.heads == tuple(sorted(clock.heads))
    assert clock.combined_head() == sha256(b"".join(clock.heads)).digest()
    heads = clock.heads
    node = write(clock, 1)
    assert node.parents == heads
    assert base not in node.parents
    assert clock.heads == (node.hash,)


def test_an_authors_own_previous_node_is_named_even_when_it_is_no_head():
    clock = founded_clock(1)
    mine = write(clock, 1)
    theirs = write(clock, 0)
    node = write(clock, 1)
    assert set(node.parents) == {mine.hash, theirs.hash}
    assert node.previous == mine.hash
    assert node.height == theirs.height + 1


def test_missing_parents_are_named():
    clock = founded_clock(1)
    behind = filled(clock)
    first = write(clock, 1)
    second = write(clock, 1)
    with pytest.raises(MissingParents) as caught:
        behind.add(second)
    assert caught.value.hashes == (first.hash,)
    assert facts(behind) == facts(founded_clock(1))
    assert behind.add(first)
    assert behind.add(second)
    assert facts(behind) == facts(clock)


def test_an_author_is_unknown_until_the_node_that_admits_it_is_here():
    clock = founded_clock()
    stranger = signed(clock, 1)
    with pytest.raises(UnknownAuthor) as caught:
        clock.add(stranger)
    assert caught.value.author == key(1).peer
    write(clock, 0, PeerAdmitted(key(1).peer, description("bob")))
    assert clock.add(stranger)


def test_a_stranger_cannot_admit_anyone():
    clock = founded_clock()
    with pytest.raises(UnknownAuthor):
        clock.add(signed(clock, 1, PeerAdmitted(key(1).peer, description("bob"))))
    assert not clock.is_admitted(key(1).peer)


def test_a_fork_is_found_and_carries_both_nodes():
    clock = founded_clock(1)
    first = signed(clock, 1)
    second = signed(clock, 1, CancelAsked(digest("another")))
    clock.add(first)
    before = facts(clock)
    with pytest.raises(ForkFound) as caught:
        clock.add(second)
    assert (caught.value.known, caught.value.other) == (first, second)
    assert facts(clock) == before


def test_a_fork_is_found_even_when_its_parents_are_missing():
    clock = founded_clock(1)
    write(clock, 1)
    write(clock, 1)
    other = signed(clock, 1, seq=2, parents=(digest("nowhere"),), previous=digest("nowhere"), height=9)
    with pytest.raises(ForkFound):
        clock.add(other)


@pytest.mark.parametrize("off", [-1, 1, 5])
def test_a_node_of_another_height_than_its_parents_give_is_refused(off):
    clock = founded_clock(1)
    write(clock, 1)
    with pytest.raises(RemoteError, match="height"):
        clock.add(signed(clock, 1, height=clock.height + 1 + off))


def test_a_gap_in_an_authors_sequence_is_refused():
    clock = founded_clock(1)
    write(clock, 1)
    with pytest.raises(RemoteError, match="previous"):
        clock.add(signed(clock, 1, seq=3))


def test_a_previous_node_that_is_another_authors_is_refused():
    clock = founded_clock(1)
    head = clock.heads[0]
    with pytest.raises(RemoteError, match="previous"):
        clock.add(signed(clock, 1, seq=2, previous=head))
    with pytest.raises(RemoteError, match="previous"):
        clock.add(signed(clock, 1, seq=3, previous=head))


def test_a_second_founding_node_is_refused():
    clock = founded_clock(1)
    again = encode_node(
        key(0),
        MESH,
        seq=1,
        parents=(),
        previous=None,
        height=1,
        wall_ms=WALL_MS + 1,
        events=[MeshFounded(NONCE, description("again"))],
    )
    with pytest.raises(ForkFound):
        clock.add(again)
    for number in (1, 2):
        with pytest.raises(RemoteError, match="found"):
            clock.add(signed(Clock(MESH), number, MeshFounded(NONCE, description())))


def test_only_the_first_event_of_the_first_node_founds_a_mesh():
    founding = MeshFounded(NONCE, description())
    clock = Clock(MESH)
    for events in ([CancelAsked(RUN)], [CancelAsked(RUN), founding], [founding, founding]):
        with pytest.raises(RemoteError, match="found"):
            clock.add(signed(clock, 0, *events))
    assert len(clock) == 0
    clock = founded_clock(1)
    for number in (0, 1):
        with pytest.raises(RemoteError, match="found"):
            clock.add(signed(clock, number, founding))


def test_the_founding_node_of_another_mesh_is_refused():
    founding = signed(Clock(MESH), 0, MeshFounded(NONCE, description()))
    with pytest.raises(RemoteError, match="found"):
        Clock(MeshId(digest("other"))).add(founding)
    with pytest.raises(RemoteError, match="found"):
        Clock(MESH).add(signed(Clock(MESH), 0, MeshFounded(bytes(16), description())))


def test_a_first_node_that_is_not_the_founding_one_waits_for_its_parents():
    clock = founded_clock(1)
    with pytest.raises(MissingParents):
        Clock(MESH).add(write(clock, 1))


def test_the_vector_answer_is_exactly_what_the_other_lacks_in_causal_order():
    clock = founded_clock(1, 2)
    behind = filled(clock)
    vector = behind.vector()
    written = [write(clock, number) for number in (1, 2, 1, 0, 2)]
    assert list(clock.missing_for(vector)) == written
    assert list(clock.missing_for({})) == list(clock)
    assert list(clock.missing_for(clock.vector())) == []
    for node in clock.missing_for(vector):
        assert behind.add(node)
    assert facts(behind) == facts(clock)


def test_an_answer_puts_what_one_author_read_before_what_it_wrote_then():
    clock = founded_clock(1, 2)
    behind = filled(clock)
    written = [write(clock, number) for number in (2, 1, 0, 1, 2, 0)]
    assert list(clock.missing_for(behind.vector())) == written
    answer = clock.missing_for({key(0).peer: 2})
    assert [behind.add(node) for node in answer] == [True] * 6


def test_a_vector_that_claims_more_than_is_here_gets_what_is_left():
    clock = founded_clock(1)
    mine = write(clock, 1)
    claims = {key(0).peer: 2**63 - 1, key(7).peer: 5}
    assert list(clock.missing_for(claims)) == [mine]


def test_an_answer_stays_what_it_was_when_the_clock_grows_meanwhile():
    clock = founded_clock(1)
    answer = clock.missing_for({})
    before = list(clock)
    write(clock, 1)
    assert list(answer) == before


def test_beyond_64_heads_the_highest_and_the_own_previous_are_named():
    members = range(1, 71)
    clock = founded_clock(*members)
    base = filled(clock)
    for number in members:
        other = filled(base)
        clock.add(write(other, number))
        if number > 40:
            clock.add(write(other, number))
    assert len(clock.heads) == 70
    node = write(clock, 1)
    assert len(node.parents) == limits.MAX_PARENTS
    assert node.previous in node.parents
    assert node.height == clock.height
    high = {clock.last_of(key(number).peer) for number in members if number > 40}
    assert high < set(node.parents)
    assert len(write(clock, 1).parents) == 7


def test_appending_as_a_stranger_is_refused_and_changes_nothing():
    clock = founded_clock()
    before = facts(clock)
    with pytest.raises(UnknownAuthor):
        append(clock, key(5), wall_ms=WALL_MS, events=[CancelAsked(RUN)])
    assert facts(clock) == before


def test_the_digest_follows_every_change():
    clock = founded_clock(1)
    digests = {clock.vector_digest()}
    for number in (0, 1, 0):
        write(clock, number)
        digests.add(clock.vector_digest())
    assert len(digests) == 4
    assert filled(clock).vector_digest() == clock.vector_digest()


def test_the_vector_is_a_copy():
    clock = founded_clock()
    clock.vector()[key(0).peer] = 99
    assert clock.vector() == {key(0).peer: 1}


def test_two_meshes_of_one_founder_have_two_names():
    assert mesh_id(key(0).peer, bytes(16)) != mesh_id(key(0).peer, NONCE) == MESH
    assert NodeHash(digest("x")) not in founded_clock()


def test_an_open_clock_has_many_beginnings_and_authors_whom_nobody_admitted():
    clock = Clock(MESH, is_open=True)
    ours = append(clock, key(0), wall_ms=1, events=[Noted("ada", "{}")])
    alone = Clock(MESH, is_open=True)
    theirs = append(alone, key(1), wall_ms=1, events=[Noted("bob", "{}")])
    assert clock.add(theirs)
    assert set(clock.heads) == {ours.hash, theirs.hash}
    joined = append(clock, key(2), wall_ms=2, events=[Noted("cyd", "{}")])
    assert set(joined.parents) == {ours.hash, theirs.hash}
    with pytest.raises(ForkFound):
        clock.add(append(Clock(MESH, is_open=True), key(1), wall_ms=9, events=[Noted("bob", "{}")]))


def test_a_meshs_clock_has_no_beginning_but_its_founding():
    note = append(Clock(MESH, is_open=True), key(0), wall_ms=1, events=[Noted("ada", "{}")])
    with pytest.raises(RemoteError, match="does not found"):
        Clock(MESH).add(note)
