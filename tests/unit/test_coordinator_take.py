"""Who takes which job when: ownership when all is well, and no idling when it is not."""

from __future__ import annotations

from collections import Counter

import pytest

from clockmesh.coordinator import ranks, runs, take
from clockmesh.coordinator.effects import Start, Wake
from clockmesh.coordinator.holding import Held
from clockmesh.coordinator.inputs import CancelWanted, JobEnded, RoomTold, Ticked
from clockmesh.protocol.events import AttemptEnded, ClaimGranted, Description, Ending, JobClaimed, PeerAdmitted
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef, RunId
from clockmesh.protocol.limits import MAX_ATTEMPT
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.result import Conclusion
from tests.unit.coordinator_mesh import Mesh, done, peer_id, plan, planned


def order(mesh: Mesh, run: RunId, key: str = "job", attempt: int = 1) -> list[str]:
    """Names of the peers by rank."""
    machine = next(iter(mesh.peers.values())).machine
    return [machine.name_of(entry.peer) for entry in ranks.ranked(machine, AttemptRef(run, JobKey(key), attempt))]


def test_healthy_peers_run_what_they_own_and_nobody_claims_beside_them() -> None:
    mesh = Mesh(slots=100)
    owned: Counter[str] = Counter()
    for _ in range(60):
        run = mesh.submit("A")
        mesh.sync()
        owned[order(mesh, run)[0]] += 1
        mesh.now += 0.01
    assert Counter(name for name, _ in mesh.starts) == owned
    assert sum(len(peer.said(JobClaimed)) for peer in mesh.peers.values()) == 60


def submit_ranked(mesh: Mesh, rank: int, name: str) -> RunId:
    """Submit at A until a run's job has this peer at this rank."""
    while True:
        mesh.now += 0.001
        run = mesh.submit("A")
        if order(mesh, run)[rank] == name:
            return run


def test_a_dead_owners_job_goes_to_the_next_at_once() -> None:
    mesh = Mesh(slots=100)
    mesh.advance(6.0)
    mesh["C"].crash()
    mesh.advance(5.0)
    run = submit_ranked(mesh, 0, "C")
    mesh.sync()
    taker = order(mesh, run)[1]
    assert [event.attempt for event in mesh[taker].said(JobClaimed) if event.run == run] == [1]


def test_a_busy_owners_job_goes_to_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(slots=100)
    mesh.advance(6.0)
    real = take.free_slots
    monkeypatch.setattr(
        take, "free_slots", lambda machine, peer: 0 if peer == mesh["C"].id else real(machine, peer)
    )
    mesh["C"].machine.held = {JobRef(RunId(bytes([n]) * 32), JobKey("x")): Held(None, 0.0, True) for n in range(100)}
    run = submit_ranked(mesh, 0, "C")
    mesh.sync()
    taker = order(mesh, run)[1]
    assert run in {held.run for held in mesh[taker].host}


def test_a_slow_owner_is_waited_for_half_a_second_a_rank() -> None:
    mesh = Mesh(slots=100)
    mesh.advance(6.0)
    run = submit_ranked(mesh, 2, "A")
    claimed = [event for event in mesh["A"].said(JobClaimed) if event.run == run]
    assert claimed == []
    assert mesh["A"].did(Wake)[-1].at <= mesh.now + take.RANK_DELAY
    mesh.now += 2 * take.RANK_DELAY
    mesh["A"].give(Ticked())
    assert [event for event in mesh["A"].said(JobClaimed) if event.run == run]


def test_a_peer_never_has_more_jobs_than_slots() -> None:
    mesh = Mesh("A", slots=2)
    mesh.submit("A", plan(*(planned(f"j{number}") for number in range(5))))
    peer = mesh["A"]
    assert len(peer.host) == 2
    assert peer.machine.free == 0
    peer.finish(next(iter(peer.host)), done())
    assert len(peer.host) == 2
    assert len(peer.did(Start)) == 3


def test_a_voter_without_slots_votes_and_runs_nothing() -> None:
    mesh = Mesh(runners="C")
    run = mesh.submit("A")
    mesh.sync()
    assert mesh.starts == [("C", 1)]
    assert order(mesh, run) == ["C"]


def test_lower_priority_numbers_go_first_then_the_older() -> None:
    mesh = Mesh("A", slots=1)
    peer = mesh["A"]
    runs_ = [mesh.submit("A", priority=priority) for priority in (5.0, 6.0, 5.0, 1.0)]
    while peer.host:
        peer.finish(next(iter(peer.host)), done())
    assert [effect.ref.run for effect in peer.did(Start)] == [runs_[0], runs_[3], runs_[2], runs_[1]]


def test_labels_must_be_offered() -> None:
    mesh = Mesh("A", slots=1)
    run = mesh.submit("A", plan(planned("job", labels=("gpu",))))
    assert mesh.starts == []
    mesh["A"].write([PeerAdmitted(peer_id("G"), Description("G", 1, ("gpu", "linux")))])
    assert order(mesh, run) == ["G"]
    assert mesh.starts == []


