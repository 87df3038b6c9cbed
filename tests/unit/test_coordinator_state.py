"""The state is a sum of facts: it comes out the same in whatever order nodes came, however often they are counted."""

from __future__ import annotations

import random

import pytest

from clockmesh.coordinator.inputs import NodeAdded
from clockmesh.coordinator.machine import Machine, step
from clockmesh.coordinator.state import MAX_EARLY, State, add_event, add_node
from clockmesh.protocol.codec import unsigned_node
from clockmesh.protocol.events import ClaimGranted, JobClaimed, ResultAccepted, ResultProposed, UnknownEvent
from clockmesh.protocol.ids import JobKey, JobRef, RunId
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Guard
from tests.unit.coordinator_mesh import MESH, Mesh, done, peer_id, plan, planned


def facts(state: State) -> object:
    """All that the state has summed up."""
    runs = {
        run: (
            known.carrier, known.plan, known.planned, set(known.open), known.cancel_asked,
            {
                key: (job.claims, job.grants, job.votes, job.ended, job.results, job.accepts, job.final, job.duplicates)
                for key, job in known.jobs.items()
            },
        )
        for run, known in state.runs.items()
    }
    busy = {peer: set(claims) for peer, claims in state.busy.items()}
    return runs, state.members.table, busy, set(state.unfinished), state.height


def another_order(nodes: list[Node], seed: int) -> list[Node]:
    """The same nodes, parents before children, drawn anew."""
    rng, left, order, known = random.Random(seed), list(nodes), [], set()
    while left:
        ready = [node for node in left if known.issuperset(node.parents)]
        node = rng.choice(ready)
        left.remove(node)
        order.append(node)
        known.add(node.hash)
    return order


def busy_mesh(guard: Guard, seed: int) -> Mesh:
    """A mesh that has lived through cuts, a crash and contention."""
    rng = random.Random(seed)
    mesh = Mesh("ABC")
    for round_ in range(6):
        for _ in range(2):
            name = rng.choice([name for name in "ABC" if mesh[name].up])
            mesh.submit(name, plan(planned("a"), planned("b", "a")), guard)
        if round_ % 2 == 0:
            mesh.part(*rng.choice([("A", "BC"), ("B", "AC"), ("C", "AB")]))
        mesh.advance(rng.choice([1.0, 3.0, 9.0]))
        for peer in mesh.peers.values():
            for ref in list(peer.host):
                if peer.up and ref in peer.host and rng.random() < 0.7:
                    peer.finish(ref, done(f"{peer.name}{ref.attempt}"))
        if round_ == 2:
            mesh["B"].crash(machine=True)
        if round_ == 4:
            mesh["B"].start()
        mesh.heal()
        mesh.advance(1.0)
    return mesh


@pytest.mark.parametrize("guard", list(Guard))
@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_the_same_nodes_gives_the_same_state(guard: Guard, seed: int) -> None:
    mesh = busy_mesh(guard, seed)
    states = [facts(peer.machine.state) for peer in mesh.peers.values()]
    assert states[0] == states[1] == states[2]
    for order in (another_order(mesh["A"].store, number) for number in range(5)):
        state = State()
        for node in order:
            add_node(state, node)
        assert facts(state) == states[0]
        for node in order:
            add_node(state, node)
        assert facts(state) == states[0], "counting a node again changes nothing"


def test_a_machine_reloaded_from_its_store_says_what_it_said() -> None:
    mesh = busy_mesh(Guard.QUORUM, 1)
    machine = Machine(mesh["A"].id, MESH)
    for node in mesh["A"].store:
        assert not [effect for effect in step(machine, NodeAdded(node), 0.0) if type(effect).__name__ != "RunChanged"]
    assert facts(machine.state) == facts(mesh["A"].machine.state)


def submission() -> tuple[Mesh, RunId, JobRef]:
    mesh = Mesh(runners="")
    run = mesh.submit("A")
    mesh.sync()
    return mesh, run, JobRef(run, JobKey("job"))


