"""One entry of a `MerkleClock` as programs see it, and the signed node (`protocol.codec`) that it stands for.

The signed bytes say more than the entry shows, its author's sequence number; whoever walks a clock knows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from clockmesh.daemon.embedded_values import json_text
from clockmesh.protocol.codec import decode_node, unsigned_node
from clockmesh.protocol.errors import ProtocolError
from clockmesh.protocol.events import Noted
from clockmesh.protocol.ids import MeshId, NodeHash, PeerId
from clockmesh.protocol.keys import SIGNATURE_BYTES
from clockmesh.protocol.node import Node

NOTES = MeshId(sha256(b"clockmesh/notes/1\0").digest())
"""What stands for the mesh in the signatures of clocks whose authors were never introduced to one another."""

_KEYS = ("timestamp", "peer_id", "data", "parent_hash", "hash", "logical_clock", "parents", "public_key", "signature")


@dataclass
class MerkleClockNode:
    """What one peer wrote down, once. Hashes, keys and signatures are lower-case hexadecimal."""

    timestamp: float
    """Seconds since 1970, whole milliseconds."""
    peer_id: str
    data: dict[str, Any]
    parent_hash: str | None = None
    """The author's own node before this one."""
    hash: str | None = None
    logical_clock: int = 0
    """1 + the highest of the parents."""
    parents: list[str] = field(default_factory=list)
    """Every head that the author knew, sorted."""
    public_key: str = ""
    signature: str = ""
    _node: Node | None = field(default=None, repr=False, compare=False)
    """The signed node, where its signature was checked."""
    _is_whole: bool = field(default=True, repr=False, compare=False)
    """Whether it was read from a dict with exactly the keys that `to_dict` writes."""

    def __post_init__(self) -> None:
        if self.hash is None and self._is_whole:
            self.hash = self.calculate_hash()

    def calculate_hash(self) -> str:
        """The hash of what it says now, 64 digits: another than `hash` if anything was changed. The sequence number
        is looked for from the likeliest on; this costs at most `logical_clock` hashes."""
        first = ""
        for seq in range(self.logical_clock, 0, -1) if self.parent_hash else (1,):
            found = sha256(b"clockmesh/node/1\0" + _signed_bytes(self, seq)).hexdigest()
            if self.hash in (found, None):
                return found
            first = first or found
        return first

    def to_dict(self) -> dict[str, Any]:
        """Its nine values, sharing nothing with the node."""
        return {key: deepcopy(getattr(self, key)) for key in _KEYS}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> MerkleClockNode:
        """What `to_dict` wrote. KeyError without `timestamp`, `peer_id` or `data`; nothing is verified."""
        for key in ("timestamp", "peer_id", "data"):
            d[key]  # a KeyError names the key
        return read_node(d)


def read_node(d: Mapping[str, Any]) -> MerkleClockNode:
    """The node in a dict, whatever is missing or wrong in it: `signed_node` says so."""
    values: dict[str, Any] = {key: deepcopy(d[key]) for key in _KEYS if key in d}
    missing: dict[str, Any] = {"timestamp": 0.0, "peer_id": "", "data": {}}
    node = MerkleClockNode(**missing | values, _is_whole=len(d) == len(_KEYS) == len(values))
    if "hash" in d:
        node.hash = values["hash"]  # even if it is null
    return node


def shown_node(node: Node) -> MerkleClockNode:
    """How a signed node that holds one note is shown; ValueError for any other."""
    note = node.events[0]
    if not isinstance(note, Noted) or len(node.events) != 1:
        raise ValueError(f"node {node.hash.hex()[:12]} holds no note")
    return MerkleClockNode(
        timestamp=node.wall_ms / 1000,
        peer_id=note.label,
        data=json.loads(note.data),
        parent_hash=None if node.previous is None else node.previous.hex(),
        hash=node.hash.hex(),
        logical_clock=node.height,
        parents=[parent.hex() for parent in node.parents],
        public_key=node.author.hex(),
        signature=node.data[-SIGNATURE_BYTES:].hex(),
        _node=node,
    )


def signed_node(shown: MerkleClockNode, seq: int) -> Node:
    """The signed node that `shown` stands for, if it is its author's `seq`th; ValueError if anything was changed."""
    if not shown._is_whole:
        raise ValueError("it has not the keys of a signed node")
    if type(shown.timestamp) is not float or type(shown.logical_clock) is not int:
        raise ValueError("its times are not the numbers that were signed")
    data = _signed_bytes(shown, seq)
    known = shown._node
    if known is None or known.data != data:
        known = decode_node(NOTES, data)
    if shown_node(known) != shown:  # e.g. a hash in capitals, or a time of half a millisecond more
        raise ValueError("it was changed")
    shown._node = known
    return known


def _signed_bytes(shown: MerkleClockNode, seq: int) -> bytes:
    """What its author would have signed, and the signature. ValueError where the values cannot be bytes."""
    try:
        unsigned = unsigned_node(
            PeerId(bytes.fromhex(shown.public_key)),
            seq=seq,
            parents=[NodeHash(bytes.fromhex(parent)) for parent in shown.parents],
            previous=None if shown.parent_hash is None else NodeHash(bytes.fromhex(shown.parent_hash)),
            height=shown.logical_clock,
            wall_ms=round(shown.timestamp * 1000),
            events=[Noted(shown.peer_id, json_text(shown.data, "its data"))],
        )
        return unsigned.data[:-SIGNATURE_BYTES] + bytes.fromhex(shown.signature)
    except (ProtocolError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it cannot have been signed: {error}") from None
