"""Which secrets stand, and which members can open each: a sum of facts that comes out the same in whatever order they
came. Nothing here is a secret: values and keys are sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from clockmesh.protocol.ids import PeerId, SecretId
from clockmesh.protocol.naming import secret_id
from clockmesh.protocol.node import Node
from clockmesh.protocol.secrets import KeysShared, Kind, SecretFact, SecretRemoved, SecretSet

MAX_EARLY = 10_000
"""Shared keys kept of secrets that are not known. Honest peers make none: what they share is in their past."""

Named = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Writing:
    """The node that a fact stands in; of several the lowest (height, hash) counts. Without a hash it is this peer's own
    and not built yet."""

    author: PeerId
    height: int = 0
    hash: bytes = b""
    wall_ms: int = 0


@dataclass(slots=True)
class SecretState:
    """One name: the setting or the removal that stands."""

    rank: tuple[int, int, bytes]
    """(count, removed, id turned over): the highest stands."""
    secret: SecretId
    told: SecretSet | None
    """None: it is removed."""
    written: Writing
    shared: dict[PeerId, dict[PeerId, bytes]] = field(default_factory=dict)
    """Keys given later: for whom, by whom."""

    def boxes(self, peer: PeerId) -> list[bytes]:
        """The keys sealed to this member, its author's first."""
        sealed = [box for owner, box in self.told.sealed.keys if owner == peer] if self.told else []
        return sealed + [box for _, box in sorted(self.shared.get(peer, {}).items())]

    def can_open(self, peer: PeerId) -> bool:
        """As far as others can know."""
        return peer in self.shared or any(owner == peer for owner, _ in (self.told.sealed.keys if self.told else ()))


@dataclass(slots=True)
class Secrets:
    table: dict[Named, SecretState] = field(default_factory=dict)
    _known: set[SecretId] = field(default_factory=set)
    """Every setting that was seen, those too that do not stand."""
    _early: dict[SecretId, list[tuple[PeerId, KeysShared]]] = field(default_factory=dict)
    _early_count: int = 0

    def standing(self, kind: Kind) -> Iterator[tuple[SecretState, SecretSet]]:
        """By name."""
        for (of, _), known in sorted(self.table.items(), key=lambda item: item[0]):
            if of is kind and known.told is not None:
                yield known, known.told

    def find(self, secret: SecretId) -> SecretState | None:
        """The one that stands with this id."""
        return next((known for known in self.table.values() if known.told is not None and known.secret == secret), None)

    def add(self, author: PeerId, fact: SecretFact, node: Node | None) -> bool:
        """Count a fact; without a node it is an own decision. True where something changed."""
        writing = Writing(author) if node is None else Writing(author, node.height, node.hash, node.wall_ms)
        match fact:
            case SecretSet():
                return self._set(fact, writing)
            case SecretRemoved():
                return self._stands((fact.kind, fact.name), (fact.count, 1, b""), SecretId(b""), None, writing)
            case KeysShared():
                return self._shared(author, fact)

    def _set(self, fact: SecretSet, writing: Writing) -> bool:
        secret = secret_id(fact)
        self._known.add(secret)
        upside_down = bytes(255 - byte for byte in secret)
        changed = self._stands((fact.kind, fact.name), (fact.count, 0, upside_down), secret, fact, writing)
        early = self._early.pop(secret, [])
        self._early_count -= len(early)
        for author, shared in early:
            self._shared(author, shared)
        return changed

    def _stands(
        self, named: Named, rank: tuple[int, int, bytes], secret: SecretId, told: SecretSet | None, writing: Writing
    ) -> bool:
        known = self.table.get(named)
        if known is not None and known.rank >= rank:
            if known.rank == rank and _before(writing, known.written):
                known.written = writing
            return False
        self.table[named] = SecretState(rank, secret, told, writing)
        return True

    def _shared(self, author: PeerId, fact: KeysShared) -> bool:
        if fact.secret not in self._known:
            if self._early_count < MAX_EARLY:
                self._early_count += 1
                self._early.setdefault(fact.secret, []).append((author, fact))
            return False
        known = self.find(fact.secret)
        if known is None:
            return False  # another value stands by now
        changed = False
        for peer, box in fact.keys:
            given = known.shared.setdefault(peer, {})
            if author not in given or box < given[author]:  # of two that one author gave, the lower
                given[author] = box
                changed = True
        return changed


def _before(one: Writing, other: Writing) -> bool:
    """A built node counts above one that is not; else the lower."""
    if not one.hash or not other.hash:
        return bool(one.hash)
    return (one.height, one.hash) < (other.height, other.hash)
