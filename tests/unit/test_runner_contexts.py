from __future__ import annotations

import pytest

from clockmesh.protocol.plan import Plan, Remote, Snapshot
from clockmesh.runner.contexts import (
    Machine,
    event_payload,
    iso_time,
    repository_of,
    run_number_of,
)
from clockmesh.runner.expressions import Status, Value, evaluate
from clockmesh.runner.levels import find, job_contexts, status_of, top_level
from clockmesh.runner.spec import JobSpec, NeedResult
from tests.unit.runner_workflows import job, planned, read

MACHINE = Machine("laptop", "X64", "/srv/job", "/tmp/t", "/tools", "/srv/job/event.json")
REMOTE = Remote("https://me:secret@example.org:8443/owner/name.git", "refs/heads/main", "ab" * 20)


def _spec(plan: Plan, key: str = "a", **fields: object) -> JobSpec:
    return JobSpec(run="ff" * 32, key=key, attempt=2, plan=plan, actor="desk", peer="laptop", **fields)  # type: ignore[arg-type]


def _value(expression: str, text: str, key: str = "a", source: Snapshot | Remote = REMOTE, **fields: object) -> Value:
    spec = _spec(planned(text, source=source), key, **fields)
    level, job = find(top_level(read(text), spec.plan, spec.given, spec.schedule), spec.job.job_id, spec.needs)
    return evaluate(expression, job_contexts(level, job, spec, MACHINE))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.repository", "owner/name"),
        ("github.repository_owner", "owner"),
        ("github.server_url", "https://example.org:8443"),
        ("github.repositoryUrl", "https://example.org:8443/owner/name.git"),
        ("github.event.repository.clone_url", "https://example.org:8443/owner/name.git"),
        ("github.sha", "ab" * 20),
        ("github.ref", "refs/heads/main"),
        ("github.ref_name", "main"),
        ("github.ref_type", "branch"),
        ("github.event_name", "workflow_dispatch"),
        ("github.actor", "desk"),
        ("github.job", "a"),
        ("github.workflow", "p2p-workflow"),
        ("github.run_id", str(0xFFFFFFFFFFFF)),
        ("github.run_attempt", "1"),
        ("github.workspace", "/srv/job"),
        ("runner.os", "Linux"),
        ("runner.name", "laptop"),
        ("strategy.job-total", 1),
        ("strategy.fail-fast", True),
        ("job.status", "success"),
        ("vars.X", None),
        ("secrets.GITHUB_TOKEN", None),
    ],
)
def test_a_job_sees_what_is_known_of_its_run(expression: str, value: Value) -> None:
    assert _value(expression, job()) == value


def test_a_tag_is_told_from_a_branch() -> None:
    source = Snapshot(ref="refs/tags/v1", sha="ab" * 20, origin="git@example.org:owner/name.git")
    expression = "format('{0} {1} {2}', github.ref_type, github.ref_name, github.repository)"
    assert _value(expression, job(), source=source) == "tag v1 owner/name"


def test_matrix_and_strategy_are_those_of_the_leg() -> None:
    text = job("strategy:\n  max-parallel: 1\n  matrix:\n    z: [{y: 1, a: 2}]\n    b: [x, w]")
    key = "a (1, 2, w)"
    assert _value("format('{0}/{1}', strategy.job-index, strategy.job-total)", text, key) == "1/2"
    assert _value("matrix.z.y", text, key) == 1
    ordered = '{\n  "z": {\n    "y": 1,\n    "a": 2\n  },\n  "b": "w"\n}'
    assert _value("toJSON(matrix)", text, key) == ordered


def test_needs_are_those_that_the_job_names() -> None:
    text = "on: push\njobs: {b: {runs-on: x}, c: {runs-on: x}, a: {runs-on: x, needs: b}}"
    needs = {"b": NeedResult("success", {"rows": "3"}), "c": NeedResult("failure")}
    assert _value("needs.b.outputs.rows", text, needs=needs) == "3"
    assert _value("join(needs.*.result)", text, needs=needs) == "success"


def test_dispatch_inputs_are_typed_in_inputs_and_text_in_the_event() -> None:
    text = job(top="on: {workflow_dispatch: {inputs: {flag: {type: boolean, default: true}}}}")
    assert _value("inputs.flag", text) is True
    assert _value("github.event.inputs.flag", text) == "true"


def test_the_event_names_commit_or_schedule() -> None:
    pushed = job(top="on: push")
    assert event_payload(read(pushed), planned(pushed, source=REMOTE))["after"] == "ab" * 20
    ticked = job(top="on: {schedule: [{cron: '0 6 * * *'}]}")
    assert event_payload(read(ticked), planned(ticked))["schedule"] == "0 6 * * *"


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.com/o/n.git", ("https://github.com", "o/n")),
        ("git@github.com:o/n.git", ("https://github.com", "o/n")),
        ("ssh://git@example.org:22/group/o/n", ("https://example.org", "o/n")),
        ("git://127.0.0.1:9418/site.git", ("https://127.0.0.1", "site")),
        ("/srv/git/o/n", ("https://github.com", "o/n")),
        ("http://[broken", ("https://github.com", "")),
        ("", ("https://github.com", "")),
    ],
)
def test_a_repository_is_named_after_its_url(url: str, repository: tuple[str, str]) -> None:
    assert repository_of(url) == repository


def test_ancestors_decide_what_status_functions_answer() -> None:
    workflow = read("on: push\njobs: {a: {runs-on: x}, b: {runs-on: x, needs: a}, c: {runs-on: x, needs: b}}")
    level = top_level(workflow, Plan("w", "w.yml", None, Snapshot(), "push", ()))

    def status(a: str, b: str, *, cancelled: bool = False) -> Status:
        return status_of(level, workflow.job("c"), {"a": NeedResult(a), "b": NeedResult(b)}, cancelled=cancelled)

    assert status("success", "success") == Status()
    assert status("success", "skipped") == Status(success=False)
    assert status("failure", "skipped") == Status(success=False, failure=True)
    assert status("success", "success", cancelled=True) == Status(success=False, cancelled=True)


def test_numbers_and_times_have_githubs_form() -> None:
    assert run_number_of("00000000002a" + "ff" * 26) == "42"
    assert iso_time(1_772_197_650_000) == "2026-02-27T13:07:30Z"
