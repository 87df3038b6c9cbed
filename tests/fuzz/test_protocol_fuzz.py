"""Every parser of this room that a stranger can reach: whatever the bytes, it returns or raises RemoteError."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.clock import Clock, ForkFound, MissingParents, UnknownAuthor
from clockmesh.protocol.codec import (
    decode_beacon,
    decode_node,
    decode_plan,
    decode_result,
    encode_beacon,
    encode_plan,
    encode_result,
)
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.event_codec import read_event, write_event
from clockmesh.protocol.framing import FrameReader, unpack
from clockmesh.protocol.ids import AttemptRef
from clockmesh.protocol.invitation import Invitation
from clockmesh.protocol.messages import decode_message, encode_message
from clockmesh.protocol.vector import decode_vector, encode_vector
from clockmesh.protocol.wire import unpack_canonical
from tests.unit.protocol_builders import (
    BUILD,
    MESH,
    ONE_OF_EACH,
    RUN,
    digest,
    filled,
    founded_clock,
    job,
    key,
    lone_node,
    plan,
    result,
    submitted,
)
from tests.unit.test_protocol_invitation import INVITATION
from tests.unit.test_protocol_messages import ONE_OF_EACH as MESSAGES

FULL_PLAN = plan(job("a"), job("b", needs=("a",), labels=("x64",)), inputs=(("n", "v"),))
BEACON = Beacon(key(0).peer, 1, 2, digest("v"), 1, 0.5, (Heard(key(1).peer, 1, 1),), (AttemptRef(RUN, BUILD, 1),))


def signed(body: bytes) -> bytes:
    """So that what is wrong is seen by the reader of fields, not by the signature alone."""
    return body + key(0).sign(b"clockmesh/node/1\0" + MESH + body)


def signed_beacon(body: bytes) -> bytes:
    return body + key(0).sign(b"clockmesh/beacon/1\0" + MESH + body)


DECODERS = {
    "node": lambda data: decode_node(MESH, data),
    "own node": lambda data: decode_node(MESH, data, verify=False),
    "signed node": lambda data: decode_node(MESH, signed(data)),
    "beacon": lambda data: decode_beacon(MESH, data),
    "signed beacon": lambda data: decode_beacon(MESH, signed_beacon(data)),
    "plan": decode_plan,
    "result": decode_result,
    "message": decode_message,
    "vector": decode_vector,
    "frame": lambda data: FrameReader().feed(data),
    "value": unpack,
    "invitation": lambda data: Invitation.from_line("clockmesh-invite-1-" + data.decode("latin-1")),
}
NODES = [lone_node(event).data for event in ONE_OF_EACH] + [lone_node(submitted(plan=FULL_PLAN), *ONE_OF_EACH).data]
VALID = {
    "node": NODES,
    "own node": NODES,
    "signed node": [data[:-64] for data in NODES],
    "beacon": [encode_beacon(key(0), MESH, BEACON)],
    "signed beacon": [encode_beacon(key(0), MESH, BEACON)[:-64]],
    "plan": [encode_plan(FULL_PLAN)],
    "result": [encode_result(result(resolved=FULL_PLAN, log=digest("log"), error="why"))],
    "message": [encode_message(message)[:2000] for message in MESSAGES],
    "vector": [encode_vector({key(0).peer: 3, key(1).peer: 7})],
    "frame": [b"\0\0\0\x03abc\0\0\0\0"],
    "value": [msgpack.packb({"a": [1, 2.5, None, b"x", "é"]})],
    "invitation": [INVITATION.to_line()[19:].encode()],
}
INTERESTING = [b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\x80", b"\x90", b"\xa0", b"\xff", b"\xcb" + b"\x7f\xf8" + bytes(6)]
INTERESTING += [b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xc4\x00"]
INTERESTING += [b"\xd4\xff\0", b"\xdd\xff\xff\xff\xff"]
INTERESTING += [b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]


def survives(name: str, data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        DECODERS[name](data)


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_no_bytes_raise_anything_but_remote_error(name, data):
    survives(name, data)


@st.composite
def mutations(draw, valid: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        how = draw(st.integers(0, 3))
        if how == 0 and place < len(data):
            data[place] = draw(st.integers(0, 255))
        elif how == 1:
            del data[place : place + draw(st.integers(1, 40))]
        elif how == 2:
            data[place:place] = draw(st.sampled_from(INTERESTING))
        else:
            data[place : place + 1] = draw(st.sampled_from(INTERESTING))
    return bytes(data)


@pytest.mark.parametrize("name", DECODERS)
@given(draw=st.data())
@settings(max_examples=140, deadline=None)
def test_no_mutation_of_good_bytes_raises_anything_but_remote_error(name, draw):
    survives(name, draw.draw(mutations(VALID[name])))


ODD = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**63, 2**64 - 1, 1.5, float("nan"), "", "x", "\n", b"", b"x" * 32, [], {}, [[]]]
)


def paths(value: object, here: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    inner = enumerate(value) if isinstance(value, list) else ()
    return [here] + [path for index, one in inner for path in paths(one, (*here, index))]


def replaced(value: object, path: tuple[int, ...], new: object) -> object:
    if not path:
        return new
    assert isinstance(value, list)
    return [replaced(one, path[1:], new) if index == path[0] else one for index, one in enumerate(value)]


@given(event=st.sampled_from([*ONE_OF_EACH, submitted(plan=FULL_PLAN)]), draw=st.data())
@settings(max_examples=400, deadline=None)
def test_an_event_with_any_field_of_another_kind_is_refused_or_written_again_the_same(event, draw):
    written = write_event(event)
    changed = replaced(written, draw.draw(st.sampled_from(paths(written))), draw.draw(ODD))
    body = msgpack.packb([1, key(0).peer, 1, [digest("p")], None, 2, 0, [changed]])
    try:
        node = decode_node(MESH, signed(body))
    except RemoteError:
        return
    assert msgpack.packb([write_event(one) for one in node.events]) == msgpack.packb([changed])
    assert read_event(unpack_canonical(msgpack.packb(changed))) == node.events[0]


def test_every_place_of_every_good_node_takes_every_interesting_value_without_harm():
    for data in VALID["signed node"][:-1]:
        for place in range(0, len(data), 3):
            for value in INTERESTING:
                survives("own node", data[:place] + value + data[place + 1 :] + bytes(64))


@given(
    seq=st.integers(1, 4),
    author=st.integers(0, 2),
    height=st.integers(2, 6),
    parents=st.sets(st.integers(0, 4), min_size=1),
    previous=st.integers(0, 4),
)
@settings(max_examples=200, deadline=None)
def test_a_clock_takes_in_only_what_its_author_may_write_there(seq, author, height, parents, previous):
    clock: Clock = founded_clock(1)
    hashes = [node.hash for node in clock] + [digest(str(number)) for number in range(3)]
    named = {hashes[number] for number in parents}
    marked = None
    if seq > 1:
        marked = hashes[previous]
        named.add(marked)
    node = lone_node(author=key(author), seq=seq, height=height, parents=tuple(named), previous=marked)
    before = (clock.heads, clock.vector(), len(clock))
    try:
        added = clock.add(node)
    except (RemoteError, MissingParents, UnknownAuthor, ForkFound):
        assert (clock.heads, clock.vector(), len(clock)) == before
    else:
        assert added
        assert seq == before[1].get(node.author, 0) + 1
        assert clock.vector()[node.author] == seq
        assert filled(clock).heads == clock.heads
