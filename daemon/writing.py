"""From events to this peer's next nodes, within the limits of one node."""

from __future__ import annotations

from collections.abc import Sequence

from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.events import Event, InvitationRedeemed
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.limits import MAX_EVENTS_PER_NODE
from clockmesh.protocol.node import Node


def build_nodes(key: SigningKey, clock: Clock, events: Sequence[Event], wall_ms: int) -> list[Node]:
    """Nodes that carry `events` in their order, each already in the clock: one if they fit, none for none.

    LocalError for an event that fits no node."""
    nodes = []
    left = list(events)
    while left:
        count = _whole(left, min(len(left), MAX_EVENTS_PER_NODE))
        node = None
        while node is None:
            try:
                node = append(clock, key, wall_ms=wall_ms, events=left[:count])
            except LocalError:
                if count <= 1:
                    raise
                count = _whole(left, count // 2)
        nodes.append(node)
        del left[:count]
    return nodes


def _whole(events: list[Event], count: int) -> int:
    """Never cut between an invitation and the admission that it paid for: they belong in one node."""
    cuts = 1 < count < len(events) and isinstance(events[count - 1], InvitationRedeemed)
    return count - 1 if cuts else count
