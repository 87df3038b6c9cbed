"""MerkleClock as programs of the reference use it, on signed nodes, and what was wrong with theirs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from copy import deepcopy
from functools import partial

import pytest

from benchmarks.embedded import seconds as cpu_seconds
from clockmesh import MerkleClock, MerkleClockNode, create_task_hash, hamming_distance, select_task_owner
from clockmesh.protocol.keys import SigningKey

NODE_KEYS = {"timestamp", "peer_id", "data", "parent_hash", "hash", "logical_clock"}
SIGNED_KEYS = {"parents", "public_key", "signature"}


def clock_of(peer: str, events: int) -> MerkleClock:
    clock = MerkleClock(peer_id=peer)
    for number in range(events):
        clock.append({"event": "test", "by": peer, "n": number})
    return clock


def merged(first: int = 4, second: int = 3) -> MerkleClock:
    """Two authors who met once and wrote on: a branch, a join and another branch."""
    alpha, beta = clock_of("alpha", first), clock_of("beta", second)
    alpha.merge(beta)
    alpha.append({"event": "met"})
    beta.append({"event": "alone"})
    alpha.merge(beta)
    return alpha


def again(clock: MerkleClock) -> MerkleClock:
    return MerkleClock.from_dict(json.loads(json.dumps(clock.to_dict())))


def verifies(told: dict) -> bool:
    return MerkleClock.from_dict(told).verify_chain()


# ---- row by row ----


def test_a_new_clock_is_empty_and_verifies():
    clock = MerkleClock("peer-1")
    assert (clock.peer_id, clock.nodes, clock.head_hash, clock.logical_clock) == ("peer-1", [], None, 0)
    assert clock.get_head() is None
    assert clock.verify_chain() is True


def test_append_makes_a_chain():
    clock = MerkleClock("peer-1")
    before = time.time()
    first = clock.append({"event": "workflow_submitted"})
    second = clock.append({"event": "workflow_assigned"})
    assert (first.parent_hash, first.logical_clock) == (None, 1)
    assert (second.parent_hash, second.logical_clock) == (first.hash, 2)
    assert second.parents == [first.hash]
    assert (first.peer_id, first.data) == ("peer-1", {"event": "workflow_submitted"})
    assert isinstance(first.timestamp, float)
    assert before - 1 <= first.timestamp <= time.time()
    assert len(first.hash) == 64
    assert set(first.hash) <= set("0123456789abcdef")
    assert (clock.logical_clock, clock.head_hash) == (2, second.hash)


def test_the_head_is_the_last_node():
    clock = clock_of("a", 3)
    assert clock.get_head() is clock.nodes[-1]
    assert clock.get_head().hash == clock.head_hash


@pytest.mark.parametrize("data", [{"x": object()}, {"x": {1, 2}}, {"x": b"raw"}, "text", None, [1]])
def test_data_must_be_a_json_object(data):
    clock = clock_of("a", 1)
    with pytest.raises(TypeError):
        clock.append(data)
    assert (clock.logical_clock, len(clock.nodes)) == (1, 1)


def test_merge_adds_what_is_unknown():
    alpha, beta = clock_of("alpha", 3), clock_of("beta", 5)
    assert alpha.merge(beta) is None
    assert len(alpha.nodes) == 8
    assert alpha.logical_clock == 5
    assert alpha.head_hash == alpha.nodes[-1].hash
    assert [node.logical_clock for node in alpha.nodes] == [1, 1, 2, 2, 3, 3, 4, 5]
    alpha.merge(beta)
    assert len(alpha.nodes) == 8
    assert len(beta.nodes) == 5


def test_to_dict_has_the_keys_of_the_clock_and_of_each_node():
    told = clock_of("peer-1", 2).to_dict()
    assert set(told) == {"peer_id", "head_hash", "logical_clock", "nodes"}
    assert all(set(node) == NODE_KEYS | SIGNED_KEYS for node in told["nodes"])
    assert set(MerkleClock("empty").to_dict()) == {"peer_id", "head_hash", "logical_clock", "nodes"}
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_from_dict_gives_the_clock_back():
    clock = clock_of("peer-1", 3)
    copy = again(clock)
    assert copy.to_dict() == clock.to_dict()
    assert copy.verify_chain() is True
    assert (copy.peer_id, copy.logical_clock, copy.head_hash) == ("peer-1", 3, clock.head_hash)


def test_from_dict_needs_the_peer_id_only():
    assert MerkleClock.from_dict({"peer_id": "x"}).verify_chain() is True
    with pytest.raises(KeyError, match="peer_id"):
        MerkleClock.from_dict({"nodes": []})


def test_a_clock_from_a_dict_appends_as_an_author_of_its_own():
    clock = clock_of("peer-1", 2)
    copy = again(clock)
    node = copy.append({"event": "more"})
    assert (node.logical_clock, node.parents, node.parent_hash) == (3, [clock.head_hash], None)
    assert node.public_key != clock.public_key
    assert copy.verify_chain()
    clock.merge(copy)
    assert clock.verify_chain()


def test_a_clock_from_a_dict_goes_on_with_a_key_that_is_passed():
    key = SigningKey.from_seed(bytes(range(32)))
    clock = MerkleClock("peer-1", key=key)
    last = clock.append({"event": "one"})
    node = MerkleClock.from_dict(clock.to_dict(), key=key).append({"event": "two"})
    assert node.parent_hash == last.hash
    assert node.public_key == last.public_key == key.peer.hex()


def test_a_node_reads_back_and_knows_its_hash():
    for node in merged().nodes:
        copy = MerkleClockNode.from_dict(json.loads(json.dumps(node.to_dict())))
        assert copy == node
        assert copy.calculate_hash() == node.hash
        copy.data["event"] = "other"
        assert copy.calculate_hash() != node.hash


@pytest.mark.parametrize("key", ["timestamp", "peer_id", "data"])
def test_a_node_needs_time_peer_and_data(key):
    told = clock_of("a", 1).nodes[0].to_dict()
    del told[key]
    with pytest.raises(KeyError, match=key):
        MerkleClockNode.from_dict(told)


def test_a_node_made_by_hand_has_a_hash_and_no_signature():
    node = MerkleClockNode(1.0, "peer-1", {"event": "x"})
    assert (node.parent_hash, node.logical_clock) == (None, 0)
    assert len(node.hash) == 64
    clock = MerkleClock("peer-1")
    clock.nodes.append(node)
    clock.head_hash = node.hash
    assert clock.verify_chain() is False


def test_hamming_distance_counts_bits():
    assert hamming_distance("00", "ff") == 8
    assert hamming_distance("0F", "0f") == 0


def test_the_owner_of_a_task_is_the_nearest_peer():
    head, task = "ab" * 32, create_task_hash({"workflow_id": "1", "name": "n", "priority": 5.0})
    owner, distance = select_task_owner(head, task, ["a", "b", "c"])
    assert owner in ("a", "b", "c")
    assert 0 <= distance <= 256
    with pytest.raises(ValueError, match="no peer"):
        select_task_owner(head, task, [])


def test_a_task_hash_is_that_of_its_sorted_json():
    assert create_task_hash({"b": 1, "a": 2}) == create_task_hash({"a": 2, "b": 1})
    assert len(create_task_hash({})) == 64


def test_importing_the_clock_loads_neither_trio_nor_libp2p():
    code = """if True:
        import sys, clockmesh
        for name in clockmesh.__all__:
            assert name in dir(clockmesh)
        assert not {"trio", "libp2p", "yaml", "nacl", "sqlite3"} & set(sys.modules), "import clockmesh"
        for name in clockmesh.__all__:
            getattr(clockmesh, name)
        assert not {"trio", "libp2p", "mcp", "anyio"} & set(sys.modules), "its names"
        try:
            clockmesh.nonsense
        except AttributeError as error:
            assert "nonsense" in str(error)
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---- true after any merge, false after any change ----


