"""`clockmesh run local`: a workflow on this machine alone, as a user types it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import why_no_sandbox
from tests.conformance.probes import FOLDER, check
from tests.integration.runner_support import repository, wait_for

HEAD = "on: [push, workflow_dispatch]\njobs:\n"


class Local:
    """The command in a folder of its own, with a place of its own for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._temp = folder / "temp"
        self._temp.mkdir(parents=True)

    def start(self, text: str, *words: str) -> subprocess.Popen[str]:
        (self.folder / "flow.yml").write_text(text)
        places = {"TMPDIR": str(self._temp), "XDG_STATE_HOME": str(self.folder / "state")}
        return subprocess.Popen(
            [sys.executable, "-m", "clockmesh.daemon.cli", "run", "local", "flow.yml", *words],
            cwd=self.folder, env={**os.environ, **places}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, text: str, *words: str, status: int = 0) -> tuple[str, str]:
        """Standard output and standard error; nothing else may be left."""
        process = self.start(text, *words)
        printed, complained = process.communicate(timeout=60)
        assert process.returncode == status, printed + complained
        assert self.left() == []
        return printed, complained

    def left(self) -> list[str]:
        """Files and processes of the runs."""
        mark = f"\0TMPDIR={self._temp}\0".encode()
        return [*map(str, self._temp.iterdir()), *(name for name in os.listdir("/proc") if mark in _environment(name))]


def _environment(name: str) -> bytes:
    try:
        return b"\0" + Path(f"/proc/{name}/environ").read_bytes() if name.isdigit() else b""
    except OSError:
        return b""


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path / "here")  # git trusts a folder of its own user alone


def job(name: str, *steps: str, more: str = "") -> str:
    lines = "".join(f"      - {step}\n" for step in steps)
    return f"  {name}:\n    runs-on: ubuntu-latest\n{more}    steps:\n{lines}"


def test_jobs_run_after_what_they_need_and_each_line_tells_its_job(local: Local) -> None:
    text = HEAD + job("first", "run: echo \"one-$((1+1))\"") + job(
        "second", "run: echo \"two-$((1+2)) ${{ needs.first.result }}\"", more="    needs: first\n")  # fmt: skip
    printed, complained = local.run(text)
    assert complained == ""
    assert printed.index("first | one-2\n") < printed.index("second | two-3 success\n")
    assert printed.endswith("flow > success\n")


def test_a_matrix_made_of_outputs_and_a_called_workflow_become_jobs(local: Local) -> None:
    called = (
        "on:\n  workflow_call:\n    inputs: {who: {type: string}}\n"
        "    outputs: {text: {value: '${{ jobs.a.outputs.text }}'}}\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
        "    outputs: {text: '${{ steps.s.outputs.text }}'}\n    steps:\n"
        "      - {id: s, run: 'echo \"text=hi ${{ inputs.who }}\" >> $GITHUB_OUTPUT'}\n"
    )
    repository(local.folder, {".github/workflows/called.yml": called})
    list_ = "    outputs: {list: '${{ steps.s.outputs.list }}'}\n"
    text = HEAD + job("first", "{id: s, run: 'echo list=[1,2] >> $GITHUB_OUTPUT'}", more=list_) + (
        "  call:\n    needs: first\n    uses: ./.github/workflows/called.yml\n"
        "    with: {who: '${{ join(fromJSON(needs.first.outputs.list)) }}'}\n"
    ) + job("each", 'run: echo "v=$((${{ matrix.v }} * 11)) ${{ needs.call.outputs.text }}"',
            more="    needs: [first, call]\n    strategy: {matrix: {v: '${{ fromJSON(needs.first.outputs.list) }}'}}\n")
    printed, _ = local.run(text)
    assert "each (1) | v=11 hi 1,2\n" in printed
    assert "each (2) | v=22 hi 1,2\n" in printed
    assert "call / a > success" in printed


