"""What this peer is asked for, and the refusals: raised before anything has changed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from clockmesh.coordinator.effects import Answer, Append, RunChanged
from clockmesh.coordinator.errors import Conflict, CoordinatorError, NotFound, Refused
from clockmesh.coordinator.inputs import CancelWanted, RerunWanted, Started, SubmitWanted
from clockmesh.coordinator.machine import Machine, step
from clockmesh.coordinator.view import may_be_running
from clockmesh.protocol.codec import run_id
from clockmesh.protocol.events import CancelAsked, Description, PeerAdmitted, RunSubmitted
from clockmesh.protocol.ids import AttemptRef, JobKey, RunId
from clockmesh.protocol.plan import Guard
from tests.unit.coordinator_mesh import MESH, Mesh, done, peer_id, plan, planned


def wanted(**more: object) -> SubmitWanted:
    return replace(SubmitWanted(5, plan(), bytes(16), bytes(32)), **more)  # type: ignore[arg-type]


def test_an_answer_follows_the_submission_that_it_is_about() -> None:
    mesh = Mesh(runners="")
    effects = mesh["A"].give(wanted())
    assert [type(effect) for effect in effects[:3]] == [Append, Answer, RunChanged]
    event = effects[0].event
    assert isinstance(event, RunSubmitted)
    assert effects[1] == Answer(5, run_id(event))


@pytest.mark.parametrize(("names", "guard"), [("A", Guard.LEASE), ("AB", Guard.LEASE), ("ABC", Guard.QUORUM)])
def test_three_members_guard_by_quorum_and_fewer_by_lease(names: str, guard: Guard) -> None:
    mesh = Mesh(names)
    assert mesh["A"].machine.runs[mesh.submit("A")].submission.guard is guard


def test_a_guard_that_was_asked_for_stands() -> None:
    mesh = Mesh("AB")
    run = mesh["A"].machine.runs[mesh.submit("A", guard=Guard.QUORUM)]
    assert run.electorate.quorum == 2


def test_up_to_seven_members_all_vote() -> None:
    mesh = Mesh("ABCDEFG")
    assert set(mesh["A"].machine.runs[mesh.submit("A")].submission.electorate) == set(mesh["A"].machine.members)


def test_of_more_members_seven_living_ones_vote_and_they_differ_from_run_to_run() -> None:
    mesh = Mesh("ABCDEFGHIJ")
    mesh.advance(2.0)
    mesh["J"].crash()
    mesh.advance(5.0)
    electorates = {mesh["A"].machine.runs[mesh.submit("A", priority=float(number))].submission.electorate
                   for number in range(1, 9)}
    assert all(len(set(electorate)) == 7 and list(electorate) == sorted(electorate) for electorate in electorates)
    assert len(electorates) > 1
    assert all(peer_id("J") not in electorate for electorate in electorates)


BROKEN = {
    "no jobs": replace(plan(), jobs=()),
    "is not a job": plan(planned("a", "b")),
    "circle": plan(planned("a", "b"), planned("b", "c"), planned("c", "b")),
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_plan_that_can_never_end_is_refused(text: str) -> None:
    peer = Mesh("A")["A"]
    with pytest.raises(Refused, match=text):
        peer.give(wanted(plan=BROKEN[text]))
    assert peer.machine.runs == {}
    assert peer.events == []


@pytest.mark.parametrize("priority", [math.nan, math.inf])
def test_a_priority_is_a_number(priority: float) -> None:
    with pytest.raises(Refused):
        Mesh("A")["A"].give(wanted(priority=priority))


def test_a_stranger_to_every_mesh_submits_nothing() -> None:
    machine = Machine(peer_id("X"), MESH)
    step(machine, Started(1), 0.0)
    with pytest.raises(Conflict, match="clockmesh init"):
        step(machine, wanted(), 1.0)


def test_a_cancel_is_written_once_and_answered_each_time() -> None:
    mesh = Mesh("A", slots=0)
    run = mesh.submit("A")
    for token in (1, 2):
        assert Answer(token, run) in mesh["A"].give(CancelWanted(token, run))
    assert mesh["A"].said(CancelAsked) == [CancelAsked(run)]


def again(token: int, run: RunId, *, abandon: bool = False) -> RerunWanted:
    return RerunWanted(token, run, bytes([token]) * 16, bytes(32), abandon)


def test_a_run_that_has_ended_runs_again_as_a_new_one() -> None:
    mesh = Mesh("A")
    old = mesh.submit("A", priority=3.0, guard=Guard.QUORUM)
    mesh["A"].finish(AttemptRef(old, JobKey("job"), 1), done())
    mesh["A"].give(again(2, old))
    first, second = mesh["A"].said(RunSubmitted)
    assert (second.plan, second.priority, second.guard) == (first.plan, 3.0, Guard.QUORUM)
    assert second.nonce != first.nonce
    assert not mesh["A"].said(CancelAsked)
    assert Answer(2, run_id(second)) in mesh["A"].effects


def test_a_run_that_has_not_ended_runs_again_only_if_it_is_abandoned() -> None:
    mesh = Mesh()
    mesh.part("A", "BC")
    old = mesh.submit("A")
    with pytest.raises(Conflict, match="has not ended"):
        mesh["A"].give(again(2, old))
    assert len(mesh["A"].said(RunSubmitted)) == 1
    mesh["A"].give(again(2, old, abandon=True))
    assert len(mesh["A"].said(RunSubmitted)) == 2
    assert mesh["A"].said(CancelAsked) == [CancelAsked(old)]


def test_a_run_that_runs_again_may_have_another_guard() -> None:
    mesh = Mesh()
    old = mesh.submit("A")
    mesh["A"].give(replace(again(2, old, abandon=True), guard=Guard.LEASE))
    assert [event.guard for event in mesh["A"].said(RunSubmitted)] == [Guard.QUORUM, Guard.LEASE]


def test_who_may_be_running_a_run_is_told() -> None:
    mesh = Mesh(runners="B")
    run = mesh.submit("A")
    mesh.sync()
    mesh["B"].crash()
    mesh.advance(6.0)
    assert may_be_running(mesh["A"].machine, run) == [mesh["B"].id]
    mesh["B"].start()
    mesh["B"].finish(AttemptRef(run, JobKey("job"), 1), done())
    mesh.sync()
    assert may_be_running(mesh["A"].machine, run) == []


def test_an_unknown_run_is_not_found() -> None:
    with pytest.raises(NotFound, match="clockmesh run list"):
        Mesh("A")["A"].give(CancelWanted(1, RunId(bytes(32))))
    with pytest.raises(NotFound, match="clockmesh run list"):
        Mesh("A")["A"].give(again(1, RunId(bytes(32))))


def test_a_run_that_has_ended_is_not_cancelled() -> None:
    mesh = Mesh("A")
    run = mesh.submit("A")
    mesh["A"].finish(AttemptRef(run, JobKey("job"), 1), done())
    with pytest.raises(Conflict, match="has ended: success"):
        mesh["A"].give(CancelWanted(1, run))


def test_a_job_that_no_member_can_run_is_taken_for_peers_may_come() -> None:
    mesh = Mesh("A")
    run = mesh.submit("A", plan(planned("job", labels=("gpu",))))
    mesh["A"].write([PeerAdmitted(peer_id("G"), Description("G", 1, ("gpu",)))])
    assert not mesh.over(run)


def test_every_error_is_of_one_family() -> None:
    assert all(issubclass(error, CoordinatorError) for error in (NotFound, Conflict, Refused))


def test_a_lease_is_at_least_ten_beacons_long() -> None:
    with pytest.raises(ValueError, match="beacon periods"):
        Machine(peer_id("A"), MESH, beacon_period=2.0, lease=15.0)
