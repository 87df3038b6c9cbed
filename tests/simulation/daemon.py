"""One life of a simulated daemon: the real machine and the real clock, with a store, a host and a network around
them that behave as daemon/ does. It commits before it acts: what a batch wants done waits until its events are
durable, and a crash before that takes both away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clockmesh.coordinator.effects import Answer, Append, Effect, Extend, Forget, RunChanged, Start, Stop, Wake
from clockmesh.coordinator.errors import CoordinatorError
from clockmesh.coordinator.inputs import BeaconHeard, HostJob, Input, JobEnded, NodeAdded, Started, Ticked
from clockmesh.coordinator.machine import Machine, step
from clockmesh.protocol.beacon import Beacon
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.events import Event
from clockmesh.protocol.ids import AttemptRef, PeerId, RunId
from clockmesh.protocol.node import Node
from clockmesh.protocol.orphans import Orphans, take_in
from clockmesh.protocol.result import Result
from tests.simulation.scenario import BEACON_PERIOD, LEASE
from tests.simulation.ticking import EveryPeriod
from tests.simulation.world import Lane

if TYPE_CHECKING:
    from tests.simulation.peer import Peer

SYNC_PATIENCE = 2 * BEACON_PERIOD
"""Seconds after which an unanswered sync is asked for again."""


@dataclass(slots=True)
class Window:
    """What one commit makes durable, and what may be done after it."""

    foreign: list[Node]
    own: Node | None
    effects: list[Effect]


class Daemon:
    """Started by `Peer`; everything that happens to it comes through its lane, which dies with it."""

    def __init__(self, peer: Peer, lane: Lane) -> None:
        self.peer = peer
        self.world = peer.world
        self.lane = lane
        self.machine = Machine(peer.id, peer.mesh, beacon_period=BEACON_PERIOD, lease=LEASE,
                               calendar=EveryPeriod() if peer.ticks is not None else None)
        self.clock = Clock(peer.mesh)
        self.started = False
        self._orphans = Orphans()
        self._events: list[Event] = []
        self._effects: list[Effect] = []
        self._foreign: list[Node] = []
        self.committing: Window | None = None
        self._connection = 0
        self._host_busy_until = 0.0
        self._at_host: set[AttemptRef] = set()
        self._wake = float("inf")
        self._synced: dict[PeerId, float] = {}

    # Starting

    def reload(self) -> None:
        """Read the store, then ask the host, before anything is voted on or declared."""
        for node in self.peer.store:
            self.clock.add(node)
            self.take(NodeAdded(node))
        self.ask_host()
        self.lane.after(self.world.rng.uniform(0, BEACON_PERIOD), self._beacon)

    def ask_host(self) -> None:
        self.lane.after(0.01, self._say_hello)

    def _say_hello(self) -> None:
        self.peer.host.hello(self)

    def host_answered(
        self, connection: int, jobs: tuple[HostJob, ...], ended: tuple[tuple[AttemptRef, Result | None], ...]
    ) -> None:
        lost = self._at_host - {job.ref for job in jobs}
        self._connection = connection
        self._at_host = {job.ref for job in jobs}
        if not self.started:
            self.started = True
            self.take(Started(self.peer.incarnation, jobs))
        for ref, result in ended:
            self.job_ended(connection, ref, result)
        for ref in sorted(lost):
            self.take(JobEnded(ref, None))

    # The machine

    def take(self, fact: Input) -> None:
        """One step of the machine; what it wants is queued behind the commit that it needs."""
        if self.world.tracing:
            self._narrate(fact)
        for effect in step(self.machine, fact, self.peer.local_now()):
            match effect:
                case Append(event):
                    self._events.append(event)
                    self.peer.oracle.decided(self.peer, event)
                case Extend(ref, deadline):
                    self._command("extend", ref, deadline)
                case Stop(ref, reason):
                    self._command("stop", ref, reason)
                case Wake(at):
                    self._set_alarm(at)
                case _:
                    self._effects.append(effect)
        self._flush()

    def _narrate(self, fact: Input) -> None:
        match fact:
            case Started(incarnation, jobs):
                self.peer.note(f"daemon is up, incarnation {incarnation}, {len(jobs)} jobs at the host")
            case JobEnded(ref, None):
                self.peer.note(f"hears that {self.peer.oracle.name_of(ref)} came to nothing")

    def _set_alarm(self, at: float) -> None:
        if at < self._wake:
            self._wake = at
            self.lane.after(max(self.peer.until(at), 0.001), self._ring, at)

    def _ring(self, at: float) -> None:
        if at == self._wake:
            self._wake = float("inf")
            self.take(Ticked(self.peer.wall_ms))

    # Commits

    def _flush(self) -> None:
        if self.committing is not None:
            return
        if self._events or self._foreign:
            own = self.peer.maker.make(self.clock, self.peer.id, self._events) if self._events else None
            self.committing = Window(self._foreign, own, self._effects)
            self._events, self._foreign, self._effects = [], [], []
            self.lane.after(self.peer.weather.commit_delay(), self._committed)
        elif self._effects:
            effects, self._effects = self._effects, []
            self._perform(effects)

    def _committed(self) -> None:
        window, self.committing = self.committing, None
        assert window is not None
        self.peer.make_durable(window)
        if window.own is not None:
            self.clock.add(window.own)
            self.peer.publish([window.own])
        self._perform(window.effects)
        if window.own is not None:
            self.take(NodeAdded(window.own))
        else:
            self._flush()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Answer(token, run):
                    self.peer.oracle.answered(self.peer, token, run)
                case Start(ref):
                    self._at_host.add(ref)
                    self.lane.after(self.peer.weather.preparing(), self._prepared, ref)
                case Forget(ref):
                    self._at_host.discard(ref)
                    self._command("forget", ref)
                case RunChanged(run):
                    self.peer.oracle.look(self.peer, self.machine, run)

    # The host

    def _prepared(self, ref: AttemptRef) -> None:
        if ref not in self._at_host:
            return
        deadline = self.machine.deadline(ref, self.peer.local_now())
        if deadline is None or deadline <= self.peer.local_now():
            self._at_host.discard(ref)
            self.take(JobEnded(ref, None))
            return
        work = self.peer.workload.work_for(self.machine, ref, self.peer)
        self._command("start", ref, deadline, work, slow=self.peer.weather.start_delay())

    def _command(self, verb: str, *args: object, slow: float = 0.0) -> None:
        """Commands to the host keep their order."""
        self._host_busy_until = max(self._host_busy_until, self.world.now + slow)
        self.peer.host.lane.after(
            self._host_busy_until - self.world.now, self.peer.host.command, self._connection, verb, *args
        )

    def job_ended(self, connection: int, ref: AttemptRef, result: Result | None) -> None:
        if connection == self._connection:
            self._at_host.discard(ref)
            self.take(JobEnded(ref, result))

    # Peers

    def receive_nodes(self, sender: PeerId, nodes: tuple[Node, ...]) -> None:
        held = False
        for node in nodes:
            taken = take_in(self.clock, self._orphans, node)
            held = held or bool(taken.held)
            if taken.forks or taken.refused:
                raise AssertionError(f"a node of an honest peer was refused: {taken}")
            self._foreign += taken.added
            for added in taken.added:
                self.take(NodeAdded(added))
        if held:
            self._sync_with(sender)

    def receive_beacon(self, sender: PeerId, beacon: Beacon) -> None:
        self.take(BeaconHeard(beacon))
        if beacon.vector != self.clock.vector_digest():
            self._sync_with(sender)

    def receive_sync(self, sender: PeerId, vector: dict[PeerId, int]) -> None:
        missing = tuple(self.clock.missing_for(vector))
        if missing:
            self.peer.send_nodes(sender, missing)

    def _sync_with(self, other: PeerId) -> None:
        if self.world.now - self._synced.get(other, -SYNC_PATIENCE) >= SYNC_PATIENCE:
            self._synced[other] = self.world.now
            self.peer.send_sync(other, self.clock.vector())

    def _beacon(self) -> None:
        self.lane.after(BEACON_PERIOD / self.peer.rate, self._beacon)
        if self.started:
            beacon = self.machine.make_beacon(self.peer.local_now(), self.clock.vector_digest(), 0.0)
            self.peer.send_beacon(beacon)
            if self.peer.ticks is not None:
                self.take(Ticked(self.peer.wall_ms))

    # People

    def ask(self, wanted: Input) -> bool:
        """A request at the control socket; False when it cannot be taken."""
        if not self.started:
            return False
        try:
            self.take(wanted)
        except CoordinatorError as error:
            self.peer.note(f"refuses: {error}")
            return False
        return True

    @property
    def at_rest(self) -> bool:
        """Nothing decided waits for its commit."""
        return self.started and self.committing is None and not self._events

    def knows(self, run: RunId) -> bool:
        return run in self.machine.runs