def test_any_merge_verifies():
    rng = random.Random(5)
    clocks = [MerkleClock(f"peer-{number}") for number in range(5)]
    for step in range(120):
        one, other = rng.sample(clocks, 2)
        if rng.random() < 0.6:
            one.append({"event": "test", "step": step})
        else:
            one.merge(other)
            assert one.verify_chain()
            assert again(one).verify_chain()
    for one in clocks:
        for other in clocks:
            one.merge(other)
    for one in clocks:
        for other in clocks:
            one.merge(other)
    assert len({clock.head_hash for clock in clocks}) == 1
    assert all(clock.verify_chain() for clock in clocks)


def test_any_removal_or_reordering_is_noticed():
    told = merged().to_dict()
    assert verifies(told)
    for place in range(len(told["nodes"])):
        short = deepcopy(told)
        del short["nodes"][place]
        assert not verifies(short), f"without node {place}"
        for other in range(place):
            swapped = deepcopy(told)
            nodes = swapped["nodes"]
            nodes[place], nodes[other] = nodes[other], nodes[place]
            assert not verifies(swapped), f"{place} and {other} swapped"
        twice = deepcopy(told)
        twice["nodes"].insert(place, deepcopy(twice["nodes"][place]))
        assert not verifies(twice), f"node {place} twice"


