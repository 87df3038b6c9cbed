"""A mesh whose course a test writes down: no chance but the small delays of a healthy network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from clockmesh.coordinator.inputs import SubmitWanted
from clockmesh.coordinator.jobs import JobState, has_quorum
from clockmesh.protocol.events import RunSubmitted
from clockmesh.protocol.ids import JobRef
from clockmesh.protocol.naming import run_id
from clockmesh.protocol.plan import Guard, PlannedJob
from tests.simulation.mesh import Mesh
from tests.simulation.network import BOTH
from tests.simulation.oracle import Runner
from tests.simulation.peer import Peer
from tests.simulation.scenario import BEACON_PERIOD, draw
from tests.simulation.workload import ONE, plan

STEP = 0.05
"""Seconds between two looks at a condition."""

TOKEN = 1_000_000


class Script(Mesh):
    """Peers A, B, C that have heard one another; jobs take a minute unless told to end."""

    def __init__(self, *, peers: int = 3, guard: Guard = Guard.QUORUM, seed: int = 1) -> None:
        scenario = replace(
            draw(seed, peers, guard, faults=False, drift=0.0), slots=(2,) * peers, failing=0.0, slow_commits=0.0
        )
        super().__init__(seed, scenario, trace=True)
        self.workload.lasting = 60.0
        self.network.slowest = 0.03
        for peer in self.peers:
            peer.start_daemon()
        self.wait(4 * BEACON_PERIOD)

    # Time

    def wait(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    def until(self, condition: Callable[[], object], patience: float = 60.0) -> None:
        """Let time pass until this holds; a test whose condition never holds fails with the trace."""
        end = self.world.now + patience
        while not condition():
            if self.world.now > end:
                raise AssertionError("it never came to pass:\n" + "\n".join(self.world.lines))
            self.wait(STEP)

    def finish(self) -> None:
        """All links up, everything to its end, every promise checked."""
        self.network.heal()
        self.workload.lasting = 1.0
        self.settle()
        self.check_end()

    # People

    def submit(self, at: Peer, jobs: Sequence[PlannedJob] = ONE) -> JobRef:
        """Submit a run; its first job."""
        wanted = SubmitWanted(
            token=TOKEN,
            plan=plan("directed", jobs),
            nonce=self.world.rng.randbytes(16),
            heads=at.combined_head(),
            guard=self.scenario.guard,
        )
        assert at.ask(wanted)
        (run,) = at.daemon.machine.runs
        return JobRef(run, jobs[0].key)

    # What is

    def job(self, peer: Peer, ref: JobRef) -> JobState | None:
        """As this peer sees it; None if it does not know the run."""
        run = peer.daemon.machine.runs.get(ref.run)
        return run.jobs[ref.key] if run else None

    def runner(self, ref: JobRef, attempt: int = 1) -> Runner | None:
        return next((runner for runner in self.oracle.running(ref) if runner.ref.attempt == attempt), None)

    def started(self, ref: JobRef, attempt: int = 1) -> Peer:
        """Wait until this attempt runs somewhere; who runs it."""
        self.until(lambda: self.runner(ref, attempt))
        return self.runner(ref, attempt).peer

    def others(self, *peers: Peer) -> list[Peer]:
        return [peer for peer in self.peers if peer not in peers]

    def claimed(self, peer: Peer, ref: JobRef, attempt: int = 1) -> bool:
        job = self.job(peer, ref)
        return job is not None and (attempt, peer.id) in job.claims

    def granted(self, ref: JobRef, attempt: int = 1) -> Peer:
        """Wait until a claimant sees a quorum's grants for this attempt; the claimant."""
        self.until(lambda: any(self._has_quorum(peer, ref, attempt) for peer in self.peers))
        return next(peer for peer in self.peers if self._has_quorum(peer, ref, attempt))

    def _has_quorum(self, peer: Peer, ref: JobRef, attempt: int) -> bool:
        job = self.job(peer, ref)
        return job is not None and has_quorum(job, attempt, peer.id)

    # Links

    def link(self, one: Peer, other: Peer, state: int = BOTH) -> None:
        """Both ways."""
        self.network.set({(one.index, other.index): state, (other.index, one.index): state})

    def isolate(self, peer: Peer, state: int = 0) -> None:
        """What still goes between this peer and all others."""
        for other in self.others(peer):
            self.link(peer, other, state)

    def tell_of_run(self, peer: Peer, ref: JobRef) -> None:
        """One node reaches a peer that nodes do not reach: the submission, and nothing of what came after."""
        teacher = next(other for other in self.others(peer) if other.daemon.knows(ref.run))
        node = next(
            node
            for node in teacher.daemon.clock
            if any(isinstance(event, RunSubmitted) and run_id(event) == ref.run for event in node.events)
        )
        peer.daemon.receive_nodes(teacher.id, (node,))
