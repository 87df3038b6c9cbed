"""`why`: sentences that say what a job waits for, and the command that helps."""

from __future__ import annotations

import re

from clockmesh.coordinator import jobs
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
    assert "submitted by A" in text
    assert "job: owned by " in text
    assert "(distance " in text
    holder = mesh["A"].machine.name_of(jobs.holders(mesh["A"].job(JobRef(run, JobKey("job"))))[0][1])
    assert (
        "job: electorate A, B, C, of which 2 must grant; heard from B 0.0 s, C 0.0 s ago; "
        f"{holder} holds attempt 1 with 3 grants; to watch it: clockmesh run logs {run.hex()[:12]} -f --job job"
    ) in text


def test_a_holder_tells_until_when_it_may_run_the_job() -> None:
    mesh = Mesh(runners="A")
    run = mesh.submit("A")
    mesh.sync()
    mesh.advance(2.0)
    assert "A holds attempt 1 with 3 grants and may run it until D, in 10 s" in why(mesh["A"], run)
    mesh.part("A", "BC")
    mesh.advance(8.0)
    text = why(mesh["A"], run)
    assert "B not heard for 8.0 s, C not heard for 8.0 s; A holds attempt 1 with 3 grants" in text
    assert "and may run it until D, in 2.2 s" in text
    assert text.count("too few of them live: start clockmeshd on B, C, or if they are gone for good") == 1
    assert f"clockmesh run rerun {run.hex()[:12]} --abandon --guard lease" in text


def test_a_voter_that_was_never_heard_is_told_apart_from_one_that_fell_silent() -> None:
    mesh = Mesh()
    run = mesh.submit("A", plan(planned("job", labels=("gpu",))))
    mesh.sync()
    mesh.part("A", "B")
    mesh.advance(20.0)
    mesh["A"].crash()
    mesh["A"].start()
    mesh.advance(1.0)
    assert "heard from C 0.0 s ago, B not heard since this peer started; nobody has claimed it" in why(mesh["A"], run)


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
    assert "B not heard for 6.0 s, C not heard for 6.0 s; nobody has claimed it" in why(mesh["A"], run)
    assert "start clockmeshd on B, C" in why(mesh["A"], run)


def test_it_names_a_silent_holder_and_when_its_job_may_move() -> None:
    mesh = Mesh(runners="B")
    run = mesh.submit("A")
    mesh.sync()
    mesh["B"].crash()
    mesh.advance(6.0)
    text = why(mesh["A"], run)
    assert "B holds attempt 1 with 3 grants and is not heard, so others may take it over in 9.0 s" in text
    assert "start clockmeshd on B, where it may still run or have ended" in text


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