def test_any_changed_value_is_noticed():
    told = merged().to_dict()
    for place, node in enumerate(told["nodes"]):
        for key, value in node.items():
            for wrong in (None, 1, 1.0, True, "", "x", {}, [], f"{value}0", str(value).upper(), [value]):
                if wrong == value and type(wrong) is type(value):
                    continue
                changed = deepcopy(told)
                changed["nodes"][place][key] = wrong
                assert not verifies(changed), f"{key} of node {place} is {wrong!r}"
        without = deepcopy(told)
        without["nodes"][place].pop("parent_hash")
        assert not verifies(without)
        more = deepcopy(told)
        more["nodes"][place]["more"] = None
        assert not verifies(more)


def test_any_changed_byte_of_the_nodes_is_noticed():
    rng = random.Random(7)
    told = merged().to_dict()
    text = json.dumps(told["nodes"])
    for _ in range(1500):
        place = rng.randrange(len(text))
        character = chr(rng.randrange(33, 127))
        if character == text[place]:
            continue
        try:
            nodes = json.loads(text[:place] + character + text[place + 1 :])
            clock = MerkleClock.from_dict(told | {"nodes": nodes})
        except ValueError:
            continue
        assert not clock.verify_chain(), f"{text[place]!r} at {place} became {character!r}"


def test_a_changed_clock_in_memory_is_noticed():
    def tampered(change) -> bool:
        clock = merged()
        assert clock.verify_chain()
        change(clock)
        return not clock.verify_chain()

    assert tampered(lambda clock: clock.nodes[0].data.update(event="other"))
    assert tampered(lambda clock: clock.nodes.pop())
    assert tampered(lambda clock: clock.nodes.pop(2))
    assert tampered(lambda clock: clock.nodes.reverse())
    assert tampered(lambda clock: setattr(clock, "head_hash", "00"))
    assert tampered(lambda clock: setattr(clock, "logical_clock", 99))
    assert tampered(lambda clock: setattr(clock.nodes[1], "timestamp", clock.nodes[1].timestamp + 0.0001))

    def truncate(clock: MerkleClock) -> None:
        """All of it fits together, and is what the clock was before."""
        clock.nodes.pop()
        clock.head_hash, clock.logical_clock = clock.nodes[-1].hash, clock.nodes[-1].logical_clock

    assert tampered(truncate)


def test_a_changed_node_whose_hash_was_computed_anew_lacks_a_signature():
    told = clock_of("a", 3).to_dict()
    forged = told["nodes"][-1] | {"data": {"event": "forged"}}
    forged["hash"] = MerkleClockNode.from_dict(forged).calculate_hash()
    assert not verifies(told | {"nodes": [*told["nodes"][:-1], forged], "head_hash": forged["hash"]})


# ---- the reference's faults ----


def test_fault_01_distance_is_in_bits_of_equal_lengths():
    assert hamming_distance("0", "f") == 4
    assert hamming_distance("0", "1") == 1
    for wrong in (("abc", "abc0"), ("xy", "00"), ("0x1", "0x1"), ("-1", "-1"), (" 1", "01"), (1, 2), ("", "0")):
        with pytest.raises(ValueError):
            hamming_distance(*wrong)


def test_fault_02_the_owner_does_not_depend_on_the_lists_order():
    peers = [f"peer-{number}" for number in range(4)]
    for number in range(500):
        task = create_task_hash({"n": number})
        assert select_task_owner("00" * 32, task, peers) == select_task_owner("00" * 32, task, peers[::-1])


def test_fault_03_the_load_is_even():
    """Means over many sets of four peers: no place in the list is better than another."""
    tasks = [create_task_hash({"n": number}) for number in range(400)]
    shares = [0, 0, 0, 0]
    for group in range(30):
        peers = [f"machine-{group}-{number}" for number in range(4)]
        for task in tasks:
            shares[peers.index(select_task_owner("11" * 32, task, peers)[0])] += 1
    assert all(0.85 < share / 3000 < 1.15 for share in shares), shares


def test_fault_04_after_a_merge_the_next_node_names_both_tips():
    alpha, beta = clock_of("alpha", 2), clock_of("beta", 3)
    own = alpha.head_hash
    alpha.merge(beta)
    node = alpha.append({"event": "met"})
    assert set(node.parents) == {own, beta.head_hash}
    assert (node.logical_clock, node.parent_hash) == (4, own)


def test_fault_05_a_merge_is_linear():
    def seconds(count: int) -> float:
        pairs = [(clock_of("alpha", count), clock_of("beta", count)) for _ in range(3)]
        return min(cpu_seconds(partial(alpha.merge, beta)) for alpha, beta in pairs)

    small, large = seconds(300), seconds(2400)
    assert large / small < 8 * 3, "8 times the nodes: about 8 times the work, where n * m would be 64 times"


