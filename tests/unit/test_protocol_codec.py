from __future__ import annotations

import msgpack
import pytest

from clockmesh.protocol import limits
from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.codec import (
    decode_beacon,
    decode_node,
    decode_plan,
    decode_result,
    electorate_seed,
    encode_beacon,
    encode_event,
    encode_node,
    encode_plan,
    encode_result,
    run_id,
    unsigned_node,
)
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.event_codec import read_event, write_event
from clockmesh.protocol.events import CancelAsked, ClaimGranted, JobClaimed, PeerDescribed, UnknownEvent
from clockmesh.protocol.ids import AttemptRef, JobKey, MeshId
from clockmesh.protocol.plan import Guard, Remote, Snapshot
from clockmesh.protocol.wire import pack
from tests.unit.protocol_builders import (
    BUILD,
    MESH,
    ONE_OF_EACH,
    RUN,
    WALL_MS,
    description,
    digest,
    job,
    key,
    lone_node,
    plan,
    result,
    submitted,
)


def resigned(body: bytes, author: int = 0) -> bytes:
    """A body that its author really signed, whatever it says."""
    return body + key(author).sign(b"clockmesh/node/1\0" + MESH + body)


def changed(index: int, value: object) -> bytes:
    """A well signed node with one field replaced."""
    fields = msgpack.unpackb(lone_node().data[:-64])
    fields[index] = value
    return resigned(msgpack.packb(fields))


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_was_signed(event):
    node = lone_node(event)
    assert decode_node(MESH, node.data) == node
    assert decode_node(MESH, node.data, verify=False) == node


def test_a_node_of_many_events_keeps_their_order():
    node = lone_node(*ONE_OF_EACH[1:])
    assert decode_node(MESH, node.data).events == ONE_OF_EACH[1:]


def test_a_node_of_one_event_fits_260_bytes_with_two_parents_or_a_carried_result():
    parents = (digest("a"), digest("b"))
    claim = JobClaimed(RUN, BUILD, 3, 12)
    assert len(lone_node(claim, seq=70_000, height=90_000).data) <= 210
    assert len(lone_node(claim, seq=70_000, height=90_000, parents=parents, previous=parents[0]).data) <= 245
    assert len(lone_node(ClaimGranted(RUN, BUILD, 1, key(1).peer), seq=70_000, height=90_000).data) <= 260


def test_a_node_of_another_mesh_is_refused():
    with pytest.raises(RemoteError, match="signature"):
        decode_node(MeshId(digest("other mesh")), lone_node().data)


def test_a_node_signed_by_someone_else_is_refused():
    body = lone_node().data[:-64]
    with pytest.raises(RemoteError, match="signature"):
        decode_node(MESH, resigned(body, author=1))


def test_any_changed_bit_is_refused():
    data = lone_node(ONE_OF_EACH[7]).data
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1 << (place % 8)
        with pytest.raises(RemoteError):
            decode_node(MESH, bytes(bad))


def test_bytes_cut_off_or_left_over_are_refused():
    data = lone_node().data
    for bad in (b"", data[:64], data[:-1], data[1:], data + b"\0", data[:-64] + b"\xc0" + data[-64:]):
        with pytest.raises(RemoteError):
            decode_node(MESH, bad)


def test_a_well_signed_node_that_is_not_canonical_is_refused():
    body = lone_node().data[:-64]
    assert body[1] == 1
    for longer in (b"\xcc\x01", b"\xd0\x01", b"\xcf\0\0\0\0\0\0\0\x01"):
        with pytest.raises(RemoteError, match="canonical"):
            decode_node(MESH, resigned(body[:1] + longer + body[2:]))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 2),
        (0, True),
        (1, b"short"),
        (1, "x" * 32),
        (2, 0),
        (2, True),
        (2, 2**63),
        (2, 1),
        (2, 2.0),
        (3, []),
        (3, [digest("b"), digest("a")][:: 1 if digest("b") > digest("a") else -1]),
        (3, [digest("a"), digest("a")]),
        (3, [b""]),
        (3, digest("a")),
        (3, [bytes([n]) * 32 for n in range(limits.MAX_PARENTS + 1)]),
        (4, None),
        (4, 1),
        (4, -1),
        (4, False),
        (5, 1),
        (5, 2**63),
        (6, -1),
        (6, 1.5),
        (7, []),
        (7, [[11, 1, RUN]] * (limits.MAX_EVENTS_PER_NODE + 1)),
        (7, [[11, 1, RUN, 0]]),
        (7, [[11, 1]]),
        (7, [[11]]),
        (7, [[0, 1]]),
        (7, [[11, 0, RUN]]),
        (7, [[True, 1]]),
        (7, ["event"]),
        (7, {}),
    ],
)
def test_a_well_signed_node_with_a_field_out_of_bounds_is_refused(index, value):
    with pytest.raises(RemoteError):
        decode_node(MESH, changed(index, value))


