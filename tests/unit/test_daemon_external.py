"""The desk of external jobs on a real machine: who executes what, and what ends an attempt."""

from __future__ import annotations

import pytest

from clockmesh.coordinator.effects import Start, StopReason
from clockmesh.coordinator.inputs import DescribeWanted, JobEnded
from clockmesh.daemon import external
from clockmesh.daemon.errors import Conflict
from clockmesh.daemon.external import SILENT_S, ExternalDesk
from clockmesh.protocol.events import AttemptEnded, Description, Ending, ResultProposed
from clockmesh.protocol.ids import AttemptRef, JobKey, RunId
from clockmesh.protocol.plan import Plan
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner.errors import WorkflowError
from tests.unit.coordinator_mesh import Mesh, plan, planned
from tests.unit.runner_workflows import planned as planned_workflow

EXTERNAL = planned("job", labels=("external",))


class Desk:
    """One peer alone whose machine has started external attempts, and its desk."""

    def __init__(self, wanted: Plan | None = None) -> None:
        self.mesh = Mesh("A")
        self.peer = self.mesh["A"]
        self.peer.give(DescribeWanted(Description("A", 2, ("external",))))
        self.ended: list[tuple[AttemptRef, Result | None]] = []
        self.desk = ExternalDesk(self.peer.machine, self.peer.id, self._end, lambda: self.mesh.now)
        self.run: RunId = self.mesh.submit("A", wanted or plan(EXTERNAL))
        self.mesh.advance(3)
        for effect in self.peer.did(Start):
            self.desk.begin(effect.ref)

    def _end(self, ref: AttemptRef, result: Result | None) -> None:
        self.ended.append((ref, result))
        self.peer.host.pop(ref, None)
        self.peer.give(JobEnded(ref, result))

    def beat_for(self, seconds: float, *workers: str) -> None:
        for _ in range(round(seconds * 2)):
            self.mesh.advance(0.5)
            for worker in workers:
                self.desk.beat(worker)
            self.desk.look()

    @property
    def conclusion(self) -> Conclusion | None:
        """Of the job, as it stands in the clock."""
        final = self.peer.job(AttemptRef(self.run, JobKey("job"), 1).job).final
        return final.result.conclusion if final else None


def taken(desk: Desk, worker: str = "one") -> AttemptRef:
    (ref,) = desk.desk.take(worker)
    return ref


def test_one_program_takes_an_attempt_and_its_result_stands():
    desk = Desk()
    ref = taken(desk)
    assert desk.desk.take("two") == []
    assert desk.desk.take("one") == [ref]
    desk.desk.end("one", ref, Conclusion.SUCCESS, (("items", "100"),), "")
    desk.mesh.advance(1)
    (proposed,) = desk.peer.said(ResultProposed)
    assert proposed.result.outputs == (("items", "100"),)
    assert desk.conclusion is Conclusion.SUCCESS


def test_nobody_else_ends_an_attempt_and_nobody_twice():
    desk = Desk()
    ref = taken(desk)
    with pytest.raises(Conflict):
        desk.desk.end("two", ref, Conclusion.SUCCESS, (), "")
    desk.desk.end("one", ref, Conclusion.FAILURE, (), "why")
    with pytest.raises(Conflict):
        desk.desk.end("one", ref, Conclusion.SUCCESS, (), "")
    assert len(desk.ended) == 1


def test_a_program_that_lives_keeps_its_attempt_for_long():
    desk = Desk()
    ref = taken(desk)
    desk.beat_for(120, "one")
    assert desk.desk.beat("one") == ([ref], [])
    assert desk.ended == []


def test_an_attempt_whose_program_is_silent_is_lost_at_once():
    desk = Desk()
    ref = taken(desk)
    desk.beat_for(SILENT_S + 1, "two")
    assert desk.ended == [(ref, None)]
    assert [event.how for event in desk.peer.said(AttemptEnded)] == [Ending.LOST]
    with pytest.raises(Conflict):
        desk.desk.end("one", ref, Conclusion.SUCCESS, (), "")


def test_an_attempt_that_nobody_can_take_is_lost():
    desk = Desk()
    desk.beat_for(1)
    assert [result for _, result in desk.ended] == [None]


def test_an_attempt_past_its_deadline_is_lost_though_its_program_lives(monkeypatch):
    desk = Desk()
    ref = taken(desk)
    monkeypatch.setattr(desk.peer.machine, "deadline", lambda ref, now: now - 0.001)
    desk.beat_for(0.5, "one")
    assert desk.ended == [(ref, None)]


def test_a_program_is_told_of_a_cancel_and_has_ten_seconds():
    desk = Desk()
    ref = taken(desk)
    desk.desk.stop(ref, StopReason.CANCEL)
    assert desk.ended == [], "nothing ends from within a step of the machine"
    desk.beat_for(9, "one")
    assert desk.desk.beat("one") == ([ref], [ref])
    desk.beat_for(2, "one")
    assert [result and result.conclusion for _, result in desk.ended] == [Conclusion.CANCELLED]


def test_a_cancelled_attempt_that_nobody_took_ends_so():
    desk = Desk()
    desk.desk.beat("one")
    (ref,) = [effect.ref for effect in desk.peer.did(Start)]
    desk.desk.stop(ref, StopReason.CANCEL)
    desk.beat_for(0.5, "one")
    assert [result and result.conclusion for _, result in desk.ended] == [Conclusion.CANCELLED]


def test_an_outranked_attempt_ends_without_a_result():
    desk = Desk()
    ref = taken(desk)
    desk.desk.stop(ref, StopReason.OUTRANKED)
    desk.beat_for(0.5, "one")
    assert desk.ended == [(ref, None)]


def test_a_timeout_holds_for_programs_too():
    desk = Desk(plan(planned("job", labels=("external",), timeout_s=30)))
    taken(desk)
    desk.beat_for(31, "one")
    assert [result and (result.conclusion, result.error) for _, result in desk.ended] == [
        (Conclusion.FAILURE, "it took longer than 30 s")]


def test_the_label_is_offered_while_a_program_lives():
    """`run` asks the same: a program counts for twelve seconds once the label is offered."""
    desk = Desk()
    assert desk.desk._living(SILENT_S) == []
    desk.desk.beat("one")
    assert desk.desk._living(SILENT_S) == ["one"]
    desk.mesh.advance(SILENT_S + 1)
    assert desk.desk._living(SILENT_S) == []
    assert desk.desk._living(SILENT_S + external._LINGER_S) == ["one"]
    desk.mesh.advance(external._LINGER_S)
    assert desk.desk._living(99) == []


# ---- the plan ----

WORKFLOW = "name: p2p-workflow\non: push\n{top}jobs:\n  a: {{runs-on: ubuntu-latest, {job}steps: [{{run: echo}}]}}\n"


@pytest.mark.parametrize(("top", "job", "labels"), [
    ("labels: [External]\n", "", ("linux", "x64", "external")),
    ("", "labels: external, ", ("linux", "x64", "external")),
    ("labels: [externals]\n", "", ("linux", "x64")),
])
def test_the_label_external_is_asked_of_peers(top, job, labels):
    (found,) = planned_workflow(WORKFLOW.format(top=top, job=job)).jobs
    assert found.labels == labels


def test_if_of_an_external_job_is_refused_by_name():
    with pytest.raises(WorkflowError, match="`if` of a job with the label `external`"):
        planned_workflow(WORKFLOW.format(top="", job="labels: external, if: always(), "))
