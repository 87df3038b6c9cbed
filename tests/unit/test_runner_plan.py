from __future__ import annotations

import pytest

from clockmesh.protocol.codec import decode_plan, encode_plan
from clockmesh.protocol.ids import RESOLVE
from clockmesh.protocol.plan import Remote
from clockmesh.runner.errors import InputError, WorkflowError
from clockmesh.runner.plan import resolve_plan, uses_checkout
from tests.unit.runner_workflows import BLOB, job, planned, read

MATRIX = """\
strategy:
  fail-fast: false
  max-parallel: 2
  matrix:
    os: [ubuntu-latest, gpu]
    n: [1, 2]
runs-on: ${{ matrix.os }}
timeout-minutes: ${{ matrix.n }}
continue-on-error: ${{ matrix.n == 2 }}
"""


def _matrix_job(body: str = MATRIX) -> str:
    return job(body).replace("    runs-on: ubuntu-latest\n", "", 1)


def test_a_job_is_planned_under_its_id_with_githubs_limits() -> None:
    (only,) = planned(job()).jobs
    assert (only.key, only.job_id, only.needs, only.labels) == ("a", "a", (), ("linux", "x64"))
    assert (only.matrix, only.fail_fast, only.max_parallel, only.timeout_s) == ("", False, 0, 21_600)


def test_each_leg_of_a_matrix_is_a_job_of_its_own() -> None:
    legs = planned(_matrix_job()).jobs
    assert [leg.key for leg in legs] == ["a (ubuntu-latest, 1)", "a (ubuntu-latest, 2)", "a (gpu, 1)", "a (gpu, 2)"]
    assert [leg.labels for leg in legs] == [("linux", "x64"), ("linux", "x64"), ("gpu",), ("gpu",)]
    assert [leg.timeout_s for leg in legs] == [60, 120, 60, 120]
    assert [leg.continue_on_error for leg in legs] == [False, True, False, True]
    assert {(leg.job_id, leg.fail_fast, leg.max_parallel) for leg in legs} == {("a", False, 2)}
    assert legs[0].matrix == '{"n":1,"os":"ubuntu-latest"}'


def test_legs_fail_fast_unless_the_workflow_says_otherwise() -> None:
    assert planned(job("strategy:\n  matrix: {n: [1]}")).jobs[0].fail_fast


def test_equal_and_long_values_still_give_unique_keys() -> None:
    legs = planned(job(f"strategy:\n  matrix: {{n: [x, x, '', '{'y' * 300}', '{'y' * 301}']}}")).jobs
    assert [leg.key for leg in legs[:3]] == ["a (x)", "a (x) #2", "a"]
    assert len({leg.key for leg in legs}) == 5
    assert max(len(leg.key) for leg in legs) < 220


@pytest.mark.parametrize(
    ("runs_on", "labels"),
    [
        ("ubuntu-22.04", ("linux", "x64")),
        ("ubuntu-24.04-arm", ("linux", "arm64")),
        ("self-hosted", ()),
        ("[self-hosted, Linux, GPU]", ("linux", "gpu")),
        ("windows-latest", ("windows-latest",)),
        ("{labels: [Tool:Git, x64]}", ("tool:git", "x64")),
        ("${{ fromJSON('[\"a\", \"B\"]') }}", ("a", "b")),
        ("${{ github.event_name == 'x' && 'y' || 'ubuntu-latest' }}", ("linux", "x64")),
    ],
)
def test_runs_on_becomes_what_a_peer_must_offer(runs_on: str, labels: tuple[str, ...]) -> None:
    assert planned(job().replace("ubuntu-latest", runs_on)).jobs[0].labels == labels


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (job().replace("ubuntu-latest", "${{ github.x }}"), "w.yml:5:14: `runs-on` must come to labels, not to null"),
        (job().replace("ubuntu-latest", "${{ fromJSON('{}') }}"), "must come to labels, not to an object"),
        (job("timeout-minutes: ${{ github.ref }}"), "this must come to a number"),
        (job("continue-on-error: ${{ 'true' }}"), "w.yml:6:24: this must come to true or false, not a text"),
        (job("strategy:\n  max-parallel: 1.5"), "`max-parallel` must be a whole number"),
        (job("strategy:\n  matrix: {n: [1], exclude: [{n: 1}]}"), "`matrix` comes to no jobs at all"),
    ],
)
def test_what_cannot_be_planned_is_refused_at_its_place(text: str, line: str) -> None:
    with pytest.raises(WorkflowError) as raised:
        planned(text)
    assert line in str(raised.value)


