"""A small mesh of real machines in one memory, with time and cuts under the test's hand. Commits are instant."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from clockmesh.coordinator import runs
from clockmesh.coordinator.calendar import Calendar
from clockmesh.coordinator.effects import Append, Effect, Extend, Forget, Start, Stop
from clockmesh.coordinator.holding import Held
from clockmesh.coordinator.inputs import (
    BeaconHeard,
    HostJob,
    Input,
    JobEnded,
    NodeAdded,
    Started,
    SubmitWanted,
    Ticked,
)
from clockmesh.coordinator.jobs import JobState
from clockmesh.coordinator.machine import Machine, step
from clockmesh.protocol.codec import unsigned_node
from clockmesh.protocol.events import Description, Event, JobClaimed, MeshFounded, PeerAdmitted
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef, MeshId, NodeHash, PeerId, RunId
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Guard, Plan, PlannedJob, Snapshot
from clockmesh.protocol.reports import NO_REPORT, Report
from clockmesh.protocol.result import Conclusion, Result

MESH = MeshId(bytes(32))
LEASE = 15.0
STEP = 0.5


def peer_id(name: str) -> PeerId:
    return PeerId(sha256(name.encode()).digest())


def planned(key: str, *needs: str, **more: object) -> PlannedJob:
    return PlannedJob(JobKey(key), more.pop("job_id", key), needs, **more)  # type: ignore[arg-type]


def plan(*jobs: PlannedJob) -> Plan:
    return Plan("test", "test.yml", None, Snapshot(), "workflow_dispatch", jobs or (planned("job"),))


def done(text: str = "", conclusion: Conclusion = Conclusion.SUCCESS) -> Result:
    return Result(conclusion, (("value", text),) if text else ())


class Peer:
    """One machine with its store and its runner host."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self.mesh = mesh
        self.name = name
        self.id = peer_id(name)
        self.store: list[Node] = []
        self.incarnation = 0
        self.up = False
        self.machine = Machine(self.id, MESH, calendar=mesh.calendar)
        self.host: dict[AttemptRef, float] = {}
        """What runs, and until when."""
        self.effects: list[Effect] = []
        self.events: list[Event] = []

    def give(self, fact: Input) -> list[Effect]:
        """One step; what it appends is durable at once, what it wants done is done."""
        effects = step(self.machine, fact, self.mesh.now)
        self._perform(effects)
        return effects

    def _perform(self, effects: list[Effect]) -> None:
        self.effects += effects
        self.write([effect.event for effect in effects if isinstance(effect, Append)])
        for effect in effects:
            match effect:
                case Start(ref):
                    deadline = self.machine.deadline(ref, self.mesh.now)
                    if deadline is None:
                        self.give(JobEnded(ref, None))
                    else:
                        self.host[ref] = deadline
                        self.mesh.started(self, ref)
                case Extend(ref, deadline):
                    if ref in self.host:
                        self.host[ref] = max(deadline, self.host[ref])
                case Stop(ref, _):
                    if self.host.pop(ref, None) is not None:
                        self.give(JobEnded(ref, None))

    def write(self, events: list[Event]) -> None:
        """These events become this peer's next node."""
        if not events:
            return
        self.events += events
        own = [node for node in self.store if node.author == self.id]
        named = {parent for node in self.store for parent in node.parents}
        heads = [node for node in self.store if node.hash not in named]
        node = unsigned_node(
            self.id,
            seq=len(own) + 1,
            parents={node.hash for node in [*heads, *own[-1:]]},
            previous=own[-1].hash if own else None,
            height=max((head.height for head in heads), default=0) + 1,
            wall_ms=round(self.mesh.now * 1000),
            events=events,
        )
        self.add(node)

    def add(self, node: Node) -> None:
        self.store.append(node)
        self._perform(step(self.machine, NodeAdded(node), self.mesh.now))

    def start(self) -> None:
        """The daemon starts, on what its store and its host have."""
        self.up = True
        self.incarnation += 1
        self.machine = Machine(self.id, MESH, calendar=self.mesh.calendar)
        for node in self.store:
            step(self.machine, NodeAdded(node), self.mesh.now)
        self.give(Started(self.incarnation, tuple(HostJob(ref, until) for ref, until in self.host.items())))

    def crash(self, *, machine: bool = False) -> None:
        self.up = False
        if machine:
            self.host.clear()

    def claim(self, job: JobRef, attempt: int) -> AttemptRef:
        """Claim whether rule 1 and the take rule would or not: any claim is allowed as far as voters can know."""
        ref = AttemptRef(*job, attempt)
        self.machine.held[job] = Held(ref, self.mesh.now)
        self.machine.out, self.machine.after = [], []
        self.machine.decide(JobClaimed(*ref, self.incarnation))
        self._perform([*self.machine.out])
        self.give(Ticked())
        return ref

    def finish(self, ref: AttemptRef, result: Result, report: Report = NO_REPORT) -> None:
        del self.host[ref]
        self.give(JobEnded(ref, result, report))

    def job(self, ref: JobRef) -> JobState:
        found = self.machine.state.job(ref)
        assert found is not None
        return found

    def said(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def did(self, kind: type) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


class Mesh:
    def __init__(
        self, names: str = "ABC", slots: int = 2, runners: str | None = None, calendar: Calendar | None = None
    ) -> None:
        """Peers that are no `runners` have no slots: they vote and run nothing. With a calendar the wall clocks are
        told too."""
        self.calendar = calendar
        self.epoch_ms = 0
        """What wall clocks show at time 0."""
        self.skews: dict[str, float] = {}
        """Seconds by which a peer's wall clock is ahead."""
        self.now = 100.0
        self.cuts: set[tuple[str, str, str]] = set()
        self.overlaps: list[str] = []
        self.starts: list[tuple[str, int]] = []
        self.peers = {name: Peer(self, name) for name in names}
        first, *others = self.peers.values()
        told = {name: Description(name, slots if runners is None or name in runners else 0) for name in names}
        facts: list[Event] = [MeshFounded(bytes(16), told[first.name])]
        facts += [PeerAdmitted(other.id, told[other.name]) for other in others]
        root = unsigned_node(first.id, seq=1, parents=(), previous=None, height=1, wall_ms=0, events=facts)
        for peer in self.peers.values():
            peer.store.append(root)
            peer.start()
        self.beat()

    def wall_ms(self, name: str) -> int:
        return self.epoch_ms + round((self.now + self.skews.get(name, 0.0)) * 1000)

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    def cut(self, sender: str, receiver: str, *, kinds: str = "nb") -> None:
        """No nodes (n) or beacons (b) this way any more."""
        self.cuts |= {(sender, receiver, kind) for kind in kinds}

    def part(self, one: str, other: str) -> None:
        for a in one:
            for b in other:
                self.cut(a, b)
                self.cut(b, a)

    def heal(self) -> None:
        self.cuts.clear()

    def _links(self, kind: str) -> Iterable[tuple[Peer, Peer]]:
        for a in self.peers.values():
            for b in self.peers.values():
                if a is not b and a.up and b.up and (a.name, b.name, kind) not in self.cuts:
                    yield a, b

    def beat(self) -> None:
        """Everybody sends a beacon."""
        beacons = {
            peer.name: peer.machine.make_beacon(self.now, bytes(32), 0.0) for peer in self.peers.values() if peer.up
        }
        for sender, receiver in list(self._links("b")):
            receiver.give(BeaconHeard(beacons[sender.name]))

    def sync(self) -> None:
        """Nodes travel until everybody has what its links can bring."""
        moved = True
        while moved:
            moved = False
            for sender, receiver in list(self._links("n")):
                known = {node.hash for node in receiver.store}
                for node in [node for node in sender.store if node.hash not in known]:
                    receiver.add(node)
                    moved = True

    def advance(self, seconds: float) -> None:
        """Time passes: beacons each second, nodes at once, hosts kill at D."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            for peer in self.peers.values():
                for ref, until in list(peer.host.items()):
                    if until <= self.now:
                        del peer.host[ref]
                        if peer.up:
                            peer.give(JobEnded(ref, None))
            for peer in self.peers.values():
                if peer.up:
                    peer.give(Ticked(self.wall_ms(peer.name) if self.calendar else None))
            if self.now % 1.0 == 0.0:
                self.beat()
            self.sync()

    def started(self, peer: Peer, ref: AttemptRef) -> None:
        self.starts.append((peer.name, ref.attempt))
        others = [
            f"{other.name} attempt {held.attempt}"
            for other in self.peers.values()
            for held in other.host
            if other is not peer and held.job == ref.job
        ]
        if others:
            self.overlaps.append(f"{peer.name} attempt {ref.attempt} beside {', '.join(others)}")

    def submit(self, name: str, wanted: Plan | None = None, guard: Guard | None = None, priority: float = 5.0) -> RunId:
        peer = self.peers[name]
        before = set(peer.machine.runs)
        nonce = sha256(f"{name}{self.now}{len(before)}".encode()).digest()[:16]
        peer.give(SubmitWanted(1, wanted or plan(), nonce, NodeHash(bytes(32)), priority, guard))
        (run,) = set(peer.machine.runs) - before
        return run

    def finals(self, job: JobRef) -> set[bytes]:
        """Every final result that any peer knows of, duplicates too."""
        found = set()
        for peer in self.peers.values():
            state = peer.machine.state.job(job)
            if state is not None and state.final is not None:
                found |= {state.final.hash, *(other.hash for other in state.duplicates)}
        return found

    def over(self, run: RunId, name: str = "A") -> bool:
        return runs.over(self.peers[name].machine.runs[run])


def nobody_takes(machine: Machine, now: float) -> bool:
    """In place of the take rule, where a test says itself who claims."""
    return False


__all__ = ["LEASE", "Forget", "Mesh", "Peer", "done", "nobody_takes", "peer_id", "plan", "planned"]
