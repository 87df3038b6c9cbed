"""Links between peers: one-way, with nodes and beacons cut apart, loss and delay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.scenario import LEASE, Scenario
from tests.simulation.world import Call, World

if TYPE_CHECKING:
    from clockmesh.protocol.ids import PeerId
    from tests.simulation.peer import Peer

BEACONS = 1
NODES = 2
BOTH = BEACONS | NODES
STATES = {0: "cut", BEACONS: "beacons only", NODES: "nodes only", BOTH: "up"}


class Network:
    def __init__(self, world: World, scenario: Scenario) -> None:
        self.world = world
        self.peers: Sequence[Peer] = ()
        self.by_id: dict[PeerId, Peer] = {}
        self.loss = scenario.loss
        self.delayed = scenario.delayed
        """Share of messages that take up to 1.5 L."""
        self.slowest = 0.3 if scenario.faults else 0.1
        """Seconds that other messages take at most."""
        self.links: dict[tuple[int, int], int] = {}

    def connect(self, peers: Sequence[Peer]) -> None:
        self.peers = peers
        self.by_id = {peer.id: peer for peer in peers}
        self.links = {(a, b): BOTH for a in range(len(peers)) for b in range(len(peers)) if a != b}

    def send(self, kind: int, sender: Peer, receiver: Peer, arrive: Call, *args: object) -> None:
        """Have `arrive` called on the receiver's side, some time later or never."""
        if not self.links[sender.index, receiver.index] & kind or self.world.chance(self.loss):
            return
        rng = self.world.rng
        long = self.world.chance(self.delayed)
        self.world.after(rng.uniform(0.1, 1.5) * LEASE if long else rng.uniform(0.01, self.slowest), arrive, *args)

    def set(self, links: dict[tuple[int, int], int]) -> None:
        """Change these links, and say so."""
        changed = {link: state for link, state in links.items() if self.links[link] != state}
        self.links.update(changed)
        if changed and self.world.tracing:
            names = [f"{self._name(link)} {STATES[state]}" for link, state in sorted(changed.items())]
            self.world.note("links: " + ", ".join(names))

    def heal(self) -> None:
        """All links up, nothing lost, nothing late (what is under way stays so)."""
        self.loss = self.delayed = 0.0
        self.set(dict.fromkeys(self.links, BOTH))

    def _name(self, link: tuple[int, int]) -> str:
        return ">".join(self.peers[index].letter for index in link)
