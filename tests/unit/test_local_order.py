"""What `run local` is given, read and checked before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clockmesh.daemon.cli_arguments import parse
from clockmesh.daemon.exits import Trouble
from clockmesh.daemon.local import Order
from clockmesh.daemon.local_order import read_order, read_secrets
from clockmesh.runner.errors import InputError, RunnerError
from clockmesh.runner.spec import Given, JobSpec, spec_to_map

FLOW = """\
run-name: by ${{ github.event.who || 'nobody' }}
on:
  schedule: [{cron: '0 * * * *'}]
  workflow_dispatch:
    inputs: {text: {default: none}}
jobs:
  base: {runs-on: "${{ vars.WHERE || 'ubuntu-latest' }}", steps: [{run: 'true'}]}
  top: {needs: base, name: p2p-workflow, runs-on: ubuntu-latest, steps: [{run: 'true'}]}
  other: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}
"""


def order(folder: Path, *words: str, text: str = FLOW) -> Order:
    (folder / "flow.yml").write_text(text)
    return read_order(parse(["run", "local", str(folder / "flow.yml"), *words], {}).options, folder)


def secrets(folder: Path, text: str) -> dict[str, str]:
    (folder / "secrets").write_text(text)
    return read_secrets(str(folder / "secrets"))


def test_all_jobs_run_whichever_carries_a_tag(tmp_path: Path) -> None:
    assert [job.key for job in order(tmp_path).plan.jobs] == ["base", "top", "other"]


def test_one_job_brings_what_it_needs(tmp_path: Path) -> None:
    assert [job.key for job in order(tmp_path, "--job", "top").plan.jobs] == ["base", "top"]
    with pytest.raises(InputError, match=r"no job 'tpo'.*top"):
        order(tmp_path, "--job", "tpo")


def test_the_event_is_push_where_the_file_has_it_else_its_first(tmp_path: Path) -> None:
    assert order(tmp_path).plan.event == "schedule"
    assert order(tmp_path, text=FLOW.replace("on:\n", "on:\n  push:\n")).plan.event == "push"
    assert order(tmp_path, "--event", "workflow_dispatch").plan.inputs == (("text", "none"),)
    with pytest.raises(InputError, match="release"):
        order(tmp_path, "--event", "release")


def test_an_input_makes_it_a_dispatch_where_the_file_has_one(tmp_path: Path) -> None:
    for text in (FLOW, FLOW.replace("on:\n", "on:\n  push:\n")):
        found = order(tmp_path, "--input", "text=a", text=text).plan
        assert (found.event, found.inputs) == ("workflow_dispatch", (("text", "a"),))


def test_an_input_without_a_dispatch_tells_which_option_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--event workflow_dispatch"):
        order(tmp_path, "--input", "text=a", "--event", "schedule")
    assert order(tmp_path, "--input", "text=a", "--event", "workflow_dispatch").plan.inputs == (("text", "a"),)


def test_variables_and_the_event_count_when_jobs_are_planned(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"who": "ann"}')
    found = order(tmp_path, "--var", "WHERE=nas", "--event-file", str(tmp_path / "event.json"))
    assert found.plan.jobs[0].labels == ("nas",)
    assert found.run_name == "by ann"
    assert order(tmp_path).run_name == "by nobody"


@pytest.mark.parametrize("text", ["[1]", "{", "\udcff"])
def test_an_event_that_is_no_json_object_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "event.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Trouble, match=r"event.json:\d+: "):
        order(tmp_path, "--event-file", str(tmp_path / "event.json"))


def test_secrets_have_one_line_or_several(tmp_path: Path) -> None:
    text = "# tokens\n\nA=b=c \nEMPTY=\nKEY<<END\n# kept\n\nlast\nEND\n"
    assert secrets(tmp_path, text) == {"A": "b=c", "EMPTY": "", "KEY": "# kept\n\nlast"}


@pytest.mark.parametrize("text", ["hunter2", "1B=hunter2", "KEY<<END\nhunter2", "a=hunter2", "B<<"])
def test_a_bad_secret_is_refused_by_its_line_without_showing_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(Trouble, match="secrets:2: ") as caught:
        secrets(tmp_path, f"A=1\n{text}")
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="nowhere"):
        order(tmp_path, "--secret-file", "nowhere")
    with pytest.raises(RunnerError, match=r"flow.yml:1:1"):
        order(tmp_path, text="jobs: {}")


def test_what_is_given_is_no_part_of_the_spec_on_disk(tmp_path: Path) -> None:
    plan = order(tmp_path).plan
    spec = JobSpec("ab" * 32, "base", 1, plan, given=Given({"A": "hunter2"}))
    assert "hunter2" not in repr(spec_to_map(spec))


def test_the_command_loads_neither_network_nor_trio() -> None:
    code = "import sys, clockmesh.daemon.cli_local; print({'libp2p', 'trio', 'structlog'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
