"""A remote source: resolved to a commit and a plan, checked out, and pushed to. A real `git daemon` on loopback."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.ids import RESOLVE
from clockmesh.protocol.plan import Remote
from clockmesh.protocol.result import Conclusion
from clockmesh.runner import host_messages as messages
from clockmesh.runner.checkout import find_ref
from clockmesh.runner.plan import resolve_plan
from clockmesh.runner.spec import JobSpec, job_dir
from tests.integration.runner_hosts import HOUR, Daemon, boottime, log_of, run_job, running_host
from tests.integration.runner_support import git, repository, wait_for, write

RUNS = itertools.count(1000)

WORKFLOW = """\
name: scrape
labels: [p2p-workflow]
on:
  workflow_dispatch:
    inputs:
      word: {required: true}
jobs:
  push:
    runs-on: self-hosted
    outputs: {commit: '${{ steps.push.outputs.commit }}'}
    steps:
      - uses: actions/checkout@v4
      - id: push
        run: |
          git config user.name ann
          git config user.email ann@example.invalid
          echo "${{ inputs.word }}" >> data.csv
          git add data.csv
          git commit -q -m "add ${{ inputs.word }} in attempt $CLOCKMESH_ATTEMPT"
          git push
          echo "commit=$(git rev-parse HEAD)" >> "$GITHUB_OUTPUT"
          git rev-list --count HEAD
"""

BROKEN = """\
labels: [p2p-workflow]
on: push
jobs:
  a:
    runs-on: self-hosted
    needs: nothing
    steps: [run: 'true']
"""

CHECKING_OUT = """\
on: push
jobs:
  j:
    runs-on: self-hosted
    steps:
      - uses: actions/checkout@v4
        with: {%s}
      - working-directory: %s
        run: %s
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with running_host(tmp_path_factory.mktemp("home")) as host:
        host.daemon = Daemon(host.home)
        yield host
        assert "Traceback" not in host.said


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A bare repository behind `git daemon --enable=receive-pack`: (folder, URL)."""
    base = tmp_path_factory.mktemp("served")
    seed = base / "seed"
    repository(seed, {"data.csv": "start\n", "old": "x"})
    untagged = WORKFLOW.replace("labels: [p2p-workflow]\n", "")
    write(seed, {".github/workflows/scrape.yml": WORKFLOW, "untagged.yml": untagged, "broken.yml": BROKEN})
    git(seed, "add", "-A")
    git(seed, "commit", "-q", "-m", "second")
    git(seed, "tag", "-a", "v1", "-m", "one")
    git(base, "clone", "-q", "--bare", str(seed), str(base / "repo.git"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", f"--port={port}", "--listen=127.0.0.1", f"--base-path={base}", "--export-all",
         "--enable=receive-pack"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "git daemon listens")
        yield base / "repo.git", f"git://127.0.0.1:{port}/repo.git"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def resolved(host, url, path=".github/workflows/scrape.yml", *, ref="", inputs=None, force=False):
    """The ended report and the result of a run's resolving step."""
    plan = resolve_plan(url, ref, path, {"word": "w"} if inputs is None else inputs, force)
    spec = JobSpec(next(RUNS).to_bytes(32, "big").hex(), RESOLVE, 1, plan, peer="bob", actor="ann")
    host.daemon.send(messages.Start(spec, boottime() + HOUR))
    ended = host.daemon.wait(messages.Ended, spec.ref)
    assert ended.result is not None, ended.why
    return ended, decode_result(ended.result)


def check_out(host, source, text):
    return run_job(host, host.daemon, text, source=source, run=next(RUNS).to_bytes(32, "big"))


def pushing(host, plan, workflow, attempt=1):
    spec = JobSpec(next(RUNS).to_bytes(32, "big").hex(), "push", attempt, plan, workflow, peer="bob", actor="ann")
    host.daemon.send(messages.Start(spec, boottime() + HOUR))
    return host.daemon.result(spec.ref), log_of(host.home, spec.ref)


def test_a_remote_is_resolved_to_branch_commit_and_plan(host, served):
    folder, url = served
    ended, result = resolved(host, url)
    assert result.conclusion is Conclusion.SUCCESS
    assert result.resolved.source == Remote(url, "refs/heads/main", git(folder, "rev-parse", "main"))
    assert [job.key for job in result.resolved.jobs] == ["push"]
    assert result.resolved.inputs == (("word", "w"),)
    data = Path(ended.workflow).read_bytes()
    assert data.decode() == WORKFLOW
    assert result.resolved.workflow == manifest_of(data).blob
    assert Path(ended.workflow) == job_dir(host.home, ended.ref) / "workflow"