def test_of_jobs_in_one_group_one_runs_one_waits_and_older_waiting_ones_give_way(local: Local) -> None:
    step = 'run: echo "at $(date +%s%N)"; sleep 1; echo "to $(date +%s%N)"'
    text = HEAD + "".join(job(name, step, more="    concurrency: one\n") for name in "abc")
    printed, _ = local.run(text, status=8)
    assert [
        next(line for line in printed.splitlines() if line.startswith(f"{name} > ")).split(" in ")[0] for name in "abc"
    ] == ["a > success", "b > cancelled", "c > success"]
    begun = {line[0]: int(line.rpartition(" ")[2]) for line in printed.splitlines() if "| at 1" in line}
    ended = {line[0]: int(line.rpartition(" ")[2]) for line in printed.splitlines() if "| to 1" in line}
    assert ended["a"] <= begun["c"]


def test_a_run_that_waits_for_its_group_ends_at_once_when_it_is_asked_to(local: Local) -> None:
    text = HEAD.replace("jobs:", "concurrency: {group: '${{ github.event_name }}'}\njobs:") + job(
        "slow", "run: echo begun-$((1+1)); sleep 60"
    )
    first, second = local.start(text), local.start(text)
    streams = {process: process.stdout for process in (first, second)}
    try:
        waiting = next(each for each, stream in streams.items() if "waiting for the concurrency" in stream.readline())
        waiting.send_signal(signal.SIGINT)
        printed, _ = waiting.communicate(timeout=20)
        assert "slow > cancelled" in printed
        assert "begun-2" not in printed
        assert waiting.returncode == 8
    finally:
        for process in streams:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)


def test_a_failing_job_fails_the_command_and_a_daemonised_child_ends(local: Local) -> None:
    printed, _ = local.run(HEAD + job("bad", "run: (setsid sleep 600 &) ; exit 3"), status=1)
    assert "bad > failure" in printed
    assert "exit code 3" in printed


def test_the_work_tree_is_checked_out_as_it_is(local: Local) -> None:
    sha = repository(local.folder, {"data.txt": "old"})
    (local.folder / "data.txt").write_text("changed")
    printed, _ = local.run(HEAD + job("look", "uses: actions/checkout@v4", 'run: echo "[$(cat data.txt)] $GITHUB_SHA"'))
    assert f"[changed] {sha}" in printed


@pytest.mark.skipif(bool(why_no_sandbox(Path(tempfile.gettempdir()))), reason="no sandbox can be made here")
def test_with_sandbox_the_jobs_do_not_see_the_folder_and_without_they_do(local: Local) -> None:
    text = HEAD + job("look", f"run: ls {local.folder} || echo nothing; pwd")
    printed, _ = local.run(text, "--sandbox")
    assert "look | nothing\n" in printed
    assert "look | /home/runner/work/repository\n" in printed
    assert "look | in a sandbox (bubblewrap): network on" in printed
    printed, _ = local.run(text)
    assert "look | flow.yml\n" in printed
    off = text.replace("runs-on: ubuntu-latest", "runs-on: [self-hosted, network-off]")
    assert "look | in a sandbox (bubblewrap): network off" in local.run(off, "--sandbox")[0]
    assert "no sandbox: the network is on, whatever the label network-off says" in local.run(off)[0]


def test_secrets_and_variables_arrive_and_no_secret_is_shown(local: Local) -> None:
    (local.folder / "secrets").write_text("TOKEN=hunter2-hunter2\n")
    text = HEAD + job("use", 'run: echo "<${{ secrets.token }}> ${{ vars.COLOUR }} $(printf %s "$T" | base64)"',
                      more="    env: {T: '${{ secrets.TOKEN }}'}\n")  # fmt: skip
    printed, _ = local.run(text, "--secret-file", "secrets", "--var", "COLOUR=teal")
    assert "use | <***> teal ***" in printed
    assert "hunter2" not in printed


