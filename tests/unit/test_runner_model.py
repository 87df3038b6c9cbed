"""What a workflow file may hold, and the one line with which anything else is refused."""

from __future__ import annotations

import pytest

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.model import Text
from tests.unit.runner_workflows import job, read, refused

FULL = """\
name: nightly
run-name: for ${{ github.actor }}
labels: [p2p-workflow, data]
on:
  push:
    branches: [main, 'release/**']
    paths-ignore: docs/**
  pull_request:
    types: opened
  schedule:
    - cron: '0 6 * * mon'
      timezone: Europe/London
permissions:
  contents: write
env:
  ANSWER: 42
  WHERE: ${{ vars.WHERE }}
defaults:
  run:
    shell: bash
jobs:
  fetch:
    name: Fetch ${{ github.ref_name }}
    runs-on: [self-hosted, linux]
    outputs:
      rows: ${{ steps.count.outputs.rows }}
    timeout-minutes: 1.5
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 1
      - id: count
        run: |
          echo rows=1 >> "$GITHUB_OUTPUT"
        working-directory: data
        shell: python
        continue-on-error: true
        timeout-minutes: ${{ fromJSON('2') }}
  report:
    needs: fetch
    if: always() && needs.fetch.result == 'success'
    runs-on: ubuntu-latest
    steps:
      - if: failure()
        run: exit 1
"""


def _text(text: Text | None) -> str | None:
    return None if text is None else text.text


def test_everything_of_the_first_part_is_read() -> None:
    workflow = read(FULL)
    assert (workflow.name, workflow.labels) == ("nightly", ("p2p-workflow", "data"))
    assert workflow.triggers.events == ("push", "pull_request", "schedule")
    assert [(each.cron, each.timezone) for each in workflow.triggers.schedules] == [("0 6 * * mon", "Europe/London")]
    assert [(name, text.text) for name, text in workflow.env] == [("ANSWER", "42"), ("WHERE", "${{ vars.WHERE }}")]
    fetch, report = workflow.jobs
    assert [label.text for label in fetch.runs_on] == ["self-hosted", "linux"]
    assert (_text(fetch.timeout_minutes), fetch.outputs[0][0]) == ("1.5", "rows")
    checkout, count = fetch.steps
    assert (_text(checkout.uses), checkout.arguments[0][0]) == ("actions/checkout@v4", "fetch-depth")
    assert (count.id, _text(count.shell), _text(count.continue_on_error)) == ("count", "python", "true")
    assert (report.needs, _text(report.condition)) == (("fetch",), "always() && needs.fetch.result == 'success'")


def test_places_are_kept_for_later_errors() -> None:
    step = read(FULL).jobs[0].steps[1]
    assert (step.line, step.column) == (32, 9)
    assert step.run is not None
    assert step.run.node.place(5) == (34, 16)


