"""What goes wrong, and when: cuts, crashes, freezes, slow disks. After `Faults.end` all is well, the dead apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.network import BEACONS, BOTH, NODES, Network
from tests.simulation.scenario import LEASE, MOMENT, Scenario, minority
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.peer import Peer

RESUME_RATE = 0.05
"""Chance that a frozen peer goes on, each moment: it sleeps for one L in the mean."""


class Weather:
    """How long things take: a disk's commit, preparing a job, a command's way to the host."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self._world = world
        self._slow = scenario.slow_commits if scenario.faults else 0.0
        self._rough = scenario.faults

    def calm(self) -> None:
        self._slow, self._rough = 0.0, False

    def commit_delay(self) -> float:
        rng = self._world.rng
        return rng.uniform(0.5, 5.0) if self._world.chance(self._slow) else rng.uniform(0.005, 0.05)

    def preparing(self) -> float:
        rng = self._world.rng
        return rng.choice((0.01, 0.01, 1.0, 4.0)) if self._rough else rng.uniform(0.01, 0.1)

    def start_delay(self) -> float:
        return self._world.rng.choice((0.0, 0.0, 0.0, 0.1, 0.3)) * LEASE if self._rough else 0.0


class Faults:
    def __init__(self, world: World, scenario: Scenario, network: Network, weather: Weather) -> None:
        self._world = world
        self._rng = world.rng
        self._scenario = scenario
        self._network = network
        self._weather = weather
        self._peers: Sequence[Peer] = ()
        self._over = False

    def begin(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        if self._scenario.faults:
            self._world.after(MOMENT, self._strike)

    def _strike(self) -> None:
        if self._over:
            return
        self._world.after(MOMENT, self._strike)
        {"all": self._cut_many, "pairs": self._cut_pairs, "one way": self._cut_one_way}[self._scenario.cuts]()
        self._crash()
        self._restart()
        self._freeze()
        self._resume()

    # Links

    def _cut_many(self) -> None:
        if not self._world.chance(0.08):
            return
        mode, links, rng = self._rng.random(), self._network.links, self._rng
        if mode < 0.35:
            sides = [rng.randrange(2) for _ in self._peers]
            self._network.set({(a, b): BOTH if sides[a] == sides[b] else 0 for a, b in links})
        elif mode < 0.6:
            pairs = {(a, b): rng.choice((BOTH, 0)) for a, b in links if a < b}
            self._network.set({(a, b): pairs[min(a, b), max(a, b)] for a, b in links})
        elif mode < 0.8:
            self._network.set({link: rng.choice((BOTH, BOTH, 0, BEACONS, NODES)) for link in links})
        else:
            self._network.set(dict.fromkeys(links, BOTH))

    def _cut_pairs(self) -> None:
        for (a, b), state in list(self._network.links.items()):
            if a < b and self._world.chance(self._scenario.cut_rate * 1.3):
                other = BOTH if state == 0 else 0
                self._network.set({(a, b): other, (b, a): other})

    def _cut_one_way(self) -> None:
        for link, state in list(self._network.links.items()):
            if self._world.chance(self._scenario.cut_rate):
                if state == BOTH:
                    other = self._rng.choice((0, 0, 0, BEACONS, NODES))
                else:
                    other = BOTH if self._world.chance(0.8) else self._rng.choice((BEACONS, NODES))
                self._network.set({link: other})

    # Peers

    def _crash(self) -> None:
        if not self._world.chance(self._scenario.crash_rate):
            return
        peer = self._rng.choice(self._peers)
        if not peer.awake or peer.suspended_at is not None:
            return
        if self._world.chance(self._scenario.machine_share):
            peer.crash_machine()
        elif self._world.chance(0.15):
            peer.crash_host()
        else:
            peer.crash_daemon()

    def _restart(self) -> None:
        for peer in self._peers:
            if not peer.up and self._world.chance(self._scenario.restart_rate):
                peer.start_daemon()

    def _freeze(self) -> None:
        if not self._world.chance(self._scenario.freeze_rate):
            return
        peer = self._rng.choice(self._peers)
        if peer.awake:
            if self._world.chance(0.3):
                peer.freeze_daemon()
            else:
                peer.suspend()

    def _resume(self) -> None:
        for peer in self._peers:
            if peer.up and not peer.awake and self._world.chance(RESUME_RATE):
                self._wake(peer)

    def _wake(self, peer: Peer) -> None:
        if peer.suspended_at is not None:
            peer.resume()
        else:
            peer.thaw_daemon()

    # The end

    def end(self) -> None:
        """A minority may die for good; everybody else comes back, and nothing goes wrong any more."""
        self._over = True
        self._network.heal()
        self._weather.calm()
        if self._scenario.faults and self._scenario.minority_dies:
            for peer in self._rng.sample(list(self._peers), minority(len(self._peers))):
                peer.die()
                peer.note("is dead for good")
        for peer in self._peers:
            if peer.up and not peer.awake:
                self._wake(peer)
            if not peer.up and not peer.dead:
                peer.start_daemon()
        self._world.note("--- all is well from here on")
