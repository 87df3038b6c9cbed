"""What a submission and final results alone decide about a run's jobs."""

from __future__ import annotations

import pytest

from clockmesh.coordinator import runs, view
from clockmesh.coordinator.effects import Start, Stop, StopReason
from clockmesh.coordinator.holding import MAX_LOSSES
from clockmesh.coordinator.inputs import CancelWanted, JobEnded
from clockmesh.coordinator.view import Status
from clockmesh.protocol.ids import RESOLVE, AttemptRef, BlobHash, JobKey, JobRef, RunId
from clockmesh.protocol.plan import Plan, PlannedJob, Remote
from clockmesh.protocol.reports import Annotation, Level, Report
from clockmesh.protocol.result import Conclusion, Result
from tests.unit.coordinator_mesh import Mesh, Peer, done, plan, planned

SUCCESS, FAILURE = Conclusion.SUCCESS, Conclusion.FAILURE
CANCELLED, SKIPPED = Conclusion.CANCELLED, Conclusion.SKIPPED


def alone(wanted: Plan, slots: int = 10) -> tuple[Peer, RunId]:
    """A mesh of one peer, which runs everything at once."""
    mesh = Mesh("A", slots=slots)
    return mesh["A"], mesh.submit("A", wanted)


def started(peer: Peer) -> list[str]:
    return [effect.ref.key for effect in peer.did(Start)]


def finish(peer: Peer, run: RunId, key: str, conclusion: Conclusion = SUCCESS, **more: object) -> None:
    peer.finish(AttemptRef(run, JobKey(key), 1), Result(conclusion, **more))  # type: ignore[arg-type]


def legs(count: int, **more: object) -> tuple[PlannedJob, ...]:
    return tuple(planned(f"m ({number})", job_id="m", **more) for number in range(count))


def statuses(peer: Peer, run: RunId) -> list[Status]:
    return [job.status for job in view.run_view(peer.machine, run).jobs]


def test_a_job_starts_when_all_it_needs_is_final() -> None:
    peer, run = alone(plan(planned("a"), planned("b"), planned("c", "a", "b")))
    assert started(peer) == ["a", "b"]
    finish(peer, run, "a")
    assert started(peer) == ["a", "b"]
    finish(peer, run, "b", FAILURE)
    assert started(peer) == ["a", "b", "c"], "whether it runs is its holder's to say, from its condition"


def test_a_job_that_needs_a_matrix_waits_for_all_its_legs() -> None:
    peer, run = alone(plan(*legs(2), planned("z", "m")))
    finish(peer, run, "m (0)")
    assert "z" not in started(peer)
    finish(peer, run, "m (1)")
    assert "z" in started(peer)


def test_max_parallel_lets_so_many_legs_run_in_order() -> None:
    peer, run = alone(plan(*legs(4, max_parallel=2)))
    assert started(peer) == ["m (0)", "m (1)"]
    finish(peer, run, "m (1)")
    assert started(peer)[2:] == ["m (2)"]
    finish(peer, run, "m (0)")
    assert started(peer)[3:] == ["m (3)"]


def test_a_failed_leg_cancels_the_others_with_fail_fast() -> None:
    peer, run = alone(plan(*legs(3, fail_fast=True)))
    finish(peer, run, "m (1)", FAILURE)
    stopped = [(effect.ref.key, effect.reason) for effect in peer.did(Stop)]
    assert stopped == [("m (0)", StopReason.CANCEL), ("m (2)", StopReason.CANCEL)]
    assert view.cancel_wanted(peer.machine, JobRef(run, JobKey("m (2)")))


@pytest.mark.parametrize("more", [{"fail_fast": False}, {"fail_fast": True, "continue_on_error": True}])
def test_a_failed_leg_cancels_nothing_otherwise(more: dict[str, bool]) -> None:
    peer, run = alone(plan(*legs(3, **more)))
    finish(peer, run, "m (1)", FAILURE)
    assert peer.did(Stop) == []