def test_each_run_works_on_the_commit_that_the_one_before_pushed(host, served):
    folder, url = served
    for word in ("one", "two", "three"):
        ended, result = resolved(host, url, inputs={"word": word})
        before = git(folder, "rev-parse", "main")
        pushed, log = pushing(host, result.resolved, ended.workflow)
        assert pushed.conclusion is Conclusion.SUCCESS, log
        commit = dict(pushed.outputs)["commit"]
        assert git(folder, "rev-parse", "main", "main~1").split() == [commit, before]
        assert log[-1] == "2", "the fetch was shallow"
    assert git(folder, "show", "main:data.csv").split() == ["start", "one", "two", "three"]


def test_a_rejected_push_is_an_ordinary_failure_of_its_step(host, served):
    _, url = served
    ended, result = resolved(host, url)
    first, _ = pushing(host, result.resolved, ended.workflow)
    second, log = pushing(host, result.resolved, ended.workflow, attempt=2)
    assert first.conclusion is Conclusion.SUCCESS
    assert second.conclusion is Conclusion.FAILURE
    assert any("[rejected]" in line or "non-fast-forward" in line for line in log)


@pytest.mark.parametrize(
    ("ref", "full"),
    [("main", "refs/heads/main"), ("refs/heads/main", "refs/heads/main"), ("v1", "refs/tags/v1")],
)
def test_a_ref_may_be_a_branch_a_tag_or_a_full_name(host, served, ref, full):
    folder, url = served
    _, result = resolved(host, url, ref=ref)
    assert result.resolved.source == Remote(url, full, git(folder, "rev-parse", ref + "^{commit}"))


def test_a_tag_is_checked_out_detached_and_a_commit_by_its_id(host, served):
    folder, url = served
    sha = git(folder, "rev-parse", "v1^{commit}")
    for ref in ("v1", sha):
        _, result = resolved(host, url, ref=ref)
        assert result.resolved.source.sha == sha
        text = CHECKING_OUT % ("", ".", "git rev-parse --abbrev-ref HEAD; git rev-parse HEAD")
        done, log = check_out(host, result.resolved.source, text)
        assert done.conclusion is Conclusion.SUCCESS, log
        assert log[-2:] == ["HEAD", sha]


def test_a_local_path_a_file_url_a_depth_and_a_path_work_too(host, served):
    folder, _ = served
    sha = git(folder, "rev-parse", "main")
    for url in (str(folder), folder.as_uri()):
        for depth, count in (("0", git(folder, "rev-list", "--count", "main")), ("2", "2")):
            tell = "git rev-parse --abbrev-ref HEAD '@{upstream}'; git rev-list --count HEAD"
            text = CHECKING_OUT % (f"fetch-depth: {depth}, path: sub/dir", "sub/dir", tell)
            done, log = check_out(host, Remote(url, "refs/heads/main", sha), text)
            assert done.conclusion is Conclusion.SUCCESS, log
            assert log[-3:] == ["main", "origin/main", count]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"path": "untagged.yml"}, "untagged.yml:"),
        ({"path": "broken.yml"}, "broken.yml:6:12: job 'a' needs 'nothing'"),
        ({"path": "none.yml"}, "none.yml is not a file of git://"),
        ({"path": ".github"}, ".github is not a file of git://"),
        ({"ref": "nowhere"}, "has no branch or tag 'nowhere'"),
        ({"ref": "abcdef1"}, "has no branch or tag 'abcdef1'; a commit is named by all its 40 digits"),
        ({"ref": "0" * 39 + "1"}, "repo.git: git fetch failed: remote error: upload-pack: not our ref"),
        ({"inputs": {}}, "the input 'word' is required"),
        ({"inputs": {"word": "w", "more": "m"}}, "no input 'more'"),
    ],
)
def test_what_is_wrong_there_fails_the_resolving_step_with_one_line(host, served, change, error):
    _, url = served
    ended, result = resolved(host, url, **change)
    assert result.conclusion is Conclusion.FAILURE
    assert error in result.error
    assert ended.workflow == ""
    assert f"Error: {result.error}" in log_of(host.home, ended.ref)


