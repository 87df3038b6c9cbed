"""Jobs that stand for others until results say which: what takes their place, on every peer alike."""

from __future__ import annotations

import dataclasses

import pytest

from clockmesh.coordinator import runs, view
from clockmesh.coordinator.inputs import RerunWanted
from clockmesh.protocol.codec import decode_plan, encode_plan
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.events import RunSubmitted
from clockmesh.protocol.ids import EXPAND, AttemptRef, JobKey, JobRef
from clockmesh.protocol.plan import PlannedJob
from clockmesh.protocol.result import Conclusion, Result
from tests.unit.coordinator_mesh import Mesh, plan, planned
from tests.unit.test_coordinator_runs import alone, finish, started

STANDS = planned(f"{EXPAND}m", "a", job_id="m")


def brings(*jobs: PlannedJob) -> Result:
    return Result(Conclusion.SUCCESS, resolved=plan(*jobs))


def test_what_a_job_was_expanded_into_runs_in_its_place_and_is_waited_for() -> None:
    peer, run = alone(plan(planned("a"), STANDS, planned("z", "m")))
    finish(peer, run, "a")
    peer.finish(AttemptRef(run, STANDS.key, 1), brings(planned("m (1)", job_id="m"), planned("m (2)", job_id="m")))
    assert started(peer) == ["a", f"{EXPAND}m", "m (1)", "m (2)"]
    assert [job.key for job in view.run_view(peer.machine, run).jobs] == ["a", "m (1)", "m (2)", "z"]
    finish(peer, run, "m (1)", outputs=(("x", "1"),))
    assert "z" not in started(peer)
    finish(peer, run, "m (2)", Conclusion.FAILURE)
    assert started(peer)[-1] == "z"
    need = view.needs_of(peer.machine, JobRef(run, JobKey("z")))["m"]
    assert (need.result, need.outputs) == (Conclusion.FAILURE, {"x": "1"})
    finish(peer, run, "z")
    assert view.run_view(peer.machine, run).conclusion is Conclusion.FAILURE


def test_a_run_that_runs_again_expands_its_jobs_anew() -> None:
    peer, run = alone(plan(planned("a"), STANDS))
    finish(peer, run, "a")
    peer.finish(AttemptRef(run, STANDS.key, 1), brings(planned("m (1)", job_id="m")))
    finish(peer, run, "m (1)")
    peer.give(RerunWanted(2, run, b"n" * 16, bytes(32)))
    first, second = [event.plan for event in peer.events if isinstance(event, RunSubmitted)]
    assert second == first


@pytest.mark.parametrize("conclusion", [Conclusion.SKIPPED, Conclusion.FAILURE, Conclusion.CANCELLED])
def test_one_that_was_not_expanded_stays_as_what_it_came_to(conclusion: Conclusion) -> None:
    peer, run = alone(plan(planned("a"), STANDS, planned("z", "m")))
    finish(peer, run, "a")
    finish(peer, run, STANDS.key, conclusion)
    assert view.needs_of(peer.machine, JobRef(run, JobKey("z")))["m"].result is conclusion
    assert started(peer)[-1] == "z"


def test_who_needs_a_calling_job_needs_all_jobs_of_the_workflow() -> None:
    inner = (planned("call / x", job_id="call/x"), planned("call / y", "call/x", job_id="call/y"))
    peer, run = alone(plan(*inner, planned("z", "call")))
    finish(peer, run, "call / x")
    assert "z" not in started(peer)
    finish(peer, run, "call / y")
    assert started(peer)[-1] == "z"


def test_what_was_expanded_may_be_expanded_again() -> None:
    inner = planned(f"{EXPAND}m / n", job_id="m/n")
    peer, run = alone(plan(planned("a"), STANDS, planned("z", "m")))
    finish(peer, run, "a")
    peer.finish(AttemptRef(run, STANDS.key, 1), brings(inner, planned("m / o", job_id="m/o")))
    peer.finish(AttemptRef(run, inner.key, 1), brings(planned("m / n (1)", job_id="m/n")))
    assert list(runs_planned(peer, run)) == ["a", "m / n (1)", "m / o", "z"]


def runs_planned(peer: object, run: object) -> dict[JobKey, PlannedJob]:
    return peer.machine.runs[run].planned  # type: ignore[attr-defined,no-any-return]


def test_nothing_but_a_jobs_own_takes_its_place() -> None:
    """What a broken or hostile holder proposes cannot replace, hide or add other jobs."""
    peer, run = alone(plan(planned("a"), STANDS, planned("z", "m")))
    finish(peer, run, "a")
    peer.finish(AttemptRef(run, STANDS.key, 1), brings(
        planned("m (1)", job_id="m"), planned("z", job_id="m"), planned("x", job_id="o"), planned("y", job_id="mm"),
    ))  # fmt: skip
    assert list(runs_planned(peer, run)) == ["a", "m (1)", "z"]
    assert runs_planned(peer, run)[JobKey("z")].job_id == "z"
    ordinary, run = alone(plan(planned("a"), planned("z", "a")))
    ordinary.finish(AttemptRef(run, JobKey("a"), 1), brings(planned("a (1)", job_id="a")))
    assert list(runs_planned(ordinary, run)) == ["a", "z"]


def test_all_peers_come_to_the_same_jobs() -> None:
    mesh = Mesh("ABC")
    run = mesh.submit("A", plan(planned("a"), STANDS, planned("z", "m")))
    mesh.advance(10.0)
    for key, result in (("a", Result(Conclusion.SUCCESS)), (STANDS.key, brings(planned("m (1)", job_id="m")))):
        holder = next(peer for peer in mesh.peers.values() if key in started(peer))
        holder.finish(AttemptRef(run, JobKey(key), 1), result)
        mesh.advance(10.0)
    assert {tuple(runs_planned(peer, run)) for peer in mesh.peers.values()} == {("a", "m (1)", "z")}
    assert sum(started(peer).count("m (1)") for peer in mesh.peers.values()) == 1


def test_a_plan_may_need_a_calling_job_and_no_circle_through_one() -> None:
    inner = planned("call / x", job_id="call[1]/x")
    good = plan(inner, planned("z", "call"))
    assert decode_plan(encode_plan(good)) == good
    with pytest.raises(LocalError, match="circle"):
        encode_plan(plan(dataclasses.replace(inner, needs=("z",)), planned("z", "call")))
    with pytest.raises(LocalError, match="not in the plan"):
        encode_plan(plan(inner, planned("z", "cal")))


def test_a_run_has_a_bound_on_what_its_results_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_EXPANDED", 3)
    peer, run = alone(plan(planned("a"), STANDS))
    finish(peer, run, "a")
    peer.finish(AttemptRef(run, STANDS.key, 1), brings(*(planned(f"m ({n})", job_id="m") for n in range(9))))
    assert len(runs_planned(peer, run)) == 3
