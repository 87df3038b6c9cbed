"""Tags of a workflow file: one rule in all four places, and what is wrong is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.runner.eligibility import job_tags, workflow_tags
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.plan import read_workflow
from clockmesh.runner.tags import Tagged, read_tags


def tags(text: str) -> Tagged:
    return read_tags(text.encode(), "w.yml")


TAGGED = {
    "workflow name": "name: P2P-Workflow Data Scraping\n",
    "workflow labels": "labels: [offline-workflow]\n",
    "one workflow label": "labels: p2p-workflow\n",
    "job name": "jobs: {a: {name: Scrape (offline-workflow)}}\n",
    "job labels": "jobs: {a: {labels: [x, P2P-WORKFLOW]}}\n",
    "a label of several words": "labels: [the p2p-workflow ones]\n",
}
UNTAGGED = {
    "nothing": "on: push\n",
    "a part of a word": "name: non-p2p-workflow-x\nlabels: [p2p-workflows]\n",
    "a job's key": "jobs: {p2p-workflow: {name: x}}\n",
    "a comment": "name: x # p2p-workflow\n",
    "runs-on": "jobs: {a: {runs-on: p2p-workflow}}\n",
    "a step's name": "jobs: {a: {steps: [{name: p2p-workflow}]}}\n",
    "labels that are null": "labels:\njobs:\n",
}


@pytest.mark.parametrize("text", TAGGED.values(), ids=TAGGED)
def test_a_tag_counts_in_all_four_places(text):
    assert tags(text).is_tagged


@pytest.mark.parametrize("text", UNTAGGED.values(), ids=UNTAGGED)
def test_nothing_else_is_a_tag(text):
    assert not tags(text).is_tagged


def test_other_labels_are_kept_and_tags_are_lower_case():
    found = tags("name: x\nlabels: [P2P-Workflow, data-collection]\njobs: {a: {labels: Big}}\n")
    assert found.tags == {"p2p-workflow", "data-collection", "Big"}


def test_the_rest_of_the_file_is_told_as_plain_values():
    found = tags("name: x\non: {push: {}, schedule: [{cron: '0 0 * * *'}]}\nenv: {n: 3, f: 1.5}\njobs: {a: , b: {}}\n")
    assert (found.jobs, found.triggers) == (("a", "b"), ("push", "schedule"))
    assert found.raw["env"] == {"n": 3, "f": 1.5}
    assert tags("on: push").triggers == ("push",)
    assert tags("on: [push, workflow_dispatch]").triggers == ("push", "workflow_dispatch")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "w.yml:1:1"),
        ("- p2p-workflow", "w.yml:1:1"),
        ("name: p2p-workflow\n  x: [", "w.yml:2:"),
        ("name: p2p-workflow\nlabels: [{a: b}]", "w.yml:2:10"),
        ("name: p2p-workflow\nlabels: {a: b}", "w.yml:2:"),
        ("name: p2p-workflow\njobs: [a]", "w.yml:2:7"),
        ("name: p2p-workflow\njobs: {a: [b]}", "w.yml:2:11"),
        ("name: p2p-workflow\njobs: {a: {name: [b]}}", "w.yml:2:18"),
        ("name: [p2p-workflow]", "w.yml:1:7"),
        ("on: [[push]]", "w.yml:1:6"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, place):
    with pytest.raises(WorkflowError) as refused:
        tags(text)
    assert str(refused.value).startswith(place)


def test_the_mesh_finds_the_same_tags():
    for text in [*TAGGED.values(), *UNTAGGED.values()]:
        name = text.split("\n")[0] if text.startswith("name") else "name: plain"
        labels = next((line for line in text.splitlines() if line.startswith("labels: ")), "")
        whole = f"{name}\n{labels}\non: push\njobs: {{a: {{runs-on: x, steps: [{{run: echo}}]}}}}\n"
        workflow = read_workflow(whole.encode(), "w.yml")
        mesh = workflow_tags(workflow).union(*(job_tags(job) for job in workflow.jobs))
        assert mesh == {tag for tag in tags(whole).tags if tag.endswith("-workflow")}


def test_the_demos_workflows_are_eligible():
    files = list((Path(__file__).parents[2] / "daemon/demo/files").glob("*.yml"))
    assert files
    assert all(read_tags(file.read_bytes(), file.name).is_tagged for file in files)
