"""Workflows that call others, and jobs that depend on results: what is planned, when, and with which values."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.plan import Plan, PlannedJob, Snapshot
from clockmesh.runner.bundle import bundle, read_workflow
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.legs import expanded
from clockmesh.runner.levels import every_output, find, needs_of, top_level, wanted
from clockmesh.runner.model import Workflow
from clockmesh.runner.plan import make_plan, uses_checkout
from clockmesh.runner.spec import Given, NeedResult

FOLDER = ".github/workflows"
CALLED = """\
on:
  workflow_call:
    inputs:
      name: {type: string, required: true}
      count: {type: number, default: 3}
      loud: {type: boolean}
      list: {type: string, default: '["x", "y"]'}
    secrets:
      token: {required: true}
    outputs:
      answer: {value: '${{ jobs.last.outputs.text }}!'}
jobs:
  each:
    runs-on: ubuntu-latest
    strategy: {matrix: {v: '${{ fromJSON(inputs.list) }}'}}
    steps: [{run: x}]
  last:
    needs: each
    runs-on: [self-hosted, '${{ inputs.name }}']
    outputs: {text: x}
    steps: [{run: x}]
"""
CALL = """\
on: push
jobs:
  first: {runs-on: x, steps: [{run: x}]}
  call:
    needs: first
    uses: ./.github/workflows/called.yml
    with: {name: ann}
    secrets: {token: '${{ secrets.T }}'}
  end: {needs: call, runs-on: x, steps: [{run: x}]}
