"""Who belongs to the mesh, and by which name each is shown. Independent of the order in which facts came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import PeerId


@dataclass(frozen=True, slots=True)
class Member:
    peer: PeerId
    description: Description
    name: str
    """As it is shown: unique in the mesh."""

    def offers(self, labels: Iterable[str]) -> bool:
        """It may run a job that needs these labels."""
        return self.description.slots > 0 and set(labels) <= set(self.description.labels)


@dataclass(slots=True)
class Members:
    table: dict[PeerId, Member] = field(default_factory=dict)
    """By peer id, sorted."""
    version: int = 0
    """Counts the changes of `table`."""
    redeemed: set[tuple[PeerId, bytes]] = field(default_factory=set)
    """(inviter, invitation)."""
    _admitted: dict[PeerId, dict[PeerId, Description]] = field(default_factory=dict)
    """By peer, and by who admitted it."""
    _described: dict[PeerId, Description] = field(default_factory=dict)

    def admit(self, inviter: PeerId, peer: PeerId, description: Description) -> bool:
        """Count an admission. True if it changed anything; a second one by the same inviter does not."""
        if inviter in self._admitted.setdefault(peer, {}):
            return False
        self._admitted[peer][inviter] = description
        return self._rebuild()

    def describe(self, peer: PeerId, description: Description) -> bool:
        """A peer's own word stands above its admission, its later word above its earlier."""
        if self._described.get(peer) == description:
            return False
        self._described[peer] = description
        return self._rebuild()

    def _rebuild(self) -> bool:
        described = {
            peer: self._described.get(peer) or by_inviter[min(by_inviter)]
            for peer, by_inviter in sorted(self._admitted.items())
        }
        names = unique_names({peer: description.name for peer, description in described.items()})
        table = {peer: Member(peer, description, names[peer]) for peer, description in described.items()}
        if table == self.table:
            return False
        self.table = table
        self.version += 1
        return True


def unique_names(wanted: dict[PeerId, str]) -> dict[PeerId, str]:
    """A name for each peer, different without regard to case: of two that want one, the lower peer id has it and the
    other is shown as `name-2`."""
    names: dict[PeerId, str] = {}
    taken: set[str] = set()
    late = []
    for peer in sorted(wanted):
        name = wanted[peer]
        if name.casefold() in taken:
            late.append(peer)
        else:
            taken.add(name.casefold())
            names[peer] = name
    for peer in late:
        name = next(
            name for count in range(2, len(wanted) + 2) if (name := f"{wanted[peer]}-{count}").casefold() not in taken
        )
        taken.add(name.casefold())
        names[peer] = name
    return names
