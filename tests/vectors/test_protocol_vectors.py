from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path

import msgpack
import pytest
from nacl.signing import SigningKey, VerifyKey

from clockmesh.protocol.clock import Clock
from clockmesh.protocol.codec import decode_beacon, decode_node, decode_plan, decode_result
from clockmesh.protocol.event_codec import encode_event, read_event
from clockmesh.protocol.messages import decode_message, encode_message
from tests.vectors.protocol_vectors import CONTENT, NONCE, WALL_MS, vectors

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
BLOCK = PAGE.split("## Vectors")[1].split("```")[1].strip()
PINNED = dict(line.split(" = ") for line in BLOCK.splitlines())
MADE = vectors()


def pinned(name: str) -> bytes:
    return bytes.fromhex(PINNED[name])


@pytest.mark.parametrize("name", MADE)
def test_the_bytes_are_those_that_the_page_pins(name):
    assert PINNED[name] == MADE[name]


def test_the_page_pins_nothing_else():
    assert PINNED.keys() == MADE.keys()


def test_the_pinned_nodes_make_a_clock():
    clock = Clock(pinned("mesh id"))
    for name in ("founding", "admission", "submitting"):
        node = decode_node(clock.mesh, pinned(f"{name} node"))
        assert node.hash == pinned(f"{name} hash")
        assert clock.add(node)
    assert clock.combined_head() == pinned("combined head")
    assert clock.vector_digest() == pinned("vector digest")


def test_the_pinned_bytes_read_back():
    decode_plan(pinned("plan"))
    decode_plan(pinned("remote plan"))
    decode_result(pinned("result"))
    decode_beacon(pinned("mesh id"), pinned("beacon"))
    for name in PINNED:
        if name.startswith("event: "):
            assert encode_event(read_event(msgpack.unpackb(pinned(name)))) == pinned(name)
        if name.startswith("message: "):
            assert encode_message(decode_message(pinned(name))) == pinned(name)


def test_another_implementation_of_the_page_makes_the_same_founding_node():
    ada = SigningKey(bytes(range(32)))
    peer = bytes(ada.verify_key)
    mesh = sha256(b"clockmesh/mesh/1\0" + peer + NONCE).digest()
    description = ["ada", 2, ["linux", "x64"], ["/ip4/192.0.2.7/tcp/4001"]]
    body = msgpack.packb([1, peer, 1, [], None, 1, WALL_MS, [[1, 1, NONCE, description]]])
    signature = ada.sign(b"clockmesh/node/1\0" + mesh + body).signature
    assert mesh == pinned("mesh id")
    assert body + signature == pinned("founding node")
    assert sha256(b"clockmesh/node/1\0" + body + signature).digest() == pinned("founding hash")


def test_another_implementation_of_the_page_verifies_and_names_the_same_run():
    data = pinned("submitting node")
    body, signature = data[:-64], data[-64:]
    _, author, seq, parents, previous, height, _, [event] = msgpack.unpackb(body)
    VerifyKey(author).verify(b"clockmesh/node/1\0" + pinned("mesh id") + body, signature)
    assert (seq, parents, previous, height) == (1, [pinned("admission hash")], None, 3)
    nonce, heads, plan = event[2:5]
    assert heads == sha256(pinned("admission hash")).digest()
    submission = sha256(msgpack.packb(event)).digest()
    assert sha256(b"clockmesh/run/1\0" + heads + nonce + submission).digest() == pinned("run id")
    plan_hash = sha256(b"clockmesh/plan/1\0" + msgpack.packb(plan)).digest()
    assert plan_hash == pinned("plan hash")
    seed = sha256(b"clockmesh/electorate/1\0" + heads + plan_hash + nonce).digest()
    assert seed == pinned("electorate seed")
    assert sha256(msgpack.packb([pinned("run id"), "build", 1])).digest() == pinned("task hash")


def test_another_implementation_of_the_page_names_the_same_blob_and_frame():
    chunks = [sha256(CONTENT[start : start + 131_072]).digest() for start in (0, 131_072)]
    blob = sha256(b"clockmesh/blob/1\0" + msgpack.packb([len(CONTENT), chunks])).digest()
    assert blob == pinned("blob of 200000 zero bytes")
    assert struct.pack(">I", 3) + b"abc" == pinned("frame of abc")
