"""Bad input gets one line that names the place, the right exit status, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import Mesh

GOOD = """\
name: fine
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  fetch-site:
    runs-on: ubuntu-latest
    steps: [{run: echo fetched}]
  build:
    needs: fetch-site
    runs-on: ubuntu-latest
    steps: [{run: echo built}]
"""

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
)

CASES = {
    "not YAML": ("name: [unclosed\njobs: {", r"flow.yml:\d+:\d+: "),
    "a YAML bomb": (BOMB, r"flow.yml:\d+:\d+: "),
    "a duplicate key": (GOOD + "name: again\n", r"flow.yml:12:1: .*name"),
    "an unknown job in needs": (GOOD.replace("needs: fetch-site", "needs: fetch"), r"flow.yml:9:12: .*fetch-site"),
    "a needs cycle": (
        GOOD.replace("  fetch-site:\n", "  fetch-site:\n    needs: build\n"),
        r"flow.yml:\d+:\d+: .*build",
    ),
    "untagged": (GOOD.replace("labels: [p2p-workflow]\n", ""), r"flow.yml.*p2p-workflow"),
    "no jobs": ("name: p2p-workflow\non: push\njobs: {}\n", r"flow.yml:3:\d+: .*job"),
    "a key not supported yet": (
        GOOD.replace("    needs: fetch-site\n", "    needs: fetch-site\n    container: node:20\n"),
        r"flow.yml:10:5: .*container.*not supported yet",
    ),
    "an unknown key": (GOOD.replace("    needs:", "    need:"), r"flow.yml:9:5: .*needs"),
}


def clockmesh(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clockmesh.daemon.cli", *words], capture_output=True, text=True, timeout=60
    )


def assert_one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("case", CASES)
def test_a_bad_workflow_is_refused_with_its_place(mesh: Mesh, tmp_path: Path, case: str) -> None:
    import re

    text, wanted = CASES[case]
    path = tmp_path / "flow.yml"
    path.write_text(text)
    before = mesh["alpha"].json("run", "list"), mesh["alpha"].json("status")["nodes"]
    line = assert_one_line(clockmesh("run", "submit", str(path), "--home", str(mesh["alpha"].home)), 2)
    assert re.search(wanted, line), line
    assert (mesh["alpha"].json("run", "list"), mesh["alpha"].json("status")["nodes"]) == before


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["run", "submit", "nowhere.yml"], "nowhere.yml"),
        (["run", "submit", "flow.yml", "--input", "novalue"], "novalue"),
        (["run", "submit", "flow.yml", "--priority", "nan"], "priority"),
    ],
)
def test_a_bad_command_line_is_refused_in_one_line(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: str
) -> None:
    (tmp_path / "flow.yml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert wanted in assert_one_line(clockmesh(*words, "--home", str(mesh["alpha"].home)), 2)


def test_force_takes_an_untagged_workflow(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "flow.yml"
    path.write_text(GOOD.replace("labels: [p2p-workflow]\n", ""))
    run = mesh["alpha"].json("run", "submit", str(path), "--force")["run"]
    mesh["alpha"].run("run", "wait", run, "--timeout", "30")


def test_an_unknown_run_is_exit_3(mesh: Mesh) -> None:
    for verb in ("show", "logs", "wait", "cancel"):
        assert "deadbeef" in assert_one_line(clockmesh("--home", str(mesh["alpha"].home), "run", verb, "deadbeef"), 3)
    assert_one_line(clockmesh("why", "deadbeef", "--home", str(mesh["alpha"].home)), 3)


def test_without_a_daemon_the_error_says_how_to_start_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    clockmesh("init", "--home", str(home), "--name", "lonely")
    for words in (["status"], ["run", "list"], ["invite"]):
        assert f"clockmeshd --home {home}" in assert_one_line(clockmesh(*words, "--home", str(home)), 4)