def test_a_cancelled_run_stops_what_runs_once_and_starts_the_rest_as_cancelled() -> None:
    peer, run = alone(plan(planned("a"), planned("b", "a")))
    peer.give(CancelWanted(2, run))
    peer.give(CancelWanted(3, run))
    assert [effect.reason for effect in peer.did(Stop)] == [StopReason.CANCEL]
    assert view.run_view(peer.machine, run).conclusion is None


def test_a_job_started_as_cancelled_is_not_stopped_for_that() -> None:
    peer, run = alone(plan(planned("a"), planned("b", "a")))
    a, b = (AttemptRef(run, JobKey(key), 1) for key in "ab")
    deadline = peer.host.pop(a)
    peer.give(CancelWanted(2, run))
    peer.host[a] = deadline
    peer.finish(a, done(conclusion=SUCCESS))  # it ended before the word came
    assert b in peer.host, "its condition may be always()"
    assert len(peer.did(Stop)) == 1


@pytest.mark.parametrize(
    ("conclusions", "together"),
    [
        ((SUCCESS, SUCCESS), SUCCESS),
        ((SUCCESS, FAILURE), FAILURE),
        ((CANCELLED, FAILURE), FAILURE),
        ((SUCCESS, CANCELLED), CANCELLED),
        ((SUCCESS, SKIPPED), SUCCESS),
        ((SKIPPED, SKIPPED), SKIPPED),
    ],
)
def test_what_a_run_came_to_follows_from_its_results(conclusions: list[Conclusion], together: Conclusion) -> None:
    peer, run = alone(plan(planned("a"), planned("b")))
    for key, conclusion in zip("ab", conclusions, strict=True):
        assert runs.conclusion(peer.machine.runs[run]) is None
        finish(peer, run, key, conclusion)
    assert view.run_view(peer.machine, run).conclusion is together


def test_a_forgiven_failure_counts_as_success_for_the_run_and_for_needs() -> None:
    peer, run = alone(plan(planned("a", continue_on_error=True), planned("b", "a")))
    finish(peer, run, "a", FAILURE)
    assert view.needs_of(peer.machine, JobRef(run, JobKey("b")))["a"].result is SUCCESS
    finish(peer, run, "b")
    shown = view.run_view(peer.machine, run)
    assert shown.conclusion is SUCCESS
    assert [job.conclusion for job in shown.jobs] == [FAILURE, SUCCESS]


def test_needs_give_the_outputs_of_all_legs_together() -> None:
    peer, run = alone(plan(*legs(2), planned("z", "m")))
    finish(peer, run, "m (1)", outputs=(("who", ""), ("x", "1")))
    assert view.needs_of(peer.machine, JobRef(run, JobKey("z"))) == {}
    finish(peer, run, "m (0)", outputs=(("who", "zero"),))
    assert view.needs_of(peer.machine, JobRef(run, JobKey("z")))["m"].outputs == {"who": "zero", "x": "1"}


def remote() -> Plan:
    return Plan("run", ".github/workflows/a.yml", None, Remote("git://host/r"), "push", (PlannedJob(RESOLVE, RESOLVE),))


def test_a_resolved_plan_brings_its_jobs() -> None:
    peer, run = alone(remote())
    assert started(peer) == [RESOLVE]
    found = plan(planned("a"), planned("b", "a"))
    finish(peer, run, RESOLVE, resolved=found)
    assert started(peer) == [RESOLVE, "a"]
    assert view.plan_of(peer.machine, run) == found
    assert [job.key for job in view.run_view(peer.machine, run).jobs] == ["a", "b"]
    assert view.run_view(peer.machine, run).conclusion is None


def test_a_run_whose_plan_cannot_be_resolved_fails_with_its_line() -> None:
    peer, run = alone(remote())
    finish(peer, run, RESOLVE, FAILURE, error="a.yml:1:1: no jobs")
    shown = view.run_view(peer.machine, run)
    assert (shown.status, shown.conclusion, shown.error) == (Status.FAILED, FAILURE, "a.yml:1:1: no jobs")
    assert [job.key for job in shown.jobs] == [RESOLVE]