def test_needs_are_found_in_any_letter_case() -> None:
    workflow = read("on: push\njobs:\n  Build:\n    runs-on: x\n  test:\n    needs: [BUILD, build]\n    runs-on: x\n")
    assert workflow.jobs[1].needs == ("Build",)
    assert workflow.job("TEST") is workflow.jobs[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n- b", "w.yml:1:1: a workflow must be a mapping with `on` and `jobs`, not a list"),
        ("hello", "w.yml:1:1: a workflow must be a mapping with `on` and `jobs`, not the text `hello`"),
        ("on: push", "w.yml:1:1: there are no jobs; add some under `jobs`"),
        ("on: push\njob:\n  a: 1", "w.yml:2:1: a workflow has no key `job`; did you mean `jobs`?"),
        ("name: x\njobs:\n  a:\n    runs-on: x", "w.yml:1:1: the workflow has no `on`; add `on: workflow_dispatch`"),
        ("on: push\njobs:", "w.yml:2:6: there are no jobs; add one under `jobs`"),
        ("on: push\njobs: {}", "w.yml:2:7: there are no jobs; add one under `jobs`"),
        ("on: push\njobs: [a]", "w.yml:2:7: `jobs` must be a mapping (`key: value` lines), not a list"),
        ("on: push\nname: ${{ github.ref }}\njobs: {a: {runs-on: x}}", "w.yml:2:7: `name` cannot hold an expression"),
        ("on: push\ncolour: red\njobs: {a: {runs-on: x}}", "w.yml:2:1: a workflow has no key `colour`; there are:"),
        ("on: push\njobs:\n  a-b.c: {runs-on: x}", "w.yml:3:3: the job id `a-b.c` is not one"),
        ("on: push\njobs:\n  __a: {runs-on: x}", "w.yml:3:3: the job id `__a` begins with `__`, which is reserved"),
        ("on: push\njobs:\n  a:\n    steps: []", "w.yml:3:3: job 'a' has no `runs-on`; add `runs-on: ubuntu-latest`"),
        ("on: push\npermissions:\n  content: read\njobs: {a: {runs-on: x}}", "did you mean `contents`?"),
        ("on: push\npermissions: admin\njobs: {a: {runs-on: x}}", "`permissions` cannot be `admin`; there are:"),
    ],
)
def test_a_file_that_is_no_workflow_is_refused(text: str, line: str) -> None:
    assert line in refused(text)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("container: node:20", "w.yml:6:5: `container` is not supported yet; remove it from job 'a'"),
        ("services: {}", "w.yml:6:5: `services` is not supported yet"),
        ("environment: {url: x}", "w.yml:6:18: `environment` has no `name`; add one"),
        ("environment: ${{ secrets.x }}", "there is no context `secrets` here"),
        ("cancel-timeout-minutes: soon", "`cancel-timeout-minutes` must be a number"),
        ("time-out: 3", "w.yml:6:5: job 'a' has no key `time-out`; did you mean `timeout-minutes`?"),
        ("need: b", "did you mean `needs`?"),
        ("needs: [b]", "w.yml:6:13: job 'a' needs 'b', which does not exist"),
        ("needs: a", "w.yml:6:12: the needs of these jobs form a cycle: a -> a; remove one of them"),
        ("if: env.X == 'y'", "w.yml:6:9: there is no context `env` here; there are: github, inputs, needs, vars"),
        ("if: github.ref = 'x'", "w.yml:6:9: unexpected symbol `=`"),
        ("if: [a]", "w.yml:6:9: `if` of job 'a' must be a text, not a list"),
        ("timeout-minutes: '5'", "must be a number, not `5`; write it without quotes"),
        ("timeout-minutes: -1", "`timeout-minutes` must be above 0, not -1"),
        ("continue-on-error: maybe", "`continue-on-error` must be true or false, not `maybe`"),
        ("env: [A]", "`env` of job 'a' must be a mapping"),
        ("env:\n  A: [1]", "w.yml:7:10: `A` in `env` of job 'a' must be a text, not a list"),
        ("env:\n  A: ${{ steps.x }}", "there is no context `steps` here"),
        ("defaults:\n  run:\n    shel: x", "`defaults.run` has no key `shel`; did you mean `shell`?"),
        ("strategy:\n  matrix: []", "`matrix` must be a mapping"),
        ("strategy:\n  matrix: {}", "`matrix` is empty; add a list of values"),
        ("strategy:\n  matrix:\n    v: 1", "`v` of `matrix` must be a list, not the number 1"),
        ("strategy:\n  matrix:\n    v: []", "`v` of `matrix` has no values"),
        ("strategy:\n  matrix:\n    include: [1]", "an entry of `include` of `matrix` must be a mapping"),
        ("strategy:\n  matrix:\n    v: ['${{ matrix.x }}']", "there is no context `matrix` here"),
        ("strategy:\n  fail-fst: true", "`strategy` has no key `fail-fst`; did you mean `fail-fast`?"),
        ("strategy:\n  max-parallel: two", "`max-parallel` must be a number, not `two`"),
        ("outputs:\n  x: ${{ hashFiles('a') }}", "the function `hashFiles` cannot be used here"),
    ],
)
def test_a_job_that_is_not_right_is_refused(body: str, line: str) -> None:
    assert line in refused(job(body))


@pytest.mark.parametrize(
    ("runs_on", "line"),
    [
        ("", "w.yml:4:13: `runs-on` is empty; give it a value or remove the key"),
        ("[]", "w.yml:4:14: `runs-on` is empty; name a label, such as ubuntu-latest"),
        ("['']", "`runs-on` is empty"),
        ("{group: big}", "`group` is not supported yet; remove it from `runs-on`"),
        ("{label: x}", "`runs-on` has no key `label`; did you mean `labels`?"),
        ("${{ env.X }}", "there is no context `env` here"),
    ],
)
def test_a_runs_on_that_names_no_machine_is_refused(runs_on: str, line: str) -> None:
    text = refused(f"on: push\njobs:\n  a:\n    runs-on: {runs_on}\n    steps: [{{run: x}}]\n")
    assert line.removeprefix("w.yml:4:14: ").removeprefix("w.yml:4:13: ") in text


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("not: a list", "w.yml:7:7: `steps` must be a list (`- run: ...` lines), not a mapping"),
        ("- name: x", "w.yml:7:9: a step needs `run` or `uses`; add `run: <command>`"),
        ("- rnu: x", "w.yml:7:9: a step has no key `rnu`; did you mean `run`?"),
        ("- run: x\n  uses: ./y", "w.yml:8:9: a step has either `run` or `uses`, not both"),
        ("- run: x\n  with: {}", "w.yml:8:9: a step with `run` has no `with`"),
        ("- uses: actions/checkout@v4\n  shell: bash", "w.yml:8:9: a step with `uses` has no `shell`; remove it"),
        ("- uses: actions/setup-java@v5", "`uses: actions/setup-java@v5` is not supported yet; "),
        ("- uses: actions/checkout", "names no version; write `actions/checkout@v4`"),
        ("- uses: actions/checkout@v4\n  with:\n    token: x", "w.yml:9:11: `token` of actions/checkout is not"),
        ("- id: a b\n  run: x", "w.yml:7:13: the step id `a b` is not one"),
        ("- id: x\n  run: x\n- id: X\n  run: y", "w.yml:9:13: the step id `X` is taken in line 7; choose another"),
        ("- run: echo ${{ }}", "w.yml:7:14: an expression is missing between `${{` and `}}`"),
        ("- run: echo ${{ github.ref", "w.yml:7:14: the expression is not closed; add `}}`"),
        ("- run: |\n    echo ok\n    echo ${{ nobody.x }}", "w.yml:9:20: there is no context `nobody` here"),
        ("- run: echo ${{ secret.X }}", "there is no context `secret` here"),
        ("- run: x\n  if: secrets.X == 'y'", "there is no context `secrets` here"),
        ("- run: x\n  shell: ${{ env.SHELL }}", "there is no context `env` here; there are: none"),
        ("- run: x\n  background: true", "`background` is not supported yet"),
        ("- run: x\n  timeout-minutes: 0", "`timeout-minutes` must be above 0, not 0"),
        ("- run: x\n  continue-on-error: 'true'", "must be true or false, not `true`"),
        ("- run: x\n  working-directory: ''", "`working-directory` is empty"),
        ("- just text", "a step must be a mapping (`key: value` lines), not the text `just text`"),
    ],
)
def test_a_step_that_is_not_right_is_refused(steps: str, line: str) -> None:
    assert line in refused(job(steps=steps))


