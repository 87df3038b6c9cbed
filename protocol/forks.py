"""What still counts of an author who signed two nodes with one number: a function of the set of nodes alone.

Such an author is *forked*. A node of it counts if it is in the past of a node of another author that counts itself and
knew nothing of the fork, which is to say, had no two branches in its past. So whatever a peer took for good before it
knew counts for ever and everywhere, once that peer has named it in a node of its own; what the author writes afterwards
counts for nothing. All nodes of authors who are not forked count.
"""

from __future__ import annotations

from collections.abc import Iterator

from clockmesh.protocol.clock import Clock
from clockmesh.protocol.ids import NodeHash, PeerId
from clockmesh.protocol.node import Node

_BOTH = NodeHash(b"")
"""Instead of a tip: two branches are in the past."""

_Tips = dict[NodeHash, NodeHash | None]
"""For each node the forked author's highest node that it is or has in its past; None for none."""


class Counting:
    """Follows one clock: `entered` must be called with each node that was added to it, in that order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tips: dict[PeerId, _Tips] = {}
        self._counted: set[NodeHash] = set()
        """Of forked authors, what counts."""
        self._ignored: dict[NodeHash, Node] = {}
        """What entered and does not count yet."""

    def entered(self, node: Node) -> list[Node]:
        """The nodes that count from now on, in causal order: often this one alone, sometimes none, and more when it
        bears witness to what did not count before. O(parents), but for the node with which a fork becomes known."""
        if not self._clock.forked:
            return [node]
        self._ignored[node.hash] = node
        if len(self._tips) < len(self._clock.forked):
            self._look_at_all()
        else:
            for author in self._tips:
                self._tips[author][node.hash] = self._tip(author, node)
            if self.counts(node):
                self._bear_witness([node])
        counting = [each for each in self._ignored.values() if self.counts(each)]
        for each in counting:
            del self._ignored[each.hash]
        return counting

    def counts(self, node: Node) -> bool:
        return node.author not in self._clock.forked or node.hash in self._counted

    def all(self) -> Iterator[Node]:
        """Every node of the clock that counts, parents before children; where it was filled without `entered`."""
        self._look_at_all()
        self._ignored = {node.hash: node for node in self._clock if not self.counts(node)}
        return (node for node in self._clock if self.counts(node))

    def _look_at_all(self) -> None:
        self._counted = set()
        for author in self._clock.forked:
            self._begin(author)
        if self._clock.forked:
            self._bear_witness([node for node in self._clock if node.author not in self._clock.forked])

    def _begin(self, author: PeerId) -> None:
        tips = self._tips[author] = {}
        for node in self._clock:
            tips[node.hash] = self._tip(author, node)

    def _tip(self, author: PeerId, node: Node) -> NodeHash | None:
        tips = self._tips[author]
        seen = {tips[parent] for parent in node.parents} - {None}
        if node.author == author:
            branch: NodeHash | None = node.hash
        else:
            branch = max(seen - {_BOTH}, key=self._seq, default=None)  # type: ignore[arg-type]  # no None is left
        single = _BOTH not in seen and all(self._on_branch(branch, each) for each in seen if each is not None)
        return branch if single else _BOTH

    def _on_branch(self, top: NodeHash | None, below: NodeHash) -> bool:
        """Whether `top` is `below` or comes after it."""
        while top is not None and top != below and self._seq(top) > self._seq(below):
            top = self._node(top).previous
        return top == below

    def _bear_witness(self, witnesses: list[Node]) -> None:
        """What counts bears witness, and to whom it does counts."""
        while witnesses:
            witness = witnesses.pop()
            for author, tips in self._tips.items():
                tip = tips.get(witness.hash) if author != witness.author else None
                while tip and tip not in self._counted:
                    self._counted.add(tip)
                    witnesses.append(self._node(tip))
                    tip = self._node(tip).previous

    def _seq(self, node: NodeHash) -> int:
        return self._node(node).seq

    def _node(self, node: NodeHash) -> Node:
        found = self._clock.get(node)
        assert found is not None, "only hashes of nodes of this clock are kept"
        return found
