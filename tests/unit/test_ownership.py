"""Every peer computes the same owner of a job, and work falls to peers by their weight."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockmesh.coordinator.ownership import Ranked, distance, peer_digests, rank, virtual_ids
from clockmesh.protocol.ids import PeerId, RunId, peer_text

RUN = RunId(bytes(range(32)))
TASK = sha256(b"task").digest()
digests = st.binary(min_size=32, max_size=32)
members = st.dictionaries(digests.map(PeerId), st.integers(0, 4), max_size=12).map(lambda them: list(them.items()))


def peers(count: int) -> list[PeerId]:
    return [PeerId(sha256(b"peer %d" % n).digest()) for n in range(count)]


def test_the_distance_is_the_seed_rule_to_the_byte():
    head, task, peer = RUN.hex(), TASK.hex(), peer_text(peers(1)[0])
    combined = sha256((head + task).encode()).hexdigest()
    name = sha256(peer.encode()).hexdigest()
    plain = f"{int(combined, 16):0256b}", f"{int(name, 16):0256b}"
    assert distance(head, task, peer) == sum(a != b for a, b in zip(*plain, strict=True))


def test_the_distance_is_pinned():
    peer = peer_text(PeerId(bytes(32)))
    assert peer == "12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw"
    assert distance("00" * 32, "11" * 32, peer) == 131


def test_one_slot_is_exactly_the_seed_rule():
    them = peers(7)
    order = rank(RUN, TASK, [(peer, 1) for peer in them])
    plain = {peer: distance(RUN.hex(), TASK.hex(), peer_text(peer)) for peer in them}
    assert [ranked.distance for ranked in order] == sorted(plain.values())
    assert all(plain[ranked.peer] == ranked.distance for ranked in order)


def test_virtual_ids_begin_with_the_peer_itself():
    assert virtual_ids("P", 3) == ["P", "P#1", "P#2"]
    assert virtual_ids("P", 0) == []


def test_a_heavier_peer_is_never_further_away():
    (peer,) = peers(1)
    distances = [rank(RUN, TASK, [(peer, weight)])[0].distance for weight in range(1, 30)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0]


def test_a_peer_without_slots_owns_nothing():
    one, two = peers(2)
    assert [ranked.peer for ranked in rank(RUN, TASK, [(one, 0), (two, 1)])] == [two]
    assert rank(RUN, TASK, [(one, 0)]) == []
    assert rank(RUN, TASK, []) == []


@given(digests.map(RunId), digests, members, st.randoms(use_true_random=False))
def test_peers_agree_whatever_the_order_of_their_lists(run, task, them, rng):
    shuffled = list(them)
    rng.shuffle(shuffled)
    assert rank(run, task, them) == rank(run, task, shuffled)


@given(digests.map(RunId), digests, members)
def test_the_order_is_by_distance_and_then_by_the_tie_hash(run, task, them):
    combined = sha256((run.hex() + task.hex()).encode()).digest()
    number = int.from_bytes(combined, "big")
    expected = sorted(
        (*min(((number ^ n).bit_count(), sha256(combined + d).digest()) for n, d in peer_digests(peer, weight)), peer)
        for peer, weight in them
        if weight
    )
    assert rank(run, task, them) == [Ranked(peer, bits) for bits, _, peer in expected]


def test_ties_favour_nobody():
    them = [(peer, 1) for peer in peers(2)]
    tied = Counter()
    for n in range(6000):
        order = rank(RUN, sha256(b"%d" % n).digest(), them)
        if order[0].distance == order[1].distance:
            tied[order[0].peer] += 1
    assert sum(tied.values()) > 200
    assert min(tied.values()) > 0.4 * sum(tied.values())


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (4, 4, 4, 4)])
def test_shares_follow_the_weights(weights):
    """Over many meshes: in one mesh the peers' fixed digests make shares uneven by some tens of percent."""
    rng, owned = random.Random(5), Counter()
    for _ in range(4000):
        them = [(PeerId(rng.randbytes(32)), weight) for weight in weights]
        owner = rank(RunId(rng.randbytes(32)), rng.randbytes(32), them)[0].peer
        owned[[peer for peer, _ in them].index(owner)] += 1
    for index, weight in enumerate(weights):
        assert owned[index] == pytest.approx(4000 * weight / sum(weights), rel=0.12)
