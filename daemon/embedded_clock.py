"""`MerkleClock`: a log of signed notes that several programs write, each alone, and merge when they meet.

It is the mesh's clock (`protocol.clock`), open to authors who were never introduced: who wrote a node is its public
key, and `peer_id` is what that author calls itself. The nodes are shown in one order, the same for everybody who has
them: by logical clock, time and hash, so that parents come before their children.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from clockmesh.coordinator.errors import WrongValue
from clockmesh.daemon.embedded_node import NOTES, MerkleClockNode, read_node, shown_node, signed_node
from clockmesh.daemon.embedded_values import check_peer_id, json_object, json_text
from clockmesh.protocol import clock as protocol_clock
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.errors import ProtocolError
from clockmesh.protocol.events import Noted
from clockmesh.protocol.ids import NodeHash
from clockmesh.protocol.keys import SEED_BYTES, SigningKey
from clockmesh.protocol.limits import MAX_NOTE
from clockmesh.protocol.node import Node

_CLOCK_KEYS = {"peer_id", "head_hash", "logical_clock", "nodes"}


class Journal(Protocol):
    """Where a clock's new nodes become durable."""

    def changing(self) -> AbstractContextManager[object]:
        """Entered around each change: the clock is up to date within, and what it wrote is durable after it."""

    def wrote(self, nodes: Sequence[Node]) -> None:
        """These nodes are new."""