def test_a_node_of_another_number_of_fields_is_refused():
    fields = msgpack.unpackb(lone_node().data[:-64])
    for wrong in (fields[:-1], [*fields, 0], {"a": 1}, 7):
        with pytest.raises(RemoteError):
            decode_node(MESH, resigned(msgpack.packb(wrong)))


def test_a_claim_of_a_newer_version_is_kept_and_written_again_bit_for_bit():
    fields = msgpack.unpackb(lone_node().data[:-64])
    fields[7] = [[20, 2, RUN, "build", {"why": [1.5, None, b"\0"]}], [65535, 1]]
    data = resigned(msgpack.packb(fields))
    node = decode_node(MESH, data)
    newer, unknown = node.events
    assert isinstance(newer, UnknownEvent)
    assert (newer.code, newer.version) == (20, 2)
    assert (unknown.code, unknown.version, unknown.fields) == (65535, 1, b"\x90")
    assert lone_node(*node.events).data == data


def test_extension_types_are_refused_even_in_unknown_events():
    fields = msgpack.unpackb(lone_node().data[:-64])
    for extension in (msgpack.ExtType(5, b"abcd"), msgpack.Timestamp(1, 0)):
        fields[7] = [[900, 1, extension]]
        with pytest.raises(RemoteError):
            decode_node(MESH, resigned(msgpack.packb(fields)))


def nested(depth: int) -> bytes:
    return pack([]) if depth == 1 else b"\x91" * (depth - 1) + b"\x90"


def test_unknown_events_are_kept_up_to_16_levels_on_every_peer_alike():
    deep = UnknownEvent(900, 1, nested(16))
    assert decode_node(MESH, lone_node(deep).data).events == (deep,)
    with pytest.raises(LocalError, match="nested"):
        lone_node(UnknownEvent(900, 1, nested(17)))


def test_nesting_without_end_is_refused():
    for depth in (17, 600, 2000, 200_000):
        body = bytes.fromhex("98") + b"\x91" * depth + b"\xc0"
        for verify in (True, False):
            with pytest.raises(RemoteError):
                decode_node(MESH, resigned(body), verify=verify)
        event = b"\x93\xcd\x03\x84\x01" + b"\x91" * depth + b"\xc0"
        whole = lone_node().data[:-64]
        whole = whole[: whole.rindex(b"\x91\x93\x0b\x01")] + b"\x91" + event
        for verify in (True, False):
            with pytest.raises(RemoteError):
                decode_node(MESH, resigned(whole), verify=verify)


def test_an_array_that_claims_more_than_any_may_have_costs_nothing():
    bomb = b"\xdd\x00\x03\x00\x00" * 40_000
    with pytest.raises(RemoteError):
        decode_node(MESH, resigned(bomb))


def test_a_node_too_large_for_a_frame_is_neither_made_nor_read():
    big = plan(*(job(f"j{number}", matrix="x" * 16_000) for number in range(16)))
    with pytest.raises(LocalError, match="above"):
        lone_node(submitted(plan=big))
    with pytest.raises(RemoteError):
        decode_node(MESH, bytes(limits.MAX_NODE_BYTES + 1))


def test_a_plan_of_the_largest_matrix_fits_one_node():
    legs = [job(f"build ({leg}, ubuntu-latest)", job_id="build", matrix=f'{{"n":{leg}}}') for leg in range(256)]
    node = lone_node(submitted(plan=plan(*legs, job("report", needs=("build",)))))
    assert decode_node(MESH, node.data) == node


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"seq": 1},
        {"height": 1},
        {"previous": None},
        {"previous": digest("stranger")},
        {"parents": ()},
        {"parents": (digest("parent"),) * 2},
        {"wall_ms": -1},
        {"wall_ms": True},
        {"wall_ms": 2**64},
    ],
)
def test_a_node_that_peers_would_refuse_is_never_made(changes):
    with pytest.raises(LocalError):
        lone_node(**changes)