"""


def linked(main: str, others: Mapping[str, str] | None = None) -> Workflow:
    files = {f"{FOLDER}/{name}": text.encode() for name, text in (others or {"called.yml": CALLED}).items()}
    return read_workflow(bundle(main.encode(), f"{FOLDER}/main.yml", files.get), f"{FOLDER}/main.yml")


def plan_of(workflow: Workflow) -> Plan:
    return make_plan(
        workflow, path=f"{FOLDER}/main.yml", workflow_blob=BlobHash(bytes(32)), source=Snapshot(), inputs={}, force=True
    )


def refused(main: str, others: Mapping[str, str] | None = None) -> str:
    with pytest.raises(WorkflowError) as raised:
        linked(main, others)
    return str(raised.value)


def summary(jobs: tuple[PlannedJob, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(job.key, job.job_id, job.needs) for job in jobs]


def test_a_called_workflow_becomes_jobs_of_the_plan() -> None:
    plan = plan_of(linked(CALL))
    assert summary(plan.jobs) == [
        ("first", "first", ()),
        ("call / each (x)", "call/each", ("first",)),
        ("call / each (y)", "call/each", ("first",)),
        ("call / last", "call/last", ("call/each",)),
        ("end", "end", ("call",)),
    ]
    assert plan.jobs[3].labels == ("ann",)


def test_a_calling_job_with_a_matrix_calls_once_for_each_leg() -> None:
    main = CALL.replace("with: {name: ann}", "strategy: {matrix: {n: [a, b]}}\n    with: {name: '${{ matrix.n }}'}")
    jobs = [job for job in plan_of(linked(main)).jobs if job.job_id.endswith("/last")]
    assert summary(tuple(jobs)) == [
        ("call (a) / last", "call[0]/last", ("call[0]/each",)), ("call (b) / last", "call[1]/last", ("call[1]/each",)),
    ]  # fmt: skip
    assert [job.labels for job in jobs] == [("a",), ("b",)]


def test_a_called_job_has_its_own_inputs_secrets_and_needs() -> None:
    workflow = linked(CALL)
    top = top_level(workflow, plan_of(workflow), Given({"T": "s3", "OTHER": "o", "GITHUB_TOKEN": "g"}))
    ended = {"call/each": NeedResult("success", {"k": "v"}), "first": NeedResult("failure")}
    level, job = find(top, "call/last", ended)
    assert level.contexts["inputs"] == {"name": "ann", "count": 3, "loud": False, "list": '["x", "y"]'}
    assert level.contexts["secrets"] == {"token": "s3", "GITHUB_TOKEN": "g"}
    assert needs_of(level, job, ended) == {"each": {"result": "success", "outputs": {"k": "v"}}}
    assert not wanted(level, job, ended, cancelled=False), "the calling job is not wanted after a failure"
    assert wanted(level, job, ended | {"first": NeedResult("success")}, cancelled=False)


def test_all_secrets_are_inherited_where_that_is_asked_for() -> None:
    workflow = linked(CALL.replace("secrets: {token: '${{ secrets.T }}'}", "secrets: inherit"))
    level, _ = find(top_level(workflow, plan_of(workflow), Given({"T": "s3"})), "call/each", {})
    assert level.contexts["secrets"] == {"T": "s3"}


def test_the_outputs_of_a_called_workflow_are_those_of_the_calling_job() -> None:
    workflow = linked(CALL)
    top = top_level(workflow, plan_of(workflow))
    inner = NeedResult("success", {"text": "t"})
    ended = {"call": NeedResult("success", {"text": "of a job inside"}), "call/last": inner}
    assert needs_of(top, workflow.job("end"), ended)["call"] == {"result": "success", "outputs": {"answer": "t!"}}
    assert every_output(top, ended) == {"call": {"answer": "t!"}}


def test_what_depends_on_results_is_planned_when_they_are_there() -> None:
    main = CALL.replace("name: ann", "name: '${{ needs.first.outputs.who }}'")
    workflow = linked(main)
    plan = plan_of(workflow)
    assert summary(plan.jobs)[1:] == [("(expand) call", "call", ("first",)), ("end", "end", ("call",))]
    ended = {"first": NeedResult("success", {"who": "eve"})}
    level, job = find(top_level(workflow, plan), "call", ended)
    jobs = tuple(expanded(level, job, ended))
    assert summary(jobs)[2] == ("call / last", "call/last", ("call/each",))
    assert jobs[2].labels == ("eve",)
    assert jobs[0].needs == ()


@pytest.mark.parametrize(
    "late",
    ["runs-on: '${{ needs.first.outputs.v }}'",
     "runs-on: x\n    timeout-minutes: ${{ fromJSON(needs.first.outputs.v) }}",
     "runs-on: x\n    continue-on-error: ${{ needs.first.result != 'x' }}",
     "runs-on: x\n    strategy: {matrix: {include: '${{ fromJSON(needs.first.outputs.v) }}'}}",
     "runs-on: x\n    strategy: {matrix: {v: [1]}, max-parallel: '${{ fromJSON(needs.first.outputs.v) }}'}"],
)  # fmt: skip
def test_each_key_that_is_planned_may_wait_for_results(late: str) -> None:
    first = "on: push\njobs:\n  first: {runs-on: x, steps: [{run: x}]}\n"
    workflow = linked(f"{first}  j:\n    needs: first\n    {late}\n    steps: [{{run: x}}]\n")
    assert [job.key for job in plan_of(workflow).jobs] == ["first", "(expand) j"]


@pytest.mark.parametrize(
    ("values", "told"),
    [("[]", "has no values"), ("3", "must come to a list"), ("[", "fromJSON"),
     (str(list(range(257))), "comes to 257 jobs; at most 256")],
)  # fmt: skip
def test_a_matrix_of_results_that_makes_no_sense_is_refused_with_its_place(values: str, told: str) -> None:
    text = ("on: push\njobs:\n  first: {runs-on: x, steps: [{run: x}]}\n  j:\n    needs: first\n    runs-on: x\n"
            "    strategy: {matrix: {v: '${{ fromJSON(needs.first.outputs.v) }}'}}\n    steps: [{run: x}]\n")
    workflow = linked(text)
    ended = {"first": NeedResult("success", {"v": values})}
    level, job = find(top_level(workflow, plan_of(workflow)), "j", ended)
    with pytest.raises(WorkflowError, match=r"main\.yml:7:") as raised:
        expanded(level, job, ended)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("name: ann", "nmae: ann, name: x", "main.yml:7:18: `.github/workflows/called.yml` has no input `nmae`; did"),
        ("name: ann", "count: 1", "main.yml:6:11: `.github/workflows/called.yml` requires the input `name`"),
        ("name: ann", "name: ann, count: many", "the input `count` must be a number, not `many`"),
        ("name: ann", "name: ann, loud: 3", "the input `loud` must be true or false, not `3`"),
        ("token:", "tokn:", "has no secret `tokn`; did you mean `token`?"),
        ("secrets: {", "if: {", "`if` of job 'call' must be a text"),
        ("called.yml", "none.yml", "main.yml:6:11: there is no file `.github/workflows/none.yml` in the repository"),
        ("./.github/workflows/called.yml", "./../called.yml", "is called by `./.github/workflows/NAME.yml`"),
        ("./.github/workflows/called.yml", "o/r/.github/workflows/c.yml@v1", "of a job is not supported yet"),
        ("needs: first", "runs-on: x", "job 'call' calls a workflow (`uses`), so it has no `runs-on`; remove it"),
    ],
)
def test_a_call_that_cannot_be_is_refused_before_anything_runs(before: str, after: str, told: str) -> None:
    assert told in refused(CALL.replace(before, after))


def test_a_workflow_that_does_not_say_so_cannot_be_called() -> None:
    assert "cannot be called; add `workflow_call:` under its `on:`" in refused(
        CALL, {"called.yml": "on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}"}
    )


def test_a_problem_in_a_called_file_names_that_file() -> None:
    assert refused(CALL, {"called.yml": CALLED.replace("runs-on: ubuntu-latest", "runs: x")}).startswith(
        f"{FOLDER}/called.yml:"
    )


def nested(depth: int) -> dict[str, str]:
    head = "on: {workflow_call: }\njobs:\n  j:\n    "
    files = {f"w{n}.yml": f"{head}uses: ./{FOLDER}/w{n + 1}.yml\n" for n in range(1, depth)}
    return files | {f"w{depth}.yml": f"{head}runs-on: x\n    steps: [{{uses: actions/checkout@v4}}]\n"}


def test_workflows_call_one_another_ten_levels_deep_and_no_deeper() -> None:
    main = f"on: push\njobs:\n  a:\n    uses: ./{FOLDER}/w1.yml\n"
    workflow = linked(main, nested(9))
    assert [job.job_id for job in plan_of(workflow).jobs] == ["a" + "/j" * 9]
    assert uses_checkout(workflow, plan_of(workflow))
    assert "more than 10 levels deep" in refused(main, nested(10))
    itself = f"on: workflow_call\njobs: {{j: {{uses: ./{FOLDER}/w1.yml}}}}"
    assert "more than 10 levels deep" in refused(main, {"w1.yml": itself})


def test_fifty_different_workflows_may_be_called_and_no_more() -> None:
    called = "on: workflow_call\njobs: {j: {runs-on: x, steps: [{run: x}]}}"
    for count, fits in ((50, True), (51, False)):
        main = "on: push\njobs:\n" + "".join(f"  j{n}: {{uses: ./{FOLDER}/w{n}.yml}}\n" for n in range(count))
        others = {f"w{n}.yml": called for n in range(count)}
        if fits:
            assert len(plan_of(linked(main, others)).jobs) == count
        else:
            assert "more than 50 different workflows" in refused(main, others)


def test_calls_that_multiply_are_refused_before_they_fill_memory() -> None:
    fan = "".join(f"  j{n}: {{uses: ./{FOLDER}/w%d.yml}}\n" for n in range(20))
    others = {f"w{n}.yml": "on: workflow_call\njobs:\n" + fan.replace("%d", str(n + 1)) for n in range(1, 9)}
    others["w9.yml"] = "on: workflow_call\njobs: {j: {runs-on: x, steps: [{run: x}]}}"
    workflow = linked("on: push\njobs:\n" + fan.replace("%d", "1"), others)
    with pytest.raises(WorkflowError, match="more than 1024 jobs"):
        plan_of(workflow)


@pytest.mark.parametrize("data", [b"\x92", b"\x92\x01\x80", b"\x92\xc4\x01a\x81\xa1x\x01", b"\x92\xc4\x01a\x90"])
def test_bytes_that_are_neither_a_workflow_nor_a_bundle_are_refused(data: bytes) -> None:
    with pytest.raises(WorkflowError, match=r"w\.yml:1:1: "):
        read_workflow(data, "w.yml")


def test_a_file_that_calls_nothing_stays_as_it_is() -> None:
    data = b"on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}"
    assert bundle(data, "w.yml", {}.get) is data
