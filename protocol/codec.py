"""The bytes of nodes, and the door to those of plans, results, beacons and names.

A node is a canonical msgpack list, then its author's signature (64 bytes) over domain, mesh and that list. Its hash
covers both. The mesh is in the signature only: a node of another mesh does not verify.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from clockmesh.protocol import limits
from clockmesh.protocol.beacon_codec import decode_beacon, encode_beacon
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.event_codec import encode_event, read_event, write_event
from clockmesh.protocol.events import Event
from clockmesh.protocol.ids import MeshId, NodeHash, PeerId
from clockmesh.protocol.keys import SIGNATURE_BYTES, SigningKey
from clockmesh.protocol.keys import verify as signed_by
from clockmesh.protocol.naming import (
    electorate_seed,
    mesh_id,
    move_hash,
    plan_hash,
    result_hash,
    run_id,
    schedule_id,
    secret_id,
    task_hash,
    tick_run,
)
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan_codec import decode_plan, decode_result, encode_plan, encode_result
from clockmesh.protocol.wire import array, ascending, fields, integer, pack, raw, unpack, unpack_canonical

__all__ = [
    "NODE_DOMAIN",
    "decode_beacon",
    "decode_node",
    "decode_plan",
    "decode_result",
    "electorate_seed",
    "encode_beacon",
    "encode_event",
    "encode_node",
    "encode_plan",
    "encode_result",
    "mesh_id",
    "move_hash",
    "plan_hash",
    "result_hash",
    "run_id",
    "schedule_id",
    "secret_id",
    "task_hash",
    "tick_run",
    "unsigned_node",
]

NODE_DOMAIN = b"clockmesh/node/1\0"
_VERSION = 1


def encode_node(
    key: SigningKey,
    mesh: MeshId,
    *,
    seq: int,
    parents: Iterable[NodeHash],
    previous: NodeHash | None,
    height: int,
    wall_ms: int,
    events: Iterable[Event],
) -> Node:
    """A signed node. `parents` in any order, `previous` among them. LocalError if any peer would refuse it."""
    facts = tuple(events)
    written = _write_node(key.peer, seq, sorted(parents), previous, height, wall_ms, facts)
    body = pack(written)
    if len(body) + SIGNATURE_BYTES > limits.MAX_NODE_BYTES:
        raise LocalError(f"a node of {len(body) + SIGNATURE_BYTES} bytes is above {limits.MAX_NODE_BYTES}")
    data = body + key.sign(NODE_DOMAIN + mesh + body)
    try:
        node = _read_node(written, data)
    except RemoteError as error:
        raise LocalError(str(error)) from error
    if node.events != facts:
        raise LocalError("an event does not read back as it was written")
    return node


def unsigned_node(
    author: PeerId,
    *,
    seq: int,
    parents: Iterable[NodeHash],
    previous: NodeHash | None,
    height: int,
    wall_ms: int,
    events: Iterable[Event],
) -> Node:
    """A node whose signature is 64 zero bytes, unchecked: for simulations only. No peer accepts it."""
    ordered = sorted(parents)
    facts = tuple(events)
    data = pack(_write_node(author, seq, ordered, previous, height, wall_ms, facts)) + bytes(SIGNATURE_BYTES)
    return Node(_hash(data), author, seq, tuple(ordered), previous, height, wall_ms, facts, data)


def decode_node(mesh: MeshId, data: bytes, *, verify: bool = True) -> Node:
    """The node in `data`; RemoteError unless every field is within its limits, the bytes are canonical and its author
    signed it for this mesh. Whether its parents, height and author fit is the clock's to say.

    `verify=False` is for bytes of our own store, which were verified when they came: signature and canonical form are
    not looked at again; a changed byte gives another hash, which no child names.
    """
    if not SIGNATURE_BYTES < len(data) <= limits.MAX_NODE_BYTES:
        raise RemoteError(f"a node of {len(data)} bytes")
    body = data[:-SIGNATURE_BYTES]
    node = _read_node(unpack_canonical(body) if verify else unpack(body), data)
    if verify and not signed_by(node.author, NODE_DOMAIN + mesh + body, data[-SIGNATURE_BYTES:]):
        raise RemoteError("a node's signature is not its author's for this mesh")
    return node


def _hash(data: bytes) -> NodeHash:
    return NodeHash(sha256(NODE_DOMAIN + data).digest())


def _write_node(
    author: PeerId,
    seq: int,
    parents: list[NodeHash],
    previous: NodeHash | None,
    height: int,
    wall_ms: int,
    events: tuple[Event, ...],
) -> list[object]:
    if previous is not None and previous not in parents:
        raise LocalError("the author's previous node must be one of the parents")
    mark = None if previous is None else parents.index(previous)
    return [_VERSION, author, seq, parents, mark, height, wall_ms, [write_event(event) for event in events]]


def _read_node(value: object, data: bytes) -> Node:
    version, author, seq, parents, mark, height, wall_ms, events = fields(value, "node", 8)
    integer(version, "node version", _VERSION, _VERSION)
    hashes = _read_parents(parents)
    node = Node(
        hash=_hash(data),
        author=PeerId(raw(author, "author", 32)),
        seq=integer(seq, "seq", 1),
        parents=hashes,
        previous=None if mark is None else hashes[integer(mark, "mark of the previous node", 0, len(hashes) - 1)],
        height=integer(height, "height", 1),
        wall_ms=integer(wall_ms, "wall time"),
        events=tuple([read_event(event) for event in array(events, "events", limits.MAX_EVENTS_PER_NODE, 1)]),
        data=data,
    )
    if (node.seq == 1) != (node.previous is None):
        raise RemoteError("exactly the first node of an author has no previous one")
    if (node.height == 1) != (not hashes):
        raise RemoteError("exactly a node without parents has height 1")
    return node


def _read_parents(value: object) -> tuple[NodeHash, ...]:
    hashes = tuple([NodeHash(raw(parent, "parent", 32)) for parent in array(value, "parents", limits.MAX_PARENTS)])
    if len(hashes) > 1:
        ascending(hashes, "parents")
    return hashes