@pytest.mark.parametrize(
    "event",
    [
        CancelAsked(b"short"),
        JobClaimed(RUN, JobKey(""), 1, 1),
        JobClaimed(RUN, JobKey("a\nb"), 1, 1),
        JobClaimed(RUN, JobKey("\ud800"), 1, 1),
        JobClaimed(RUN, JobKey("x" * 513), 1, 1),
        JobClaimed(RUN, BUILD, 0, 1),
        JobClaimed(RUN, BUILD, True, 1),
        JobClaimed(RUN, BUILD, 1, 2**63),
        ClaimGranted(RUN, BUILD, 1, key(1).peer, 1, None),
        ClaimGranted(RUN, BUILD, 1, key(1).peer, 0, digest("r")),
        submitted(priority=float("nan")),
        submitted(priority=float("inf")),
        submitted(electorate=tuple(sorted((key(0).peer, key(1).peer), reverse=True))),
        submitted(electorate=(key(0).peer, key(0).peer)),
        submitted(lease_ms=0),
        PeerDescribed(description("")),
        PeerDescribed(description("x" * 65)),
        PeerDescribed(description("tab\there")),
        PeerDescribed(description("evil\u202ename")),
        UnknownEvent(20, 1, b"\x90"),
        UnknownEvent(900, 1, b"\x01"),
        UnknownEvent(900, 1, b"\x91\xcc\x01"),
        UnknownEvent(900, 1, b""),
        UnknownEvent(0, 1, b"\x90"),
    ],
    ids=repr,
)
def test_an_event_that_peers_would_refuse_or_read_as_another_is_never_made(event):
    with pytest.raises(LocalError):
        encode_event(event)
    with pytest.raises(LocalError):
        lone_node(event)


def test_a_list_where_a_tuple_belongs_is_noticed_when_writing():
    with pytest.raises(LocalError):
        lone_node(submitted(electorate=[key(0).peer]))


def test_an_unsigned_node_reads_back_but_does_not_verify():
    node = unsigned_node(
        key(0).peer, seq=1, parents=(), previous=None, height=1, wall_ms=WALL_MS, events=ONE_OF_EACH[:1]
    )
    assert decode_node(MESH, node.data, verify=False) == node
    with pytest.raises(RemoteError, match="signature"):
        decode_node(MESH, node.data)


def test_parents_may_be_given_in_any_order():
    parents = [digest(name) for name in "abc"]
    changes = {"seq": 2, "previous": parents[1], "height": 4, "wall_ms": WALL_MS, "events": (CancelAsked(RUN),)}
    first = encode_node(key(0), MESH, parents=parents, **changes)
    second = encode_node(key(0), MESH, parents=reversed(parents), **changes)
    assert first == second
    assert first.previous == parents[1]


PLANS = [
    plan(),
    plan(job("a"), job("b", needs=("a",)), job("c", needs=("a", "b"))),
    plan(source=Snapshot(digest("s"), 99, "0a" * 20, "refs/heads/main", "https://example.org/x.git")),
    plan(source=Remote("git://127.0.0.1/site.git"), workflow=None, inputs=(("a", "1"), ("b", "two\nlines"))),
    plan(source=Remote("git://h/x", "refs/heads/main", "0a" * 20), force=True),
    plan(job(labels=("linux", "x64"), max_parallel=2, fail_fast=True, continue_on_error=True, timeout_s=60)),
]


@pytest.mark.parametrize("one", PLANS, ids=range(len(PLANS)))
def test_a_plan_comes_back_as_it_was_written(one):
    assert decode_plan(encode_plan(one)) == one
    assert decode_result(encode_result(result(resolved=one))).resolved == one


@pytest.mark.parametrize(
    "bad",
    [
        plan(jobs=()),
        plan(job("a"), job("a")),
        plan(job("a", needs=("b",))),
        plan(job("a", needs=("a",))),
        plan(job("a", needs=("b",)), job("b", needs=("c",)), job("c", needs=("a",)), job("d")),
        plan(job("a (1)", job_id="a"), job("a (2)", job_id="a", needs=("b",)), job("b")),
        plan(job(timeout_s=0)),
        plan(job(timeout_s=1.5)),
        plan(job(fail_fast=1)),
        plan(job(max_parallel=-1)),
        plan(job(labels=("",))),
        plan(name="two\nlines"),
        plan(workflow=b"short"),
        plan(source=Snapshot(sha="0A" * 20)),
        plan(source=Snapshot(sha="0a")),
        plan(source=Snapshot(size=limits.MAX_BLOB_BYTES + 1)),
        plan(source=Remote("")),
        plan(inputs=(("b", "1"), ("a", "2"))),
        plan(inputs=(("a", "1"), ("a", "2"))),
        plan(inputs=(("a", 1),)),
        plan(force=0),
    ],
    ids=range(21),
)
def test_a_plan_that_peers_would_refuse_is_never_written(bad):
    with pytest.raises(LocalError):
        encode_plan(bad)


