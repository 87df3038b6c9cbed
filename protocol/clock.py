"""The Merkle clock in memory: an ancestor-closed graph of nodes that anyone may add in any causal order.

It checks what a node's bytes alone cannot show: parents, height, the author's sequence and admission. Heads, vector
and digest depend on the set of nodes only, never on the order in which they came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from clockmesh.protocol import vector as vectors
from clockmesh.protocol.codec import encode_node, mesh_id
from clockmesh.protocol.errors import ProtocolError, RemoteError
from clockmesh.protocol.events import Event, MeshFounded, PeerAdmitted
from clockmesh.protocol.ids import MeshId, NodeHash, PeerId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.limits import MAX_PARENTS
from clockmesh.protocol.node import Node


class MissingParents(ProtocolError):
    """The node may be good, but these parents are not here yet: hold it and sync."""

    def __init__(self, hashes: tuple[NodeHash, ...]) -> None:
        super().__init__("parents are missing: " + ", ".join(parent.hex()[:12] for parent in hashes))
        self.hashes = hashes


class UnknownAuthor(ProtocolError):
    """No node here admits the author yet: hold the node and sync; drop it if that does not help."""

    def __init__(self, author: PeerId) -> None:
        super().__init__(f"{author.hex()[:12]} was never admitted")
        self.author = author


class ForkFound(ProtocolError):
    """One author signed two nodes with one seq. Both signed nodes together prove it to anyone."""

    def __init__(self, known: Node, other: Node) -> None:
        super().__init__(f"{known.author.hex()[:12]} signed two nodes with seq {known.seq}")
        self.known = known
        """The one that this clock holds and keeps."""
        self.other = other


@dataclass(frozen=True, slots=True)
class Place:
    """Where an author's next node belongs: above all heads."""

    seq: int
    parents: tuple[NodeHash, ...]
    previous: NodeHash | None
    height: int