def test_the_event_is_the_one_asked_for_or_the_first_that_runs_here() -> None:
    assert planned(job(top="on: [pull_request, push, workflow_dispatch]")).event == "workflow_dispatch"
    assert planned(job(top="on: [pull_request, push]")).event == "push"
    assert planned(job(top="on: {schedule: [{cron: '0 6 * * *'}]}")).event == "schedule"
    assert planned(job(top="on: pull_request")).event == "pull_request"
    assert planned(job(top="on: [push, workflow_dispatch]"), event="push").event == "push"
    with pytest.raises(InputError, match="is not triggered by 'schedule'"):
        planned(job(), event="schedule")


def test_a_plan_is_named_after_its_workflow_or_its_file() -> None:
    assert planned(job(top='on: push\nname: "two\\n  words"')).name == "two words"
    assert planned(job(top="on: push")).name == "w"


def test_a_job_with_a_condition_is_always_planned() -> None:
    assert len(planned(job("if: false")).jobs) == 1


def test_needs_are_planned_by_job_id() -> None:
    text = "on: push\njobs:\n  a: {runs-on: x, strategy: {matrix: {n: [1, 2]}}}\n  b: {runs-on: x, needs: [A]}\n"
    assert [(each.key, each.needs) for each in planned(text).jobs] == [("a (1)", ()), ("a (2)", ()), ("b", ("a",))]


def test_plans_are_what_peers_accept() -> None:
    plan = planned(_matrix_job(), source=Remote("https://example.org/o/n.git", "main", "0" * 40))
    assert decode_plan(encode_plan(plan)) == plan


def test_too_many_jobs_are_refused() -> None:
    body = "{runs-on: x, strategy: {matrix: {n: " + str(list(range(256))) + "}}}"
    text = "on: push\njobs:\n" + "".join(f"  j{number}: {body}\n" for number in range(5))
    with pytest.raises(WorkflowError, match="more than 1024 jobs"):
        planned(text)


def test_only_a_workflow_that_checks_out_needs_a_source() -> None:
    with_checkout = job(steps="- uses: actions/checkout@v4")
    assert uses_checkout(read(with_checkout), planned(with_checkout))
    assert not uses_checkout(read(job()), planned(job()))
    other = with_checkout.replace("name: p2p-workflow\n", "") + "  b: {labels: p2p-workflow, runs-on: x}\n"
    assert not uses_checkout(read(other), planned(other, force=False))


def test_a_remote_is_planned_as_one_step_for_any_peer() -> None:
    plan = resolve_plan("https://example.org/r.git", "main", ".github/workflows/scrape.yml", {"b": "1", "a": "2"}, True)
    assert (plan.name, plan.workflow, plan.source) == ("scrape", None, Remote("https://example.org/r.git", "main"))
    assert [(each.key, each.labels) for each in plan.jobs] == [(RESOLVE, ())]
    assert (plan.inputs, plan.force) == ((("a", "2"), ("b", "1")), True)
    assert decode_plan(encode_plan(plan)) == plan


def test_the_blob_and_the_source_are_carried() -> None:
    plan = planned(job())
    assert (plan.workflow, plan.path) == (BLOB, ".github/workflows/w.yml")