def test_nobody_claims_while_a_majority_of_the_electorate_is_away() -> None:
    mesh = Mesh()
    mesh.part("A", "BC")
    mesh.advance(6.0)
    run = mesh.submit("A")
    mesh.advance(20.0)
    assert mesh["A"].said(JobClaimed) == []
    mesh.heal()
    mesh.advance(3.0)
    assert [held.run for peer in mesh.peers.values() for held in peer.host] == [run]


def test_a_dead_holders_job_moves_within_a_lease() -> None:
    mesh = Mesh()
    run = mesh.submit("A")
    mesh.sync()
    name = mesh.starts[0][0]
    mesh.advance(3.0)
    mesh[name].crash(machine=True)
    at = mesh.now
    while len(mesh.starts) < 2:
        mesh.advance(0.5)
    assert 14.0 <= mesh.now - at <= 16.0
    assert mesh.starts[1][1] == 2
    assert mesh.overlaps == []
    survivor = mesh.starts[1][0]
    mesh[survivor].finish(AttemptRef(run, JobKey("job"), 2), done())
    mesh.sync()
    assert mesh.over(run, survivor)


def test_peers_that_all_claim_at_once_agree_in_the_end() -> None:
    mesh = Mesh("ABCDE")
    for name in mesh.peers:
        mesh.part(name, "".join(set(mesh.peers) - {name}))
    run = mesh.submit("A")
    job = JobRef(run, JobKey("job"))
    for name in "BCDE":
        mesh[name].add(mesh["A"].store[1])
    for name in mesh.peers:
        if job not in mesh[name].machine.held:
            mesh[name].claim(job, 1)
    mesh.heal()
    mesh.advance(5.0)
    assert len(mesh.starts) == 1
    assert mesh.overlaps == []
    released = [event for peer in mesh.peers.values() for event in peer.said(AttemptEnded)]
    assert {event.how for event in released} == {Ending.RELEASED}


@pytest.mark.parametrize("losses", [1, 2, 6])
def test_a_job_that_cannot_start_is_tried_ever_more_slowly(losses: int) -> None:
    mesh = Mesh("A")
    run = mesh.submit("A", guard=Guard.LEASE)
    peer = mesh["A"]
    for number in range(1, losses + 1):
        ref = AttemptRef(run, JobKey("job"), number)
        while ref not in peer.host:
            mesh.advance(0.5)
        del peer.host[ref]
        peer.give(JobEnded(ref, None))
    assert (len(peer.host) == 1) == (losses <= take.FREE_LOSSES)


def test_own_jobs_come_before_those_that_living_peers_are_nearer_to() -> None:
    mesh = Mesh(slots=1)
    mesh.advance(6.0)
    mesh["B"].up = mesh["C"].up = False
    peer = mesh["A"]
    runs_ = [mesh.submit("A") for _ in range(12)]
    for _ in range(3):  # all may be taken by rank now
        mesh.now += 0.6
        peer.give(Ticked())
    waiting = [run for run in runs_ if JobRef(run, JobKey("job")) not in peer.machine.held]
    first = peer.machine.offers.heap.find_min().value.run
    assert order(mesh, first)[0] == "A" or all(order(mesh, run)[0] != "A" for run in waiting)


def test_a_cancelled_job_that_no_member_could_run_is_ended_by_one_of_them() -> None:
    mesh = Mesh()
    mesh.advance(6.0)
    run = mesh.submit("A", plan(planned("job", labels=("macos-latest",))))
    mesh.advance(2.0)
    assert mesh.starts == []
    mesh["A"].give(CancelWanted(1, run))
    mesh.sync()
    mesh.advance(2.0)
    holders = [peer for peer in mesh.peers.values() if run in {held.run for held in peer.host}]
    assert len(holders) == 1, "one peer holds it, to say that it is cancelled"
    holders[0].finish(AttemptRef(run, JobKey("job"), 1), done(conclusion=Conclusion.CANCELLED))
    mesh.sync()
    assert all(runs.conclusion(peer.machine.runs[run]) is Conclusion.CANCELLED for peer in mesh.peers.values())


def test_a_peer_without_room_votes_and_claims_nothing_until_it_has_room_again() -> None:
    mesh = Mesh(slots=100)
    mesh.advance(1.0)
    full = mesh["A"]
    full.give(RoomTold(False))
    assert full.machine.make_beacon(mesh.now, b"d" * 32, 0.0).free == 0
    for _ in range(6):
        mesh.submit("A")
        mesh.now += 0.01
    mesh.advance(3.0)
    assert not full.said(JobClaimed)
    assert {name for name, _ in mesh.starts} == {"B", "C"}
    assert len(full.said(ClaimGranted)) == 6
    full.give(RoomTold(True))
    submit_ranked(mesh, 0, "A")
    mesh.advance(1.0)
    assert full.said(JobClaimed)


def test_no_peer_claims_beyond_the_numbers_that_a_node_can_hold() -> None:
    mesh = Mesh("ABC", runners="AC")
    for name in "AC":
        mesh[name].up = False
    run = mesh.submit("B", plan(planned("job")))
    mesh["B"].write([JobClaimed(run, JobKey("job"), MAX_ATTEMPT, mesh["B"].incarnation)])
    for name in "AC":
        mesh[name].start()
    mesh.sync()
    mesh.advance(120)
    assert [mesh[name].said(JobClaimed) for name in "AC"] == [[], []]
