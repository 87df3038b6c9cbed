"""Nodes without signature and bytes, for the real clock: cheap enough for thousands of schedules. A node's hash is
unique and says nothing of its content."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import count

from clockmesh.protocol.clock import Clock
from clockmesh.protocol.events import Description, Event, MeshFounded, PeerAdmitted
from clockmesh.protocol.ids import MeshId, NodeHash, PeerId
from clockmesh.protocol.naming import mesh_id
from clockmesh.protocol.node import Node

FOUNDING_NONCE = bytes(16)


class NodeMaker:
    """Numbers the nodes of one world, so that a seed gives the same hashes in every process."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._numbers = count()

    def make(self, clock: Clock, author: PeerId, events: Sequence[Event]) -> Node:
        """The author's next node, above all heads of its clock, which does not have it yet."""
        place = clock.place_for(author)
        return Node(
            hash=NodeHash(sha256(b"%s %d" % (self._salt, next(self._numbers))).digest()),
            author=author,
            seq=place.seq,
            parents=place.parents,
            previous=place.previous,
            height=place.height,
            wall_ms=0,
            events=tuple(events),
            data=b"",
        )


def peer_ids(count_of: int) -> list[PeerId]:
    """The same ones in every world, so that their digests are worked out once."""
    return [PeerId(sha256(b"simulated peer %d" % number).digest()) for number in range(count_of)]


def mesh_of(founder: PeerId) -> MeshId:
    return mesh_id(founder, FOUNDING_NONCE)


def founding(maker: NodeMaker, members: Sequence[tuple[PeerId, Description]]) -> list[Node]:
    """The first peer founds the mesh and admits the others."""
    (founder, description), *others = members
    clock = Clock(mesh_of(founder))
    first = maker.make(clock, founder, [MeshFounded(FOUNDING_NONCE, description)])
    clock.add(first)
    return [first, maker.make(clock, founder, [PeerAdmitted(peer, words) for peer, words in others])]
