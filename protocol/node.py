"""One signed entry of the Merkle clock, as it stands in memory. `codec` reads and writes its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from clockmesh.protocol.events import Event
from clockmesh.protocol.ids import NodeHash, PeerId


@dataclass(frozen=True, slots=True)
class Node:
    hash: NodeHash
    author: PeerId
    seq: int
    """Counts from 1 for each author."""
    parents: tuple[NodeHash, ...]
    """Sorted; empty for a mesh's first node."""
    previous: NodeHash | None
    """The author's own node before this one, which is one of the parents; None for its first."""
    height: int
    """1 + the highest of the parents; 1 without parents."""
    wall_ms: int
    """Information only."""
    events: tuple[Event, ...]
    data: bytes
    """The bytes received or signed: what is stored, hashed and passed on."""