class Clock:
    """The nodes of one mesh. Nothing is ever taken out.

    `is_open`: of authors who were never introduced to one another. Anybody may write in it, and it has as many
    beginnings as there are authors who began alone."""

    def __init__(self, mesh: MeshId, *, is_open: bool = False) -> None:
        self.mesh = mesh
        self._is_open = is_open
        self.height = 0
        """Of the highest node."""
        self._nodes: dict[NodeHash, Node] = {}
        self._order: list[Node] = []
        self._of: dict[PeerId, array[int]] = {}
        """For each author, by seq, where its nodes stand in `_order`."""
        self._forks: dict[PeerId, array[int]] = {}
        """For each forked author, where its nodes stand from the first number on that it used twice."""
        self._admitted: set[PeerId] = set()
        self._heads: set[NodeHash] = set()
        self._sorted_heads: tuple[NodeHash, ...] | None = None
        self._digest: bytes | None = None

    def add(self, node: Node) -> bool:
        """Take in a node whose bytes were checked; False if it is here already. O(parents).

        MissingParents, UnknownAuthor: it may fit later. ForkFound: its author, of whom that was not known, is to be
        mistrusted; see `add_branch`. RemoteError: it never will. After any of them the clock is as it was.
        """
        if node.hash in self._nodes:
            return False
        if node.author not in self._forks:
            self._refuse_fork(node)
        return self._add(node)

    def add_branch(self, node: Node) -> bool:
        """`add` for a node whose number its author may have used before: both are kept, and the author is forked."""
        return node.hash not in self._nodes and self._add(node)

    def _add(self, node: Node) -> bool:
        parents = self._parents_of(node)
        if not parents:
            self._check_beginning(node)
            joined = [node.author]
        else:
            if node.author not in self._admitted and not self._is_open:
                raise UnknownAuthor(node.author)
            self._check_place(node, parents)
            joined = []
        joined += _admitted_by(node)
        self._insert(node, joined)
        return True

    def _refuse_fork(self, node: Node) -> None:
        own = self._of.get(node.author)
        if own is not None and 1 <= node.seq <= len(own):
            raise ForkFound(self._order[own[node.seq - 1]], node)

    def _parents_of(self, node: Node) -> list[Node]:
        found = []
        missing = []
        for parent in node.parents:
            known = self._nodes.get(parent)
            if known is None:
                missing.append(parent)
            else:
                found.append(known)
        if missing:
            raise MissingParents(tuple(missing))
        return found

    def _check_beginning(self, node: Node) -> None:
        founded = node.events[0] if node.events else None
        founds = isinstance(founded, MeshFounded) and mesh_id(node.author, founded.nonce) == self.mesh
        if not founds and not self._is_open:
            raise RemoteError("a node without parents that does not found this mesh")
        if node.seq != 1 or node.height != 1 or node.previous is not None:
            raise RemoteError("a founding node has seq 1, height 1 and nothing before it")
        if self._order and not self._is_open:
            raise RemoteError("this mesh was founded already")

    def _check_place(self, node: Node, parents: list[Node]) -> None:
        top = parents[0].height if len(parents) == 1 else max([parent.height for parent in parents])
        if node.height != top + 1:
            raise RemoteError("a node's height is not one above its highest parent")
        if len(parents) > 1 and any(low >= high for low, high in zip(node.parents, node.parents[1:], strict=False)):
            raise RemoteError("a node's parents are not sorted, each once")
        if node.previous is None:
            if node.seq != 1:
                raise RemoteError("only an author's first node has none before it")
            return
        if node.previous not in node.parents:
            raise RemoteError("an author's previous node must be one of the parents")
        previous = self._nodes[node.previous]
        if previous.author != node.author or previous.seq != node.seq - 1:
            raise RemoteError("the node marked as previous is not the author's last one")

    def _insert(self, node: Node, joined: list[PeerId]) -> None:
        own = self._of.get(node.author)
        if own is None:
            own = self._of[node.author] = array("Q")
        if node.author in self._forks or node.seq <= len(own):
            branches = self._forks.setdefault(node.author, array("Q"))
            branches.extend(own[node.seq - 1 :])
            del own[node.seq - 1 :]
            branches.append(len(self._order))
        else:
            own.append(len(self._order))
        self._order.append(node)
        self._nodes[node.hash] = node
        self._heads.difference_update(node.parents)
        self._heads.add(node.hash)
        self._admitted.update(joined)
        self.height = max(self.height, node.height)
        self._sorted_heads = self._digest = None

    def __contains__(self, node: object) -> bool:
        """Whether a node with this hash is here."""
        return node in self._nodes

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Node]:
        """All nodes, parents before children, in the order in which they came."""
        return iter(self._order)

    def get(self, node: NodeHash) -> Node | None:
        return self._nodes.get(node)

    @property
    def forked(self) -> Mapping[PeerId, object]:
        """The authors who signed two nodes with one number."""
        return self._forks

    def nodes_of(self, author: PeerId) -> Iterator[Node]:
        """All of an author's nodes, each after the one before it."""
        places = sorted((*self._of.get(author, ()), *self._forks.get(author, ())))
        return (self._order[place] for place in places)

    def of(self, author: PeerId, seq: int) -> Node | None:
        """The author's node with this seq; None where a forked author has two."""
        own = self._of.get(author)
        return self._order[own[seq - 1]] if own is not None and 1 <= seq <= len(own) else None

    def last_of(self, author: PeerId) -> NodeHash | None:
        """The author's newest node here."""
        own = self._of.get(author)
        return self._order[own[-1]].hash if own else None

    def is_admitted(self, peer: PeerId) -> bool:
        """Whether a node here founds the mesh as `peer` or admits it."""
        return peer in self._admitted

    @property
    def heads(self) -> tuple[NodeHash, ...]:
        """Nodes without known children, sorted."""
        if self._sorted_heads is None:
            self._sorted_heads = tuple(sorted(self._heads))
        return self._sorted_heads

    def combined_head(self) -> bytes:
        """32 bytes: SHA-256 of the sorted heads."""
        return sha256(b"".join(self.heads)).digest()

    def vector(self) -> dict[PeerId, int]:
        """A copy: {author: its highest seq}; of a forked author the last one before the fork."""
        return {author: len(own) for author, own in self._of.items() if own}

    def vector_digest(self) -> bytes:
        """32 bytes; computed once after each change. Where authors are forked it covers their branches too."""
        if self._digest is None:
            digest = vectors.vector_digest(self.vector())
            if self._forks:
                branches = [self._order[place].hash for places in self._forks.values() for place in places]
                digest = sha256(b"clockmesh/forks/1\0" + digest + b"".join(sorted(branches))).digest()
            self._digest = digest
        return self._digest

    def missing_for(self, vector: Mapping[PeerId, int]) -> Iterator[Node]:
        """The nodes above `vector`, parents before children; the clock as it is now, even if it grows meanwhile.

        What the vector claims beyond this clock is of no concern here. Of a forked author all branches come, whatever
        it claims. Cost: authors, plus the missing nodes sorted.
        """
        places: list[int] = []
        for author, own in self._of.items():
            places.extend(own[max(0, vector.get(author, 0)) :])
        for branches in self._forks.values():
            places.extend(branches)
        # The order of arrival is a causal order, and whoever has the nodes below can add them in it.
        places.sort()
        return (self._order[place] for place in places)

    def place_for(self, author: PeerId) -> Place:
        """Where `author`'s next node belongs. Beyond 64 heads the highest are named; the next node names the rest."""
        previous = self.last_of(author)
        if self.heads == (previous,):  # alone for a while, the common case
            return Place(len(self._of[author]) + 1, self.heads, previous, self.height + 1)
        parents = set(self.heads)
        if previous is not None:
            parents.add(previous)
        if len(parents) > MAX_PARENTS:
            parents = self._highest(parents, previous)
        height = 1 + max((self._nodes[parent].height for parent in parents), default=0)
        return Place(len(self._of.get(author, ())) + 1, tuple(sorted(parents)), previous, height)

    def _highest(self, parents: set[NodeHash], previous: NodeHash | None) -> set[NodeHash]:
        others = sorted(parents - {previous}, key=lambda parent: (-self._nodes[parent].height, parent))
        kept = set(others[: MAX_PARENTS - (previous is not None)])
        return kept | ({previous} if previous is not None else set())


def _admitted_by(node: Node) -> list[PeerId]:
    """The peers that a node admits; RemoteError if it founds a mesh anywhere but at the beginning."""
    admitted = []
    for index, event in enumerate(node.events):
        if isinstance(event, PeerAdmitted):
            admitted.append(event.peer)
        elif isinstance(event, MeshFounded) and (node.parents or index):
            raise RemoteError("a mesh is founded by the first event of its first node only")
    return admitted


def append(clock: Clock, key: SigningKey, *, wall_ms: int, events: Iterable[Event]) -> Node:
    """Sign these events as the key's next node, above all heads, and add it. LocalError if no peer would accept it;
    UnknownAuthor if the key's peer is no member."""
    place = clock.place_for(key.peer)
    node = encode_node(
        key,
        clock.mesh,
        seq=place.seq,
        parents=place.parents,
        previous=place.previous,
        height=place.height,
        wall_ms=wall_ms,
        events=events,
    )
    clock.add(node)
    return node