def test_facts_about_a_run_that_is_not_known_yet_wait_for_it() -> None:
    mesh, run, job = submission()
    event = mesh["A"].machine.runs[run].submission
    early, late = State(), State()
    claim = JobClaimed(*job, 1, 1)
    grants = [ClaimGranted(*job, 1, peer_id("A")) for _ in "AB"]
    for name, fact in zip("AAB", [claim, *grants], strict=True):
        add_event(early, peer_id(name), fact)
    add_event(early, peer_id("A"), event)
    add_event(late, peer_id("A"), event)
    for name, fact in zip("AAB", [claim, *grants], strict=True):
        add_event(late, peer_id(name), fact)
    assert facts(early) == facts(late)
    assert len(early.job(job).grants[1, peer_id("A")]) == 2
    assert early.early_count == 0


def test_what_waits_for_unknown_runs_is_bounded() -> None:
    state = State()
    for number in range(MAX_EARLY + 10):
        add_event(state, peer_id("X"), JobClaimed(RunId(bytes(32)), JobKey("job"), number + 1, 1))
    assert sum(map(len, state.early.values())) == MAX_EARLY


def test_of_a_voters_contradicting_grants_the_first_counts() -> None:
    mesh, _, job = submission()
    state = mesh["A"].machine.state
    for claimant in "BC":
        add_event(state, peer_id("A"), ClaimGranted(*job, 1, peer_id(claimant)))
    assert set(state.job(job).grants) == {(1, peer_id("B"))}


def test_votes_of_peers_outside_the_electorate_count_for_nothing() -> None:
    mesh, _, job = submission()
    state = mesh["A"].machine.state
    for name in "AX":
        add_event(state, peer_id(name), ClaimGranted(*job, 1, peer_id("A")))
    assert list(state.job(job).grants[1, peer_id("A")]) == [peer_id("A")]


def test_a_result_counts_only_with_the_grants_of_a_quorum_behind_it() -> None:
    mesh, _, job = submission()
    state = mesh["A"].machine.state
    add_event(state, peer_id("A"), ClaimGranted(*job, 1, peer_id("C")))
    add_event(state, peer_id("C"), ResultProposed(*job, 1, done()))
    proposal = state.job(job).results[1, peer_id("C")]
    for name in "AB":
        add_event(state, peer_id(name), ResultAccepted(*job, 1, proposal.hash))
    assert state.job(job).final is None
    add_event(state, peer_id("B"), ClaimGranted(*job, 1, peer_id("C")))
    assert state.job(job).final.hash == proposal.hash


def test_a_final_needs_a_quorum_of_accepts_of_the_same_attempt() -> None:
    mesh, _, job = submission()
    state = mesh["A"].machine.state
    for attempt in (1, 2):
        for name in "AB":
            add_event(state, peer_id(name), ClaimGranted(*job, attempt, peer_id("C")))
        add_event(state, peer_id("C"), ResultProposed(*job, attempt, done()))
    proposal = state.job(job).results[1, peer_id("C")]
    add_event(state, peer_id("A"), ResultAccepted(*job, 1, proposal.hash))
    add_event(state, peer_id("B"), ResultAccepted(*job, 2, proposal.hash))
    assert state.job(job).final is None
    add_event(state, peer_id("A"), ResultAccepted(*job, 2, proposal.hash))
    assert state.job(job).final.attempt == 2


def test_unknown_events_and_strange_jobs_are_borne() -> None:
    mesh, run, _ = submission()
    peer = mesh["A"]
    peer.write([UnknownEvent(999, 7, b"\x90"), JobClaimed(run, JobKey("no such job"), 1, 1)])
    peer.write([ClaimGranted(run, JobKey("no such job"), 1, peer.id)])
    mesh.advance(20.0)
    assert not mesh.over(run)


def test_an_own_submission_takes_its_place_when_its_node_comes() -> None:
    mesh, run, _ = submission()
    for name in "ABC":
        known = mesh[name].machine.runs[run]
        assert (known.carrier.height, known.provisional) == (2, False)
    again = unsigned_node(
        peer_id("B"), seq=1, parents=[], previous=None, height=1, wall_ms=5, events=[known.submission]
    )
    mesh["B"].add(again)
    assert mesh["B"].machine.runs[run].carrier.submitter == peer_id("B"), "re-issued below: the lowest carries it"