class MerkleClock:
    """The log of one program, and of all whose clocks it merged. `nodes`, `head_hash` and `logical_clock` are for
    reading: `verify_chain` notices what else is done to them."""

    def __init__(self, peer_id: str, *, key: SigningKey | None = None, journal: Journal | None = None) -> None:
        """`key` signs (a new one by default); whoever holds it is this author, so it belongs to one clock alone."""
        self.peer_id = check_peer_id(peer_id)
        self.nodes: list[MerkleClockNode] = []
        self.head_hash: str | None = None
        """Of the last node."""
        self.logical_clock = 0
        """Of the highest node."""
        self._key = key or SigningKey.from_seed(os.urandom(SEED_BYTES))
        self._journal = journal
        self._clock: Clock | None = Clock(NOTES, is_open=True)
        """What was verified; None for what `from_dict` read and nobody has verified yet."""
        self._stated: dict[str, Any] = {}
        """What `from_dict` read beyond the attributes."""

    @property
    def public_key(self) -> str:
        """This clock's own author, 64 hexadecimal digits."""
        return self._key.peer.hex()

    def append(self, data: Mapping[str, Any]) -> MerkleClockNode:
        """Sign a copy of `data` as the next node, above all heads. WrongValue (a TypeError) for what JSON cannot hold,
        ValueError for more than 128 KiB and for a clock that does not verify; nothing has changed then."""
        text = json_text(json_object(data, "an event's data"), "an event's data")
        if len(text) > MAX_NOTE:
            raise ValueError(f"an event of {len(text)} bytes is above {MAX_NOTE}; put a hash of its content here")
        with self._changing():
            self._sign(text, time.time_ns() // 1_000_000)
            return self.nodes[-1]

    def get_head(self) -> MerkleClockNode | None:
        """The last node; None while there is none."""
        return self.nodes[-1] if self.nodes else None

    def verify_chain(self) -> bool:
        """Whether all nodes are as their authors signed them, complete and in order. Cost: one hash for each node,
        and one signature for each that this program has not verified before."""
        try:
            self._checked()
        except ValueError:
            return False
        return True

    def merge(self, other: MerkleClock) -> None:
        """Take in what `other` has more. ValueError if either does not verify, or if one author signed two nodes with
        one number; nothing has changed then. Cost: that of verifying `other`, and of sorting two sorted lists."""
        if not isinstance(other, MerkleClock):
            raise WrongValue("only a MerkleClock can be merged")
        if other is self:
            return
        theirs = _reason("the other clock does not verify", other._checked)
        with self._changing():
            mine = self._verified()
            new = [node for node in theirs if node.hash not in mine]
            for node in new:
                if mine.of(node.author, node.seq) is not None:
                    raise ValueError(f"nothing was merged: author {node.author.hex()[:12]} signed two nodes with "
                                     f"number {node.seq}; one key must not write in two places")
            self._take(new)
            if self._journal and new:
                self._journal.wrote(new)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values. With several heads there is a fifth key, `heads`: each of their hashes, sorted."""
        told = {"peer_id": self.peer_id, "head_hash": self.head_hash, "logical_clock": self.logical_clock,
                "nodes": [node.to_dict() for node in self.nodes]}
        if self._clock is None:
            return told | self._stated
        return told | ({"heads": _hex(self._clock.heads)} if len(self._clock.heads) > 1 else {})

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], *, key: SigningKey | None = None) -> MerkleClock:
        """What `to_dict` wrote, to be verified by `verify_chain`; KeyError without `peer_id`. It appends as an author
        of its own, with a new key unless the one it had is passed."""
        clock = cls(d["peer_id"], key=key)
        nodes = d.get("nodes", [])
        if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
            raise WrongValue("a clock's nodes must be a list of objects")
        clock.nodes = [read_node(node) for node in nodes]
        clock.head_hash = d.get("head_hash")
        clock.logical_clock = d.get("logical_clock", 0)
        clock._stated = {name: value for name, value in d.items() if name not in _CLOCK_KEYS}
        clock._clock = None
        return clock

    # ---- inside ----

    def _changing(self) -> AbstractContextManager[object]:
        return self._journal.changing() if self._journal else nullcontext()

    def _note(self, data: Mapping[str, Any], wall_ms: int) -> Node:
        """Append what happened at another time than now."""
        with self._changing():
            return self._sign(json_text(data, "an event's data"), wall_ms)

    def _sign(self, text: str, wall_ms: int) -> Node:
        clock = self._verified()
        try:
            node = protocol_clock.append(clock, self._key, wall_ms=wall_ms, events=[Noted(self.peer_id, text)])
        except ProtocolError as error:
            raise ValueError(f"the event cannot be appended: {error}") from error
        self._show([node])
        if self._journal:
            self._journal.wrote([node])
        return node

    def _restore(self, clock: Clock, key: SigningKey) -> None:
        """Become this clock, whose nodes are verified."""
        self._clock, self._key, self._stated = clock, key, {}
        self.nodes = sorted((shown_node(node) for node in clock), key=_order)
        self.head_hash = self.nodes[-1].hash if self.nodes else None
        self.logical_clock = clock.height

    def _take(self, nodes: Iterable[Node]) -> None:
        """Add nodes that are verified, parents before children."""
        clock = self._verified()
        taken = [node for node in nodes if clock.add(node)]
        self._show(taken)

    def _show(self, nodes: Sequence[Node]) -> None:
        assert self._clock is not None
        known = len(self.nodes)
        self.nodes += [shown_node(node) for node in nodes]
        if known and len(self.nodes) > known and _order(self.nodes[known]) < _order(self.nodes[known - 1]):
            self.nodes.sort(key=_order)  # two sorted lists one after the other: linear
        self.head_hash = self.nodes[-1].hash if self.nodes else None
        self.logical_clock = self._clock.height

    def _verified(self) -> Clock:
        if self._clock is None:
            self._clock = _reason(f"the clock of {self.peer_id} does not verify", self._checked)
        return self._clock

    def _checked(self) -> Clock:
        """The clock that the public attributes tell; ValueError says where they are wrong."""
        clock = Clock(NOTES, is_open=True)
        try:
            for place, shown in enumerate(self.nodes):
                if place and not _order(self.nodes[place - 1]) < _order(shown):
                    raise ValueError("it stands in the wrong place")
                clock.add(signed_node(shown, _seq(clock, shown)))
        except (ProtocolError, ValueError, TypeError) as error:
            raise ValueError(f"node {place}: {error}") from None
        self._check_summary(clock)
        return clock

    def _check_summary(self, clock: Clock) -> None:
        head = self.nodes[-1].hash if self.nodes else None
        if self.head_hash != head or type(self.logical_clock) is not int or self.logical_clock != clock.height:
            raise ValueError("its head or its logical clock is not that of its nodes")
        if self._clock is not None:
            if self._clock.heads != clock.heads or len(self._clock) != len(clock):
                raise ValueError("nodes are missing")
        elif self._stated != ({"heads": _hex(clock.heads)} if len(clock.heads) > 1 else {}):
            raise ValueError("its heads are not those of its nodes")


def _seq(clock: Clock, shown: MerkleClockNode) -> int:
    """The number that a node has at its author if its parent is the author's node before it."""
    if shown.parent_hash is None:
        return 1
    before = clock.get(NodeHash(bytes.fromhex(shown.parent_hash)))
    if before is None:
        raise ValueError("its author's node before it is missing")
    return before.seq + 1


def _order(shown: MerkleClockNode) -> tuple[int, float, str]:
    return shown.logical_clock, shown.timestamp, shown.hash or ""


def _hex(hashes: Iterable[NodeHash]) -> list[str]:
    return [one.hex() for one in hashes]


def _reason(what: str, check: Any) -> Clock:
    try:
        clock: Clock = check()
    except ValueError as error:
        raise ValueError(f"{what}, so nothing was done: {error}") from None
    return clock