def test_fault_06_a_merged_clock_verifies_and_so_does_what_is_appended():
    alpha, beta = clock_of("alpha", 3), clock_of("beta", 2)
    alpha.merge(beta)
    assert alpha.verify_chain() is True
    alpha.append({"event": "after"})
    assert alpha.verify_chain() is True


def test_fault_07_changed_nodes_are_not_merged():
    mine, theirs = clock_of("alpha", 2), clock_of("beta", 2)
    before = mine.to_dict()
    theirs.nodes[1].data["event"] = "forged"
    with pytest.raises(ValueError, match="does not verify"):
        mine.merge(theirs)
    told = clock_of("beta", 2).to_dict()
    told["nodes"][0]["data"]["event"] = "forged"
    with pytest.raises(ValueError, match="does not verify"):
        mine.merge(MerkleClock.from_dict(told))
    assert mine.to_dict() == before


def test_fault_07_a_changed_clock_from_a_dict_does_not_go_on():
    told = clock_of("a", 3).to_dict()
    told["nodes"][0]["data"]["event"] = "forged"
    clock = MerkleClock.from_dict(told)
    with pytest.raises(ValueError, match="does not verify"):
        clock.append({"event": "more"})
    with pytest.raises(ValueError, match="does not verify"):
        clock.merge(clock_of("b", 1))


def test_fault_08_cutting_off_either_end_is_noticed():
    told = clock_of("a", 5).to_dict()
    assert not verifies(told | {"nodes": told["nodes"][:-2]})
    assert not verifies(told | {"nodes": told["nodes"][2:]})
    assert not verifies(told | {"nodes": []})
    assert not verifies(told | {"head_hash": "00"})
    assert not verifies(told | {"logical_clock": 99})
    assert not verifies(told | {"heads": [told["head_hash"]]})


def test_fault_08_losing_one_of_several_tips_is_noticed():
    alpha = clock_of("alpha", 5)
    alpha.merge(clock_of("beta", 2))
    told = alpha.to_dict()
    assert len(told["heads"]) == 2
    tip = next(node for node in told["nodes"] if node["peer_id"] == "beta" and node["logical_clock"] == 2)
    told["nodes"].remove(tip)
    assert not verifies(told)
    del told["heads"]
    assert not verifies(told), "beta's first node is a second tip now, and nothing names it"


def test_fault_09_nobody_writes_in_anothers_name():
    alpha = clock_of("alpha", 2)
    told = alpha.to_dict()
    forger = MerkleClock("alpha")
    forged = forger.append({"event": "workflow_completed"}).to_dict()
    assert forged["public_key"] != alpha.public_key, "the label can be copied, the key cannot"
    forged |= {"public_key": alpha.public_key, "parents": [alpha.head_hash], "parent_hash": alpha.head_hash,
               "logical_clock": 3}
    told["nodes"].append(forged)
    assert not verifies(told | {"head_hash": forged["hash"], "logical_clock": 3})


def test_fault_09_two_places_with_one_key_are_found_out():
    key = SigningKey.from_seed(bytes(32))
    one, other = MerkleClock("a", key=key), MerkleClock("a", key=key)
    one.append({"event": "here"})
    other.append({"event": "there"})
    before = one.to_dict()
    with pytest.raises(ValueError, match="one key must not write in two places"):
        one.merge(other)
    assert one.to_dict() == before


def test_fault_10_the_callers_dict_stays_the_callers():
    clock = MerkleClock("a")
    data = {"event": "x", "deep": {"n": 1}}
    node = clock.append(data)
    data["deep"]["n"] = 2
    assert node.data == {"event": "x", "deep": {"n": 1}}
    assert clock.verify_chain()


def test_fault_10_a_refused_event_changes_nothing():
    clock = clock_of("a", 1)
    for wrong in ({"x": object()}, {"x": float("nan")}, {"x": "y" * 200_000}):
        with pytest.raises(ValueError):
            clock.append(wrong)
    assert (clock.logical_clock, len(clock.nodes)) == (1, 1)
    assert clock.verify_chain()


def test_fault_11_peers_that_merged_each_other_have_one_head():
    rng = random.Random(3)
    for _ in range(10):
        one, other = clock_of("a", rng.randrange(1, 6)), clock_of("b", rng.randrange(1, 6))
        one.merge(other)
        other.merge(one)
        assert one.head_hash == other.head_hash
        assert [node.hash for node in one.nodes] == [node.hash for node in other.nodes]


@pytest.mark.parametrize("peer_id", ["", "   ", None, 5, "a\nb", "x" * 300, "\ud800"])
def test_fault_14_a_peer_id_is_a_name(peer_id):
    with pytest.raises(ValueError):
        MerkleClock(peer_id)
