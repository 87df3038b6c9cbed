"""The built-in actions, in runs on this machine, as a user types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.test_run_local import HEAD, Local, job
from tests.integration.runner_support import git, repository


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path / "here")


FILES = "run: mkdir -p dist/sub; echo one > 'dist/o n.txt'; echo two > dist/sub/two.map; echo h > dist/.hid"


def test_artifacts_go_from_job_to_job_as_they_are_named(local: Local) -> None:
    upload = "{uses: actions/upload-artifact@v4, with: {%s}}"
    text = HEAD + job(
        "make", FILES,
        "{id: up, uses: actions/upload-artifact@v4, with: {name: most, path: \"dist\\n!dist/**/*.map\"}}",
        upload % "name: map, path: dist/**/*.map",
        upload % "name: none, path: nowhere",
        "{continue-on-error: true, " + (upload % "name: most, path: dist")[1:],
        "{continue-on-error: true, " + (upload % "name: 'a/b', path: dist")[1:],
        "{continue-on-error: true, " + (upload % "name: x, path: nowhere, if-no-files-found: error")[1:],
        "run: test -n '${{ steps.up.outputs.artifact-digest }}'",
    ) + job(
        "take",
        "{uses: actions/download-artifact@v4, with: {name: most, path: got}}",
        "{uses: actions/download-artifact@v4, with: {path: all}}",
        "{uses: actions/download-artifact@v4, with: {path: flat, pattern: 'm*', merge-multiple: true}}",
        "run: find * -type f | sort",
        "{uses: actions/download-artifact@v4, with: {name: lost}}",
        more="    needs: make\n",
    )  # fmt: skip
    printed, _ = local.run(text, status=1)
    found = [line.removeprefix("take | ") for line in printed.splitlines() if line.startswith(("take | all/",
             "take | flat/", "take | got/"))]  # fmt: skip
    assert found == ["all/map/sub/two.map", "all/most/o n.txt", "flat/o n.txt", "flat/sub/two.map", "got/o n.txt"]
    assert "No files were found with the provided path: nowhere" in printed
    assert "already exists on the workflow run: most" in printed
    assert "the artifact name 'a/b' is not valid" in printed
    assert "Artifact not found for name: lost; there are: map, most" in printed


def test_a_cache_is_kept_from_run_to_run_and_found_by_key_then_by_prefix(local: Local) -> None:
    steps = ("{id: c, uses: actions/cache@v4, with: {path: \"build/*\\n~/none-such\", key: '${{ vars.KEY }}', "
             "restore-keys: \"k-\"}}",
             "run: echo \"hit=[${{ steps.c.outputs.cache-hit }}] $(cat build/f || true)\"",
             "run: mkdir -p build/empty; echo ${{ vars.KEY }} > build/f")  # fmt: skip
    text = HEAD + job("j", *steps)
    first, _ = local.run(text, "--var", "KEY=k-1")
    assert "hit=[] " in first
    assert "Cache saved with key: k-1" in first
    again, _ = local.run(text, "--var", "KEY=k-1")
    assert "hit=[true] k-1" in again
    assert "Cache saved" not in again
    other, _ = local.run(text, "--var", "KEY=k-2")
    assert "hit=[false] k-1" in other
    assert "Cache saved with key: k-2" in other
    failing, _ = local.run(HEAD + job("j", *steps, "run: exit 1"), "--var", "KEY=k-3", status=1)
    assert "hit=[false] k-2" in failing
    assert "Cache saved" not in failing
    fail = HEAD + job("j", "{uses: actions/cache/restore@v4, with: {path: x, key: z, fail-on-cache-miss: true}}")
    assert "fail-on-cache-miss is set" in local.run(fail, status=1)[0]


def test_changes_are_committed_and_pushed_once(local: Local) -> None:
    repository(local.folder / "work", {"data.txt": "old\n"})
    git(local.folder, "clone", "-q", "--bare", "work", "origin.git")
    git(local.folder / "work", "remote", "add", "origin", f"file://{local.folder}/origin.git")
    commit = "uses: stefanzweifel/git-auto-commit-action@v5"
    steps = ("uses: actions/checkout@v4", "run: echo new > data.txt; echo x > other.log",
             "{id: c, " + commit[:] + ", with: {commit_message: Data of today, file_pattern: '*.txt'}}",
             "run: echo \"changed=${{ steps.c.outputs.changes_detected }} ${{ steps.c.outputs.commit_hash }}\"",
             "{id: d, " + commit + ", with: {file_pattern: '*.txt'}}",
             "run: echo \"again=${{ steps.d.outputs.changes_detected }}\"")  # fmt: skip
    local.folder = local.folder / "work"
    printed, _ = local.run(HEAD + job("j", *steps))
    origin = local.folder.parent / "origin.git"
    head = git(origin, "rev-parse", "main")
    assert f"changed=true {head}" in printed
    assert "again=false" in printed
    assert git(origin, "show", "--name-only", "--format=%s|%cn", "main").split() == [
        "Data", "of", "today|github-actions[bot]", "data.txt",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_tools_are_those_of_the_machine_or_the_error_says_which_there_are(local: Local) -> None:
    text = HEAD + job(
        "j", "{id: p, uses: actions/setup-python@v5, with: {python-version: '>=3.8'}}",
        "run: test \"$(python -c 'import sys; print(sys.prefix)')\" = \"$pythonLocation\" && pip --version",
        "run: test \"$(python --version)\" = 'Python ${{ steps.p.outputs.python-version }}'",
        "{uses: actions/setup-node@v4, with: {node-version: 'lts/*'}}", "run: node --version",
        "{uses: actions/setup-node@v4, with: {node-version: 4}}",
    )  # fmt: skip
    printed, _ = local.run(text, status=1)
    assert "Node.js 4 is not on this peer; there are: " in printed
    assert "change `node-version`" in printed
