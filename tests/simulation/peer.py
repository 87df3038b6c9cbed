"""One simulated machine with its clock that drifts, its disk, its runner host and its daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockmesh.coordinator.inputs import Input
from clockmesh.protocol.beacon import Beacon
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.node import Node
from tests.simulation.daemon import Daemon, Window
from tests.simulation.host import Host
from tests.simulation.network import BEACONS, NODES
from tests.simulation.world import Lane

if TYPE_CHECKING:
    from tests.simulation.mesh import Mesh

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Peer:
    def __init__(self, mesh: Mesh, index: int, peer: PeerId, rate: float) -> None:
        self.index = index
        self.id = peer
        self.letter = LETTERS[index]
        self.rate = rate
        """Its seconds in one of the world's."""
        self.world = mesh.world
        self.mesh: MeshId = mesh.id
        self.maker = mesh.maker
        self.network = mesh.network
        self.weather = mesh.weather
        self.workload = mesh.workload
        self.oracle = mesh.oracle
        self.ticks = mesh.ticks
        self.store: list[Node] = list(mesh.genesis)
        """What is durable."""
        self.incarnation = 0
        self.daemon: Daemon | None = None
        self.host = Host(self, Lane(self.world))
        self.suspended_at: float | None = None
        """When the whole machine was frozen."""
        self.dead = False
        self._booted = self.world.now - self.world.rng.uniform(0, 1000)
        self._lane = Lane(self.world)

    # Its clock (CLOCK_BOOTTIME: counts on while the machine is suspended, begins anew when it boots)

    def local_now(self) -> float:
        return (self.world.now - self._booted) * self.rate

    def until(self, local: float) -> float:
        """The world's seconds from now until this time of its own; 0 when it has passed."""
        return max(0.0, (local - self.local_now()) / self.rate)

    @property
    def wall_ms(self) -> int | None:
        """What its wall clock shows, where somebody looks at it."""
        return self.ticks.wall_ms(self.index) if self.ticks is not None else None

    # Its daemon

    @property
    def up(self) -> bool:
        return self.daemon is not None

    @property
    def awake(self) -> bool:
        return self.daemon is not None and not self._lane.paused

    def start_daemon(self) -> None:
        assert self.daemon is None
        self.incarnation += 1
        self.daemon = Daemon(self, self._lane)
        self.daemon.reload()

    def crash_daemon(self) -> None:
        """kill -9. The commit under way may still have reached the disk, though nobody will act on it."""
        assert self.daemon is not None
        self.note("daemon crashes")
        window = self.daemon.committing
        if window is not None and self.world.chance(0.5):
            self.make_durable(window)
        if self.host.client is self.daemon:
            self.host.client = None
        self.daemon = None
        self._lane.cut()

    def crash_host(self) -> None:
        """The runner host ends and its jobs with it; its daemon starts another and asks that one."""
        self.note("host crashes")
        self.host.die()
        if self.daemon is not None:
            self.daemon.ask_host()

    def crash_machine(self) -> None:
        self.note("machine crashes")
        self.suspended_at = None
        if self.daemon is not None:
            self.crash_daemon()
        self.host.die()
        self._booted = self.world.now

    def die(self) -> None:
        """For good."""
        self.crash_machine()
        self.dead = True

    # Freezing

    def freeze_daemon(self) -> None:
        """The daemon's process stands still; the host and its jobs do not."""
        self.note("daemon is frozen")
        self._lane.pause()

    def thaw_daemon(self) -> None:
        self.note("daemon goes on")
        self._lane.resume()

    def suspend(self) -> None:
        self.note("is suspended")
        self.suspended_at = self.world.now
        self._lane.pause()
        self.host.lane.pause()

    def resume(self) -> None:
        """What has passed its D is killed at once: the host's timer fires."""
        assert self.suspended_at is not None
        self.note("resumes")
        slept, self.suspended_at = self.world.now - self.suspended_at, None
        self.host.thaw(slept)
        self.oracle.woke(self)
        self.host.lane.resume()
        self._lane.resume()

    # Its disk and its network

    def make_durable(self, window: Window) -> None:
        self.store += window.foreign
        if window.own is not None:
            self.store.append(window.own)
            self.oracle.written(self, window.own)

    def publish(self, nodes: list[Node]) -> None:
        for other in self.network.peers:
            if other is not self:
                self.network.send(NODES, self, other, other.nodes_arrive, self.id, tuple(nodes))

    def send_nodes(self, to: PeerId, nodes: tuple[Node, ...]) -> None:
        other = self.network.by_id[to]
        self.network.send(NODES, self, other, other.nodes_arrive, self.id, nodes)

    def send_sync(self, to: PeerId, vector: dict[PeerId, int]) -> None:
        other = self.network.by_id[to]
        self.network.send(NODES, self, other, other.sync_arrives, self.id, vector)

    def send_beacon(self, beacon: Beacon) -> None:
        for other in self.network.peers:
            if other is not self:
                self.network.send(BEACONS, self, other, other.beacon_arrives, self.id, beacon)

    def nodes_arrive(self, sender: PeerId, nodes: tuple[Node, ...]) -> None:
        if self._listens(self.nodes_arrive, sender, nodes):
            self.daemon.receive_nodes(sender, nodes)

    def sync_arrives(self, sender: PeerId, vector: dict[PeerId, int]) -> None:
        if self._listens(self.sync_arrives, sender, vector):
            self.daemon.receive_sync(sender, vector)

    def beacon_arrives(self, sender: PeerId, beacon: Beacon) -> None:
        if self._listens(self.beacon_arrives, sender, beacon):
            self.daemon.receive_beacon(sender, beacon)

    def _listens(self, arrive, *args: object) -> bool:
        """A frozen process finds some of what was sent to it when it wakes up."""
        if self.daemon is None:
            return False
        if self._lane.paused:
            if self.world.chance(0.5):
                self._lane.after(0.0, arrive, *args)
            return False
        return True

    # People

    def ask(self, wanted: Input) -> bool:
        """A request at its control socket; False when it is refused or nobody is there."""
        return self.awake and self.daemon is not None and self.daemon.ask(wanted)

    def combined_head(self) -> bytes:
        return self.daemon.clock.combined_head() if self.daemon is not None else bytes(32)

    def note(self, text: str) -> None:
        if self.world.tracing:
            self.world.note(f"{self.letter} {text}")
