"""`why`: sentences that say what a job waits for, and the command that helps."""

from __future__ import annotations

import re

from clockmesh.coordinator.inputs import CancelWanted
from clockmesh.coordinator.view import explain
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef, RunId
from clockmesh.protocol.plan import Guard
from tests.unit.coordinator_mesh import Mesh, Peer, done, plan, planned


def why(peer: Peer, run: RunId) -> str:
    return "\n".join(explain(peer.machine, run, peer.mesh.now))


def test_it_names_owner_distances_holder_and_grants() -> None:
    mesh = Mesh(runners="BC")
    run = mesh.submit("A")
    mesh.sync()
    text = why(mesh["A"], run)
    assert "submitted by A; electorate A, B, C; 3 of 3 sessions live, 2 needed" in text
    assert "job: owned by " in text
    assert "(distance " in text
    assert "holds attempt 1 with 3 grants (2 needed)" in text


def test_it_names_a_claim_that_waits_for_grants() -> None:
    mesh = Mesh(runners="A")
    mesh.part("A", "BC")
    run = mesh.submit("A")
    assert "A claimed attempt 1 and has 1 of 2 grants" in why(mesh["A"], run)


def test_it_names_who_is_away_when_a_majority_is() -> None:
    mesh = Mesh()
    mesh.part("A", "BC")
    mesh.advance(6.0)
    run = mesh.submit("A")
    assert "1 of 3 sessions live, 2 needed" in why(mesh["A"], run)
    assert "start clockmeshd on B, C" in why(mesh["A"], run)


def test_it_names_a_silent_holder_and_when_its_job_may_move() -> None:
    mesh = Mesh(runners="B")
    run = mesh.submit("A")
    mesh.sync()
    mesh["B"].crash()
    mesh.advance(6.0)
    assert "no session with B, so others may take it over in 9 s" in why(mesh["A"], run)


def test_it_names_needs_and_max_parallel() -> None:
    mesh = Mesh("A", slots=9)
    legs = [planned(f"m ({number})", job_id="m", max_parallel=1) for number in range(2)]
    run = mesh.submit("A", plan(planned("a"), planned("b", "a"), *legs))
    text = why(mesh["A"], run)
    assert "b: waiting for needs: a" in text
    assert "m (1): waiting for earlier legs of its matrix: max-parallel is 1" in text


def test_it_names_labels_that_nobody_offers() -> None:
    mesh = Mesh("A")
    run = mesh.submit("A", plan(planned("job", labels=("gpu",))))
    assert "job: no member offers label gpu; clockmesh peer list shows the labels" in why(mesh["A"], run)


def test_it_says_so_when_nobody_has_slots() -> None:
    mesh = Mesh("A", slots=0)
    assert "no member has slots" in why(mesh["A"], mesh.submit("A"))


def test_it_tells_of_a_cancel_and_of_lost_attempts() -> None:
    mesh = Mesh("A")
    run = mesh.submit("A")
    peer = mesh["A"]
    peer.crash(machine=True)
    peer.start()
    peer.give(CancelWanted(1, run))
    text = why(peer, run)
    assert "attempt 1 of A was lost" in text
    assert "its end was asked for" in text


def test_it_tells_what_an_ended_run_came_to_and_where() -> None:
    mesh = Mesh("A")
    run = mesh.submit("A")
    mesh["A"].finish(AttemptRef(run, JobKey("job"), 1), done())
    ended, told = why(mesh["A"], run).splitlines()
    assert ended == f"run {run.hex()[:12]} has ended: success"
    assert re.fullmatch(r"job: success on A, attempt 1 \(distances: A \d+\)", told)


def test_a_duplicate_under_a_lease_is_told() -> None:
    mesh = Mesh("AB")
    run = mesh.submit("A", guard=Guard.LEASE)
    job = JobRef(run, JobKey("job"))
    mesh.sync()
    (holder,) = (name for name in "AB" if mesh[name].host)
    other = "B" if holder == "A" else "A"
    mesh.part("A", "B")
    mesh.advance(6.0)
    mesh[other].claim(job, 2)
    mesh[holder].finish(AttemptRef(*job, 1), done("one"))
    mesh[other].finish(AttemptRef(*job, 2), done("two"))
    mesh.heal()
    mesh.sync()
    assert "it ran to its end once more" in why(mesh["A"], run)
