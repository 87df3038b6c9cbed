from __future__ import annotations

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmesh.protocol.blobs import check_chunk, check_manifest, manifest_of
from clockmesh.protocol.codec import (
    decode_beacon,
    decode_node,
    decode_plan,
    decode_result,
    encode_beacon,
    encode_event,
    encode_plan,
    encode_result,
    plan_hash,
    result_hash,
)
from clockmesh.protocol.event_codec import read_event
from clockmesh.protocol.framing import FrameReader, frame
from clockmesh.protocol.limits import CHUNK_BYTES
from clockmesh.protocol.messages import decode_message, encode_message
from clockmesh.protocol.orphans import Orphans, take_in
from clockmesh.protocol.vector import lacks
from clockmesh.protocol.wire import clean_line, line, pack, unpack_canonical
from tests.properties.protocol_strategies import (
    BEACONS,
    EVENTS,
    GROWTH,
    MESSAGES,
    PACKABLE,
    PLANS,
    RESULTS,
    exchange,
    grown,
    linear_extension,
)
from tests.unit.protocol_builders import MESH, digest, filled, founded_clock, key, lone_node

QUICK = settings(max_examples=60, deadline=None)


@given(st.lists(EVENTS, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_events_come_back_as_they_were_signed(events):
    node = lone_node(*events)
    assert decode_node(MESH, node.data) == node
    assert decode_node(MESH, node.data, verify=False) == node
    assert lone_node(*node.events).data == node.data


@given(EVENTS)
@QUICK
def test_an_events_bytes_are_those_it_is_read_from(event):
    data = encode_event(event)
    assert encode_event(read_event(msgpack.unpackb(data))) == data


@given(PLANS, RESULTS)
@QUICK
def test_any_plan_and_result_come_back_and_have_one_hash(plan, result):
    assert decode_plan(encode_plan(plan)) == plan
    assert decode_result(encode_result(result)) == result
    assert plan_hash(decode_plan(encode_plan(plan))) == plan_hash(plan)
    assert result_hash(decode_result(encode_result(result))) == result_hash(result)


@given(BEACONS)
@QUICK
def test_any_beacon_comes_back_as_it_was_signed(beacon):
    assert decode_beacon(MESH, encode_beacon(key(0), MESH, beacon)) == beacon


@given(MESSAGES)
@QUICK
def test_any_message_comes_back_as_it_was_sent(message):
    assert decode_message(encode_message(message)) == message


@given(PACKABLE)
@QUICK
def test_any_value_has_one_canonical_form(value):
    data = pack(value)
    assert pack(unpack_canonical(data)) == data


@given(st.text(max_size=40), st.integers(1, 20))
@QUICK
def test_any_text_can_be_made_a_line(text, high):
    clean = clean_line(text, high)
    assert line(clean, "text", high) == clean
    assert clean_line(clean, high) == clean


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=20))
@QUICK
def test_frames_come_out_whole_however_the_bytes_are_cut(payloads, cuts):
    stream = b"".join(frame(payload) for payload in payloads)
    reader, found, start = FrameReader(), [], 0
    for size in [*cuts, len(stream)]:
        found += reader.feed(stream[start : start + size])
        start += size
    assert found == payloads


@given(st.integers(0, 3 * CHUNK_BYTES + 5))
@settings(max_examples=20, deadline=None)
def test_a_blob_of_any_size_is_checked_chunk_by_chunk(size):
    content = bytes(size)
    manifest = manifest_of(content)
    check_manifest(manifest.blob, manifest)
    for index in range(len(manifest.chunks)):
        check_chunk(manifest, index, content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])


def facts(clock):
    nodes = {node.hash for node in clock}
    return clock.heads, clock.combined_head(), clock.vector(), clock.vector_digest(), clock.height, nodes


@given(GROWTH, st.integers(0, 2**32))
@QUICK
def test_any_order_that_is_causal_gives_the_same_clock(steps, seed):
    every, _ = grown(steps)
    assert facts(filled(linear_extension(list(every), seed))) == facts(every)


@given(GROWTH, st.randoms(use_true_random=False))
@QUICK
def test_any_order_at_all_gives_the_same_clock_once_orphans_fit(steps, chooser):
    every, _ = grown(steps)
    nodes = list(every)[2:]
    chooser.shuffle(nodes)
    clock, orphans = founded_clock(1, 2, 3), Orphans()
    for node in nodes:
        taken = take_in(clock, orphans, node)
        assert not taken.forks
        assert not taken.refused
    assert len(orphans) == 0
    assert facts(clock) == facts(every)


@given(GROWTH, st.integers(0, 4), st.integers(0, 4))
@QUICK
def test_two_clocks_are_equal_after_each_answered_the_others_vector(steps, one, two):
    _, clocks = grown(steps)
    first, second = clocks[one], clocks[two]
    exchange(first, second)
    assert not lacks(first.vector(), second.vector())
    exchange(second, first)
    assert facts(first) == facts(second)


@given(GROWTH, st.integers(0, 4))
@QUICK
def test_an_answer_holds_each_missing_node_once_parents_first(steps, one):
    every, clocks = grown(steps)
    have = {node.hash for node in clocks[one]}
    answer = list(every.missing_for(clocks[one].vector()))
    assert {node.hash for node in answer} == {node.hash for node in every} - have
    for node in answer:
        assert set(node.parents) <= have
        have.add(node.hash)
    assert len(have) == len(every)


@given(GROWTH)
@QUICK
def test_heads_are_the_nodes_that_no_node_names(steps):
    every, clocks = grown(steps)
    for clock in [every, *clocks]:
        named = {parent for node in clock for parent in node.parents}
        assert set(clock.heads) == {node.hash for node in clock} - named
        assert clock.height == max(node.height for node in clock)


@given(st.binary(max_size=8))
@QUICK
def test_a_refused_node_leaves_the_clock_as_it_was(junk):
    clock = founded_clock(1)
    before = facts(clock)
    parent = digest(repr(junk))
    for node in (
        lone_node(parents=(parent,), previous=parent),
        lone_node(seq=9, parents=clock.heads, previous=clock.heads[0], height=clock.height + 1),
        lone_node(author=key(9), seq=1, previous=None),
    ):
        taken = take_in(clock, Orphans(), node)
        assert not taken.added
    assert facts(clock) == before