def test_an_untagged_workflow_runs_when_it_is_forced(host, served):
    _, result = resolved(host, served[1], "untagged.yml", force=True)
    assert result.conclusion is Conclusion.SUCCESS


@pytest.mark.parametrize("url", ["ext::sh -c 'touch {0}'", "--upload-pack=touch {0}", "fd::17"])
def test_a_url_that_is_a_command_is_refused(host, tmp_path, url):
    _, result = resolved(host, url.format(tmp_path / "hit"))
    assert result.conclusion is Conclusion.FAILURE
    assert not (tmp_path / "hit").exists()


def test_a_remote_that_is_not_there_is_one_line_without_its_password(host):
    _, result = resolved(host, "http://ann:secret@127.0.0.1:9/x.git")
    assert result.conclusion is Conclusion.FAILURE
    assert "git ls-remote failed: unable to access" in result.error
    assert "secret" not in result.error


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("git://127.0.0.1:9/x.git", "Connection refused"),
        ("ssh://127.0.0.1:9/x.git", "Connection refused"),
        ("git://nowhere.invalid/x.git", "nowhere.invalid"),
    ],
)
def test_a_remote_that_cannot_be_reached_is_named_with_the_reason(host, url, reason):
    if url.startswith("ssh:") and shutil.which("ssh") is None:
        pytest.skip("no ssh here")
    _, result = resolved(host, url)
    assert result.error.startswith(f"{url}: git ls-remote failed: ")
    assert reason in result.error


def test_an_empty_remote_is_said_to_have_no_default_branch(host, tmp_path):
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    _, result = resolved(host, str(tmp_path / "empty.git"))
    assert "has no default branch; is it empty?" in result.error


def test_a_remote_that_does_not_answer_can_be_cancelled(host):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        plan = resolve_plan(f"git://127.0.0.1:{silent.getsockname()[1]}/x", "", "w.yml", {}, False)
        spec = JobSpec(next(RUNS).to_bytes(32, "big").hex(), RESOLVE, 1, plan)
        host.daemon.send(messages.Start(spec, boottime() + HOUR))
        silent.settimeout(10)
        with silent.accept()[0]:
            host.daemon.send(messages.Stop(spec.ref))
            assert host.daemon.result(spec.ref).conclusion is Conclusion.CANCELLED


def test_a_checkout_of_another_ref_of_the_remote(host, served):
    folder, url = served
    git(folder, "branch", "-f", "side", "v1^{commit}")
    text = CHECKING_OUT % ("ref: side", ".", "git status -sb")
    source = Remote(url, "refs/heads/main", git(folder, "rev-parse", "main"))
    done, log = check_out(host, source, text)
    assert done.conclusion is Conclusion.SUCCESS, log
    assert log[-1] == "## side...origin/side"
    tell = 'echo "${{ steps.c.outputs.ref }} ${{ steps.c.outputs.commit }}"'
    text = (CHECKING_OUT % ("ref: side", ".", tell)).replace("- uses", "- id: c\n        uses")
    _, log = check_out(host, source, text)
    assert log[-1] == f"refs/heads/side {git(folder, 'rev-parse', 'side')}"
    text = CHECKING_OUT % ("ref: side", ".", "git status -sb")
    done, _ = check_out(host, source, text.replace("side", "gone"))
    assert "the remote has no branch or tag 'gone'" in done.error


def test_refs_are_found_by_branch_before_tag_and_an_annotated_tag_by_its_commit():
    listed = ["ref: refs/heads/trunk\tHEAD", "a\tHEAD", "a\trefs/heads/trunk", "b\trefs/heads/x", "c\trefs/tags/x",
              "d\trefs/tags/v", "e\trefs/tags/v^{}"]  # fmt: skip
    assert find_ref(listed, "") == ("refs/heads/trunk", "a")
    assert find_ref(listed, "x") == ("refs/heads/x", "b")
    assert find_ref(listed, "refs/tags/x") == ("refs/tags/x", "c")
    assert find_ref(listed, "v") == ("refs/tags/v", "e")
    assert find_ref(["a\tHEAD"], "") == ("", "a"), "a detached HEAD"
    with pytest.raises(LookupError):
        find_ref(listed, "y")
