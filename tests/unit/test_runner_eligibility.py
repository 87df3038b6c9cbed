from __future__ import annotations

import pytest

from clockmesh.runner.eligibility import job_tags, selected_jobs, tags_in, workflow_tags
from clockmesh.runner.errors import WorkflowError
from tests.unit.runner_workflows import read

JOBS = """\
jobs:
  fetch: {runs-on: x}
  build: {runs-on: x, needs: fetch}
  report: {runs-on: x, needs: build}
  other: {runs-on: x}
"""


def _selected(text: str, *, force: bool = False) -> list[str]:
    return [job.id for job in selected_jobs(read(text), force=force)]


TAGGED = ["p2p-workflow", "Nightly (P2P-Workflow)", "a/offline-workflow,b", "x: OFFLINE-WORKFLOW"]
UNTAGGED = ["", "p2p", "non-p2p-workflow-x", "p2p-workflows", "_p2p-workflow", "äp2p-workflow", "p2p workflow"]


@pytest.mark.parametrize("text", TAGGED)
def test_a_tag_is_a_word_in_any_letter_case(text: str) -> None:
    assert tags_in([text])


@pytest.mark.parametrize("text", UNTAGGED)
def test_a_part_of_a_word_is_no_tag(text: str) -> None:
    assert not tags_in([text])


def test_a_tag_is_found_in_all_four_places() -> None:
    assert workflow_tags(read("name: p2p-workflow\non: push\n" + JOBS)) == {"p2p-workflow"}
    assert workflow_tags(read("labels: [a, offline-workflow]\non: push\n" + JOBS)) == {"offline-workflow"}
    assert workflow_tags(read("labels: p2p-workflow\non: push\n" + JOBS)) == {"p2p-workflow"}
    job = read("on: push\njobs: {a: {runs-on: x, name: the p2p-workflow, labels: offline-workflow}}").jobs[0]
    assert job_tags(job) == {"p2p-workflow", "offline-workflow"}


def test_job_ids_steps_and_machines_are_not_looked_at() -> None:
    text = "on: push\njobs: {p2p-workflow: {runs-on: p2p-workflow, steps: [{name: p2p-workflow, run: x}]}}"
    assert not workflow_tags(read(text))
    assert not job_tags(read(text).jobs[0])


def test_a_tagged_workflow_runs_whole() -> None:
    assert _selected("name: p2p-workflow\non: push\n" + JOBS) == ["fetch", "build", "report", "other"]


def test_a_tag_on_a_job_selects_it_and_all_it_needs() -> None:
    tagged = JOBS.replace("report: {", "report: {labels: p2p-workflow, ")
    assert _selected("on: push\n" + tagged) == ["fetch", "build", "report"]
    assert _selected("on: push\n" + tagged, force=True) == ["fetch", "build", "report"]


def test_an_untagged_workflow_is_refused_with_the_line_to_add() -> None:
    with pytest.raises(WorkflowError) as raised:
        _selected("on: push\n" + JOBS)
    assert str(raised.value) == (
        "w.yml:1:1: the workflow carries no tag; add the line `labels: [p2p-workflow]` at the top, "
        "or submit it with --force"
    )
    assert len(_selected("on: push\n" + JOBS, force=True)) == 4