@pytest.mark.parametrize(
    ("on", "line"),
    [
        ("pushed", "w.yml:1:5: there is no event `pushed`; did you mean `push`?"),
        ("[push, pul_request]", "w.yml:1:12: there is no event `pul_request`; did you mean `pull_request`?"),
        ("[]", "`on` is empty"),
        ("{push: [main]}", "`on.push` must be a mapping"),
        ("{push: {inputs: x}}", "`on.push` has no key `inputs`"),
        ("{push: {branches: a, branches-ignore: b}}", "has both `branches` and `branches-ignore`; keep one"),
        ("{issues: {types: [open]}}", "`on.issues` has no type `open`; did you mean `opened`?"),
        ("{schedule: '0 6 * * *'}", "`on.schedule` must be a list of `- cron: '0 6 * * *'` lines"),
        ("{schedule: [{cron: '61 * * * *'}]}", "the cron line `61 * * * *` is not valid: the minute `61`"),
        ("{schedule: [{timezone: UTC}]}", "an entry of `on.schedule` has no `cron`"),
        ("{workflow_dispatch: {input: {}}}", "`on.workflow_dispatch` has no key `input`; did you mean `inputs`?"),
        ("{workflow_dispatch: {inputs: {x: {type: text}}}}", "the input `x` has no type `text`"),
        ("{workflow_dispatch: {inputs: {x: {type: choice}}}}", "is of the type choice; add `options`, a list"),
        ("{workflow_dispatch: {inputs: {x: {options: [a]}}}}", "only `type: choice` has options"),
        ("{workflow_dispatch: {inputs: {x: {type: boolean, default: 'true'}}}}", "must be true or false, without"),
        ("{workflow_dispatch: {inputs: {x: {type: number, default: '1'}}}}", "must be a number, without quotes"),
        ("{workflow_dispatch: {inputs: {x: {type: choice, options: [a], default: b}}}}", "is none of its options"),
        ("{workflow_dispatch: {inputs: {x: {required: 1}}}}", "`required` of the input `x` must be true or false"),
        ("{workflow_call: {inputs: {x: {type: choice}}}}", "the input `x` has no type `choice`"),
        ("{workflow_call: {inputs: {x: }}}", "the input `x` has no `type`; add one of boolean, number, string"),
        ("{workflow_call: {outputs: {x: {}}}}", "the output `x` has no `value`; add one"),
        ("{workflow_call: {secrets: {x: {need: true}}}}", "the secret `x` has no key `need`"),
    ],
)
def test_an_event_that_github_does_not_know_is_refused(on: str, line: str) -> None:
    assert line in refused(f"on: {on}\njobs: {{a: {{runs-on: x}}}}\n")


def test_the_topmost_problem_is_told_and_the_others_kept() -> None:
    with pytest.raises(WorkflowError) as raised:
        read("on: push\njobs:\n  a:\n    runs-on: x\n    needs: b\n  c:\n    steps: []\n")
    error = raised.value
    assert (error.line, error.column) == (5, 12)
    assert [(other.line, other.column) for other in error.others] == [(6, 3), (7, 12)]


def test_a_problem_in_an_anchor_is_told_once() -> None:
    with pytest.raises(WorkflowError) as raised:
        read(job(steps="- &s\n  run: x\n  wth: y\n- *s\n- *s"))
    assert raised.value.others == ()


def test_a_long_cycle_is_named_job_by_job() -> None:
    jobs = "".join(f"  {name}:\n    needs: {need}\n    runs-on: x\n" for name, need in ("ab", "bc", "ca", "da"))
    text = refused(f"on: push\njobs:\n{jobs}")
    assert text == "w.yml:4:12: the needs of these jobs form a cycle: a -> b -> c -> a; remove one of them"
