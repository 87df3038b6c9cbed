"""Nodes that came before what they need: bounded, the oldest dropped first. Sync brings back what was dropped."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice

from clockmesh.protocol.clock import Clock, ForkFound, MissingParents, UnknownAuthor
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.events import PeerAdmitted
from clockmesh.protocol.ids import NodeHash, PeerId
from clockmesh.protocol.node import Node


class Orphans:
    """Each waits for one thing at a time: a parent's hash, or its author's admission (the author's id)."""

    def __init__(self, limit: int = 4096, limit_bytes: int = 16 * 1024 * 1024) -> None:
        """At most `limit` nodes of `limit_bytes` together."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._held: OrderedDict[NodeHash, tuple[Node, bytes]] = OrderedDict()
        self._waiting: dict[bytes, dict[NodeHash, None]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, node: object) -> bool:
        return node in self._held

    def hold(self, node: Node, waits_for: NodeHash | PeerId) -> None:
        """Keep `node` until `waits_for` is ready; a node already held waits for this from now on."""
        self._drop(node.hash)
        self._held[node.hash] = (node, waits_for)
        self._waiting.setdefault(waits_for, {})[node.hash] = None
        self._bytes += len(node.data)
        while len(self._held) > self._limit or self._bytes > self._limit_bytes:
            self._drop(next(iter(self._held)))

    def missing(self, most: int) -> list[NodeHash]:
        """What nodes wait for, the latest named first; among them may be peers that await their admission."""
        return [NodeHash(what) for what in islice(reversed(self._waiting), most)]

    def ready(self, what: NodeHash | PeerId) -> list[Node]:
        """Give up, in the order they came, the nodes that waited for this hash or this peer's admission."""
        nodes = [self._held[node][0] for node in self._waiting.get(what, ())]
        for node in nodes:
            self._drop(node.hash)
        return nodes

    def _drop(self, node: NodeHash) -> None:
        held = self._held.pop(node, None)
        if held is None:
            return
        self._bytes -= len(held[0].data)
        others = self._waiting[held[1]]
        del others[node]
        if not others:
            del self._waiting[held[1]]


@dataclass(slots=True)
class TakenIn:
    """What became of a node, and of the orphans that it freed."""

    added: list[Node] = field(default_factory=list)
    """In the order in which they entered the clock."""
    held: list[Node] = field(default_factory=list)
    """Something they need is missing: sync with whoever sent them."""
    forks: list[ForkFound] = field(default_factory=list)
    refused: list[tuple[Node, RemoteError]] = field(default_factory=list)


def take_in(clock: Clock, orphans: Orphans, node: Node, *, branch: bool = False) -> TakenIn:
    """Add `node` and, as far as they now fit, those that waited for it. Never raises for what the node says. `branch`:
    its author may be found to be forked by it, see `Clock.add_branch`."""
    taken = TakenIn()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        add = clock.add_branch if branch and one is node else clock.add
        try:
            if not add(one):
                continue
        except MissingParents as missing:
            orphans.hold(one, missing.hashes[0])
            taken.held.append(one)
        except UnknownAuthor:
            orphans.hold(one, one.author)
            taken.held.append(one)
        except ForkFound as fork:
            taken.forks.append(fork)
        except RemoteError as error:
            taken.refused.append((one, error))
        else:
            taken.added.append(one)
            waiting += reversed(_freed(orphans, one))
    return taken


def _freed(orphans: Orphans, added: Node) -> list[Node]:
    freed = orphans.ready(added.hash)
    for event in added.events:
        if isinstance(event, PeerAdmitted):
            freed += orphans.ready(event.peer)
    return freed
