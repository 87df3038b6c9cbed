"""What `clockmesh lint` finds in files that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clockmesh.daemon.cli import main
from clockmesh.runner.globs import glob_problem
from clockmesh.runner.lint import lint
from tests.unit.runner_workflows import job, read


def told(text: str) -> list[str]:
    return [f"{each.line}:{each.column}: {each.message}" for each in lint(read(text))]


TOP = """\
name: p2p-workflow
on:
  workflow_dispatch:
    inputs: {who: {}}
  workflow_call:
    outputs: {x: {value: '${{ jobs.a.outputs.x }}'}}
"""


def test_nothing_is_said_of_what_is_right() -> None:
    text = TOP + """\
env: {A: '${{ inputs.who }}'}
jobs:
  a:
    runs-on: ubuntu-latest
    outputs: {x: '${{ steps.s.outputs.any }}'}
    strategy: {matrix: {v: [1], include: [{w: 2}], exclude: [{v: 1}]}}
    steps:
      - {id: s, shell: 'perl {0}', run: 'echo ${{ matrix.v }} ${{ matrix.w }} $TITLE'}
      - {run: 'echo $TITLE', env: {TITLE: '${{ github.event.issue.title }}'}}
      - {if: "steps.s.outcome == 'success' && github.event.x == null", run: 'true'}
  b:
    needs: a
    if: ${{ contains(needs.a.outputs.x, 'y') || needs.*.result }}
    runs-on: ubuntu-latest
    steps: [{run: "echo ${{ needs.a.outputs.x }} ${{ needs['a'].result }}"}]
"""
    assert told(text) == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("- run: echo ${{ steps.none.outputs.x }}", "7:14: there is no `none` in `steps` here"),
        ("- run: echo ${{ needs.b.result }}", "7:14: there is no `b` in `needs` here"),
        ("- run: echo ${{ matrix.v }}", "7:14: there is no `v` in `matrix` here"),
        ("- run: echo ${{ inputs.x }}", "7:14: there is no `x` in `inputs` here"),
        ("- run: echo '${{ github.event.issue.title }}'", "becomes part of this script; pass it in `env`"),
        ("- run: |\n    ls\n    echo ${{ github.head_ref }}", "9:20: `github.head_ref` is text of strangers"),
        ("- run: echo ${{ toJSON(github.event.commits.*.message) }}", "`github.event.commits.*.message` is text"),
        ("- run: echo ${{ github.event.commits[0].message }}", "is text of strangers"),
        ("- run: echo '::set-output name=x::1'", "7:14: the command `set-output` is deprecated; write to the file"),
        ("- if: ${{ always() }} && true\n  run: ls", "makes this condition always true"),
        ("- if: github.event == 'push'\n  run: ls", "a text and an object are compared, which is never true"),
        ("- run: ls\n  shell: dash", "there is no shell `dash`; did you mean `bash`?"),
        ("- run: ls\n  env: {'A B': x}", "no environment variable can be called `A B`"),
    ],
)
def test_what_is_suspicious_in_a_step_has_its_place_and_a_remedy(steps: str, message: str) -> None:
    found = told(job(steps=steps))
    assert len(found) == 1, found
    assert message in found[0]


def test_a_step_sees_only_steps_before_it() -> None:
    steps = "- run: echo ${{ steps.later.outputs.x }}\n- {id: later, run: ls}\n- run: echo ${{ steps.later.outcom }}"
    assert [each.split(": ")[1] for each in told(job(steps=steps))] == [
        "there is no `later` in `steps` here; remove it",
        "there is no `outcom` in `steps.later` here; did you mean `outcome`?",
    ]


def test_outputs_that_do_not_exist_are_named() -> None:
    text = TOP.replace("outputs.x", "outputs.y") + """\
jobs:
  a: {runs-on: x, outputs: {x: '1'}, steps: [{run: ls}]}
  b: {needs: a, runs-on: x, steps: [{run: 'echo ${{ needs.a.outputs.y }}'}]}
"""
    assert told(text) == [
        "6:26: there is no `y` in `jobs.a.outputs` here; there are: x",
        "9:43: there is no `y` in `needs.a.outputs` here; there are: x",
    ]


def test_an_exclusion_that_matches_nothing_is_named() -> None:
    found = told(job("strategy:\n  matrix:\n    v: [1, 2]\n    exclude: [{v: 3}, {w: 1}]"))
    assert found == [
        "9:23: `3` is none of the values of `v`; there are: 1, 2",
        "9:28: `exclude` names `w`, which is not in the matrix; there are: v",
    ]


@pytest.mark.parametrize(
    ("pattern", "path", "wrong"),
    [
        ("main", False, ""), ("release/**", False, ""), ("v[0-9]+.*", False, ""), ("!docs/**", True, ""),
        ("a\\[", False, ""), ("v[12", False, "is not closed"), ("a[]", False, "matches nothing"),
        ("+1", False, "nothing does"), ("!", False, "alone"), ("./docs", True, "begin at the top"), ("./b", False, ""),
        ("a+?", False, "repeated already"),
    ],
)  # fmt: skip
def test_a_pattern_that_can_match_nothing_is_refused(pattern: str, path: bool, wrong: str) -> None:
    found = glob_problem(pattern, path=path)
    assert wrong in found if wrong else found == ""


def test_the_command_tells_of_every_file_and_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, odd = (tmp_path / name for name in ("good.yml", "bad.yml", "odd.yml"))
    good.write_text(job())
    bad.write_text("on: [push, psuh]\njobs: {a: {run-on: x}}\n")
    odd.write_text(job(steps="- run: echo ${{ steps.x.y }}"))
    assert main(["lint", str(good)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["lint", str(good), str(bad), str(odd)]) == 2
    lines = capsys.readouterr().out.splitlines()
    places = [line.split(": ")[0].rpartition("/")[2] for line in lines]
    assert places == ["bad.yml:1:12", "bad.yml:2:12", "odd.yml:7:14"]
    assert main(["--json", "lint", str(odd)]) == 2
    (record,) = json.loads(capsys.readouterr().out)["problems"]
    assert (record["file"], record["line"], record["column"]) == (str(odd), 7, 14)