def test_statuses_go_from_pending_by_assigned_to_in_progress() -> None:
    mesh = Mesh(runners="B")
    mesh.part("B", "AC")
    run = mesh.submit("A")
    assert statuses(mesh["A"], run) == [Status.PENDING]
    mesh.heal()
    mesh.cut("A", "B", kinds="b")
    mesh.cut("B", "C", kinds="n")
    mesh.cut("B", "A", kinds="n")
    mesh.sync()
    assert statuses(mesh["B"], run) == [Status.ASSIGNED]
    mesh.heal()
    mesh.sync()
    shown = [view.run_view(mesh[name].machine, run) for name in "ABC"]
    assert shown[0] == shown[1] == shown[2]
    assert shown[0].status is Status.IN_PROGRESS
    assert (shown[0].jobs[0].peer, shown[0].jobs[0].attempt) == (mesh["B"].id, 1)


def test_an_attempt_that_died_is_not_shown_again_while_the_next_ones_result_is_voted_on() -> None:
    mesh = Mesh()
    run = mesh.submit("A")
    mesh.sync()
    first = mesh.starts[0][0]
    mesh.advance(3.0)
    mesh[first].crash(machine=True)
    while len(mesh.starts) < 2:
        mesh.advance(0.5)
    second = mesh[mesh.starts[1][0]]
    mesh.cut(second.name, next(name for name in "ABC" if name not in (first, second.name)))
    second.finish(AttemptRef(run, JobKey("job"), 2), done())
    (seen,) = view.run_view(second.machine, run).jobs
    assert (seen.status, seen.attempt, seen.peer) == (Status.IN_PROGRESS, 2, second.id)


def test_a_job_given_up_and_adopted_is_shown_where_it_ran() -> None:
    mesh = Mesh()
    run = mesh.submit("A")
    mesh.sync()
    name, attempt = mesh.starts[0]
    ref = AttemptRef(run, JobKey("job"), attempt)
    mesh[name].finish(ref, done("x"))
    mesh.advance(1.0)
    for other in "ABC":
        (job,) = view.run_view(mesh[other].machine, run).jobs
        assert (job.peer, job.attempt, job.outputs) == (mesh[name].id, attempt, {"value": "x"})


def test_what_a_job_reports_is_seen_on_every_peer_with_its_result() -> None:
    mesh = Mesh()
    run = mesh.submit("A")
    mesh.sync()
    name, attempt = mesh.starts[0]
    report = Report((Annotation(Level.ERROR, "bad", "Build"),), 1, BlobHash(bytes(32)), 7)
    mesh[name].finish(AttemptRef(run, JobKey("job"), attempt), done("x"), report)
    mesh.sync()
    for other in "ABC":
        (job,) = view.run_view(mesh[other].machine, run).jobs
        assert (job.conclusion, job.report) == (SUCCESS, report)


def test_a_host_that_could_not_start_it_makes_the_attempt_lost_and_the_next_one_follows() -> None:
    peer, run = alone(plan())
    ref = AttemptRef(run, JobKey("job"), 1)
    del peer.host[ref]
    peer.give(JobEnded(ref, None))
    assert list(peer.host) == [ref._replace(attempt=2)]


def test_a_job_whose_attempts_are_lost_again_and_again_fails_in_the_end() -> None:
    mesh = Mesh("A")
    peer, run = mesh["A"], mesh.submit("A")
    for _ in range(MAX_LOSSES):
        assert runs.conclusion(peer.machine.runs[run]) is None
        mesh.advance(20.0)
        (ref,) = peer.host
        del peer.host[ref]
        peer.give(JobEnded(ref, None))
    mesh.advance(20.0)
    assert runs.conclusion(peer.machine.runs[run]) is FAILURE
    assert len(started(peer)) == MAX_LOSSES
    (job,) = view.run_view(peer.machine, run).jobs
    assert job.error.startswith(f"{MAX_LOSSES} attempts were lost")