def test_outputs_up_to_16_kib_travel_in_the_result_and_no_more():
    fits = result(outputs=(("a", "x" * 8191), ("b", "é" * 4095)), error="")
    assert decode_result(encode_result(fits)) == fits
    with pytest.raises(LocalError, match="outputs"):
        encode_result(result(outputs=(("a", "x" * 8191), ("b", "é" * 4096))))


@pytest.mark.parametrize(
    "bad",
    [
        result(outputs=(("b", ""), ("a", ""))),
        result(outputs=(("", "x"),)),
        result(error="two\nlines"),
        result(error="\x1b[31mred"),
        result(log=b""),
        result(log_size=-1),
        result(started_ms=0.5),
    ],
    ids=range(7),
)
def test_a_result_that_peers_would_refuse_is_never_written(bad):
    with pytest.raises(LocalError):
        encode_result(bad)


def test_the_run_id_commits_to_all_that_was_submitted():
    first = submitted()
    others = [
        submitted(plan=plan(job(timeout_s=5))),
        submitted(guard=Guard.LEASE),
        submitted(lease_ms=1),
        submitted(priority=1.0),
        submitted(electorate=()),
        submitted(nonce=bytes(16)),
        submitted(heads=bytes(32)),
    ]
    assert len({run_id(event) for event in [first, *others]}) == 8
    assert run_id(first) == run_id(submitted())


def test_a_whole_number_as_priority_names_the_same_run():
    assert run_id(submitted(priority=5)) == run_id(submitted(priority=5.0))
    assert read_event(write_event(submitted(priority=5))) == submitted()


def test_the_electorate_is_drawn_from_heads_plan_and_nonce():
    seeds = {
        electorate_seed(digest("h"), plan(), bytes(16)),
        electorate_seed(digest("i"), plan(), bytes(16)),
        electorate_seed(digest("h"), plan(force=True), bytes(16)),
        electorate_seed(digest("h"), plan(), bytes(15) + b"\1"),
    }
    assert len(seeds) == 4


def beacon(**changes: object) -> Beacon:
    defaults = {
        "peer": key(0).peer,
        "incarnation": 3,
        "number": 9,
        "vector": digest("vector"),
        "free": 2,
        "load": 0.25,
        "heard": (Heard(key(1).peer, 1, 7),),
        "over": (AttemptRef(RUN, BUILD, 2),),
    }
    return Beacon(**{**defaults, **changes})


def test_a_beacon_comes_back_as_it_was_signed():
    assert decode_beacon(MESH, encode_beacon(key(0), MESH, beacon())) == beacon()
    assert decode_beacon(MESH, encode_beacon(key(0), MESH, beacon(load=1))) == beacon(load=1.0)


def test_a_full_beacon_fits_its_limit():
    heard = tuple(Heard(key(number).peer, 2**40, 2**40) for number in range(limits.MAX_HEARD))
    over = tuple(AttemptRef(RUN, JobKey(f"{number:0190}"), 5) for number in range(limits.MAX_OVER))
    full = beacon(heard=heard, over=over)
    assert decode_beacon(MESH, encode_beacon(key(0), MESH, full)) == full


def test_a_beacon_of_another_mesh_or_with_a_changed_bit_is_refused():
    data = encode_beacon(key(0), MESH, beacon())
    with pytest.raises(RemoteError):
        decode_beacon(MeshId(digest("other")), data)
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1 << (place % 8)
        with pytest.raises(RemoteError):
            decode_beacon(MESH, bytes(bad))


def test_nobody_signs_the_beacon_of_another_peer():
    with pytest.raises(LocalError):
        encode_beacon(key(1), MESH, beacon())


def test_a_node_cannot_pass_for_a_beacon_nor_a_beacon_for_a_node():
    with pytest.raises(RemoteError):
        decode_beacon(MESH, lone_node().data)
    with pytest.raises(RemoteError):
        decode_node(MESH, encode_beacon(key(0), MESH, beacon()))


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"incarnation": -1},
        {"vector": b""},
        {"free": 5000},
        {"load": float("nan")},
        {"heard": (Heard(key(1).peer, 1, 7), Heard(key(1).peer, 1, 8))},
        {"over": (AttemptRef(RUN, BUILD, 0),)},
        {"over": (AttemptRef(RUN, BUILD, 1),) * (limits.MAX_OVER + 1)},
    ],
    ids=repr,
)
def test_a_beacon_that_peers_would_refuse_is_never_made(changes):
    with pytest.raises(LocalError):
        encode_beacon(key(0), MESH, beacon(**changes))


def test_canonical_bytes_are_those_of_msgpack_in_its_shortest_form():
    assert pack([1, "é", b"\0", None, True, 1.0, {"a": -1}]).hex() == "9701a2c3a9c40100c0c3cb3ff000000000000081a161ff"
