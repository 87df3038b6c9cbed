"""One schedule: a mesh of simulated peers from its founding to the time when all is done, or should be."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from clockmesh.coordinator.inputs import NodeAdded
from clockmesh.coordinator.machine import Machine, step
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import JobRef
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Guard
from tests.simulation import hints, nodes
from tests.simulation.faults import Faults, Weather
from tests.simulation.network import Network
from tests.simulation.oracle import Oracle
from tests.simulation.peer import LETTERS, Peer
from tests.simulation.reading import difference, shown
from tests.simulation.scenario import BEACON_PERIOD, CHAOS, LEASE, MOMENT, PATIENCE, Scenario
from tests.simulation.ticking import Ticks, draw_ticking
from tests.simulation.workload import TOOL, Workload
from tests.simulation.world import Violation, World

AFTERMATH = 1.25 * LEASE
"""Seconds watched after everything is final: nothing may start any more."""

ORDERS = 2
"""Random causal orders of all nodes that are reduced again at the end of some schedules."""


@dataclass(slots=True)
class Outcome:
    seed: int
    violation: Violation | None = None
    lines: list[str] = field(default_factory=list)
    jobs: int = 0
    claims: int = 0
    starts: int = 0
    finals: int = 0
    duplicates: int = 0
    """Starts of a job beyond its first."""
    seconds: float = 0.0
    ticks: int = 0


class Mesh:
    def __init__(self, seed: int, scenario: Scenario, *, trace: bool = False, ticks: bool = False) -> None:
        """`ticks`: a schedule goes on beside what else is wanted."""
        self.seed = seed
        self.scenario = scenario
        self.world = World(seed, trace=trace)
        self.maker = nodes.NodeMaker(b"%d" % seed)
        self.network = Network(self.world, scenario)
        self.weather = Weather(self.world, scenario)
        self.workload = Workload(self.world, scenario)
        self.ticks = Ticks(self.world, scenario, draw_ticking(seed, scenario.peers)) if ticks else None
        self.oracle = Oracle(self.world, scenario, self.workload, self.ticks)
        self.faults = Faults(self.world, scenario, self.network, self.weather)
        ids = nodes.peer_ids(scenario.peers)
        self.world.rng.shuffle(ids)
        self.id = nodes.mesh_of(ids[0])
        described = [(peer, self._description(index)) for index, peer in enumerate(ids)]
        self.genesis: list[Node] = nodes.founding(self.maker, described)
        self.oracle.letters = {peer: LETTERS[index] for index, peer in enumerate(ids)}
        self.peers = [Peer(self, index, peer, scenario.rates[index]) for index, peer in enumerate(ids)]
        self.network.connect(self.peers)

    def _description(self, index: int) -> Description:
        labels = (TOOL,) if index in self.scenario.tooled else ()
        return Description(f"peer-{LETTERS[index].lower()}", self.scenario.slots[index], labels)

    # Its course

    def run(self) -> Outcome:
        """Live through the schedule; a violation ends it."""
        violation = None
        try:
            with hints.ignored(self.world, self.scenario.eager):
                self.begin()
                if self.scenario.faults:
                    self.world.run_until(CHAOS)
            self.faults.end()
            self.settle()
            self.check_end()
            if not self.scenario.faults and self.scenario.guard is Guard.QUORUM:
                self._check_no_duplicates()
        except Violation as found:
            violation = found
        except Exception:  # whatever breaks is a finding, and needs its seed and its trace
            violation = Violation("broken", traceback.format_exc())
        if violation is not None:
            self.world.note(f"*** VIOLATION {violation}")
        return self._outcome(violation)

    def begin(self) -> None:
        for peer in self.peers:
            peer.start_daemon()
        if not self.scenario.faults:
            self.world.run_until(4 * BEACON_PERIOD)
        self.workload.begin(self.peers)
        if self.ticks is not None:
            self.ticks.begin(self.peers)
        self.faults.begin(self.peers)

    def settle(self) -> None:
        """Health lasts until everything is done, and a while longer."""
        healed = self.world.now
        if self.ticks is not None:
            self.world.run_until(self.world.now + 4 * LEASE)
            self._wait_for(self.ticks.end, healed)
        self._wait_for(self._done, healed)
        self.world.run_until(self.world.now + AFTERMATH)
        self._wait_for(self._done, healed)

    def _wait_for(self, condition: Callable[[], bool], healed: float) -> None:
        while not condition():
            if self.world.now >= healed + PATIENCE:
                raise Violation("stuck", self._unfinished())
            self.world.run_until(self.world.now + MOMENT)
            self.oracle.check_overlaps_end(healed)

    @property
    def living(self) -> list[Peer]:
        return [peer for peer in self.peers if not peer.dead]

    def _done(self) -> bool:
        return self._agreed() and self.workload.all_accepted() and not self._open_jobs()

    def _agreed(self) -> bool:
        """All have the same nodes, and nobody is about to write one."""
        daemons = [peer.daemon for peer in self.living if peer.daemon is not None and peer.daemon.at_rest]
        clocks = {daemon.clock.vector_digest() for daemon in daemons}
        return len(daemons) == len(self.living) and len(clocks) == 1

    def _open_jobs(self) -> list[tuple[Peer, JobRef]]:
        return [
            (peer, JobRef(run.run, key))
            for peer in self.living
            if peer.daemon is not None
            for run in peer.daemon.machine.runs.values()
            for key in run.open
        ]

    def _unfinished(self) -> str:
        jobs = sorted({f"{self.oracle.job_name(job)} at {peer.letter}" for peer, job in self._open_jobs()})
        if jobs:
            return f"no final result after {PATIENCE:.0f} s of health: {', '.join(jobs)}"
        if not self.workload.all_accepted():
            return "a submission was never accepted"
        return "the peers' clocks never became equal"

    # Its end

    def check_end(self) -> None:
        self._check_nothing_lost()
        self._check_views()
        self._check_finals()
        if self.ticks is not None:
            self.ticks.check(self.living[0])
        if self.seed % 5 == 0:
            self._check_orders()

    def _check_nothing_lost(self) -> None:
        """What was accepted is known to all, unless it died with the only peer that had it."""
        for request in self.workload.requests.values():
            missing = [peer.letter for peer in self.living if not peer.daemon.knows(request.run)]
            if request.run is not None and missing and not request.peer.dead:
                raise Violation("lost", f"run {request.name}, accepted by {request.peer.letter}, is not at {missing}")

    def _check_views(self) -> None:
        """Peers with the same nodes show the same."""
        (first, machine), *others = ((peer.letter, peer.daemon.machine) for peer in self.living)
        expected = shown(machine)
        for letter, other in others:
            if differs := difference(expected, shown(other)):
                raise Violation("diverged", f"{first} and {letter} have the same nodes, but {differs}")

    def _check_finals(self) -> None:
        """What they show is what the nodes say that the living have: a result that only a dead peer had is gone."""
        daemon = self.living[0].daemon
        judge = Oracle(World(0), self.scenario, self.workload, None)
        for node in daemon.clock:
            judge.written(self.living[0], node)
        for run in daemon.machine.runs.values():
            for job in (run.jobs[key] for key in run.planned):
                name = self.oracle.name_of(job.attempt(job.final.attempt))
                if (job.final.attempt, job.final.hash) != judge.standing(job.ref):
                    raise Violation("wrong_final", f"{name} stands")
                if {other.hash for other in job.duplicates} != judge.results_of(job.ref) - {job.final.hash}:
                    raise Violation("silent_duplicate", f"beside {name}")

    def _check_no_duplicates(self) -> None:
        for job, starts in self.oracle.starts.items():
            if starts > 1:
                raise Violation("duplicate", f"{job.key} was started {starts} times without any fault")

    def _check_orders(self) -> None:
        """The same nodes in other causal orders give the same state."""
        peer = self.living[0]
        expected = shown(peer.daemon.machine)
        for _ in range(ORDERS):
            machine = Machine(peer.id, self.id, beacon_period=BEACON_PERIOD, lease=LEASE)
            for node in self._shuffled(list(peer.daemon.clock)):
                step(machine, NodeAdded(node), 0.0)
            if differs := difference(expected, shown(machine)):
                raise Violation("order", f"the same nodes in another causal order: {differs}")

    def _shuffled(self, order: list[Node]) -> list[Node]:
        """A random linear extension."""
        waiting = Counter({node.hash: len(node.parents) for node in order})
        children: dict[bytes, list[Node]] = {}
        for node in order:
            for parent in node.parents:
                children.setdefault(parent, []).append(node)
        ready, result = [node for node in order if not node.parents], []
        while ready:
            node = ready.pop(self.world.rng.randrange(len(ready)))
            result.append(node)
            for child in children.get(node.hash, ()):
                waiting[child.hash] -= 1
                if not waiting[child.hash]:
                    ready.append(child)
        return result

    def _outcome(self, violation: Violation | None) -> Outcome:
        oracle = self.oracle
        return Outcome(
            seed=self.seed,
            violation=violation,
            lines=self.world.lines,
            jobs=len(oracle.claims),
            claims=sum(oracle.claims.values()),
            starts=sum(oracle.starts.values()),
            finals=len(oracle.finals),
            duplicates=sum(count - 1 for count in oracle.starts.values()),
            seconds=self.world.now,
            ticks=self.ticks.runs if self.ticks is not None else 0,
        )