def test_ctrl_c_cancels_politely(local: Local) -> None:
    text = HEAD + job("long", "run: echo ready; sleep 600", "if: always()\n        run: echo \"tidy-$((1+1))\"") + job(
        "later", "run: echo no", more="    needs: long\n")  # fmt: skip
    process = local.start(text)
    assert process.stdout is not None
    assert any("long | ready" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 8
    assert "long | tidy-2" in printed
    assert "later > cancelled" in printed
    assert local.left() == []


def test_a_second_ctrl_c_kills(local: Local) -> None:
    deaf = job("deaf", "run: trap '' INT TERM; echo ready; sleep 600", "if: always()\n        run: sleep 600")
    process = local.start(HEAD + deaf)
    assert process.stdout is not None
    assert any("deaf | ready" in line for line in process.stdout)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert any("cancelling" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 8
    assert time.monotonic() - began < 5
    assert local.left() == []


def test_a_killed_command_leaves_nothing(local: Local) -> None:
    process = local.start(HEAD + job("long", "run: (setsid sleep 600 &); echo ready; sleep 600"))
    assert process.stdout is not None
    assert any("long | ready" in line for line in process.stdout)
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: local.left() == [], "the end of all that the command had begun")


@pytest.mark.parametrize(
    ("text", "words", "wanted"),
    [
        (HEAD + "  a: {runs-on: x, setps: []}\n", [], "flow.yml:3:19: "),
        (HEAD + job("a", "run: 'true'"), ["--job", "b"], "'b'"),
        (HEAD + job("a", "run: 'true'"), ["--event", "release"], "release"),
        (HEAD + job("a", "run: 'true'"), ["--secret-file", "nowhere"], "nowhere"),
        (HEAD + job("a", "run: 'true'"), ["--var", "x"], "--var"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(local: Local, text: str, words: list[str], wanted: str) -> None:
    printed, complained = local.run(text, *words, status=2)
    assert printed == ""
    assert len(complained.splitlines()) == 1
    assert wanted in complained


def test_with_json_one_record_tells_all(local: Local) -> None:
    say = "name: say\n        id: say\n        run: echo v=${{ matrix.n }} | tee -a $GITHUB_OUTPUT $GITHUB_STEP_SUMMARY"
    more = "    strategy: {matrix: {n: [1, 2]}}\n    outputs: {v: '${{ steps.say.outputs.v }}'}\n"
    text = "run-name: Ship\n" + HEAD + job("legs", say, more=more)
    printed, complained = local.run(text, "--json")
    (record,) = [json.loads(line) for line in printed.splitlines()]
    assert (record["result"], record["run_name"], record["errors"]) == ("success", "Ship", "")
    assert record["jobs"] == [{"job": "legs", "matrix": {"n": n}, "result": "success"} for n in (1, 2)]
    assert {"job": "legs", "matrix": {"n": 2}, "step": "say", "text": "v=2"} in record["logs"]
    assert record["summary"] == "v=1\nv=2\n"
    assert record["outputs"] == {"legs": {"v": "2"}}
    assert 0 < record["wall_s"] < 60
    assert "legs (1) | v=1" in complained


def test_with_json_bad_input_is_a_record_too(local: Local) -> None:
    printed, complained = local.run(HEAD + "  a: {runs-on: x, setps: []}\n", "--json", status=2)
    record = json.loads(printed)
    assert record["result"] == "invalid"
    assert "flow.yml:3:19: " in record["errors"]
    assert "flow.yml:3:19: " in complained


@pytest.mark.skipif(not (FOLDER / "probes.json").is_file(), reason=f"no probes: {FOLDER} is not there")
@pytest.mark.parametrize("name", ["v15", "v25", "v35", "v61"])
def test_a_probe_passes_its_own_judge(name: str) -> None:
    spec = importlib.util.spec_from_file_location("probe_judge", FOLDER / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    probes = json.loads((FOLDER / "probes.json").read_text(encoding="utf-8"))["probes"]
    assert check(judge, FOLDER, next(probe for probe in probes if probe["id"][:3] == name)) == []


def test_a_folder_without_probes_is_said_to_be_one(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.conformance.probes", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert "absent" in done.stdout
