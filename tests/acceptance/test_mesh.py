"""What a user sees of three healthy peers."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

from clockmesh.daemon.demo.peers import Mesh, share_with_jobs, wait_until

HELLO = """\
name: Hello
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  one:
    runs-on: ubuntu-latest
    outputs:
      word: ${{ steps.say.outputs.word }}
    steps:
      - id: say
        run: |
          echo "hello from a job"
          echo "word=hello" >> "$GITHUB_OUTPUT"
  two:
    needs: one
    runs-on: ubuntu-latest
    steps:
      - run: echo "one said ${{ needs.one.outputs.word }}"
"""

TALK = """\
name: Talk
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  talk:
    runs-on: ubuntu-latest
    outputs: {said: '${{ steps.talk.outputs.said }}'}
    steps:
      - id: talk
        name: Talk
        run: |
          echo "::group::Details"
          echo "::debug::not shown"
          echo "::warning file=scrape.py,line=3,title=Slow::site took 9 s"
          echo "::set-output name=said::yes"
          word=opal-$((70+7))
          echo "::add-mask::$word"
          echo "the word is $word"
          echo "::stop-commands::pause-word"
          echo "::error::not a command now"
          echo "::pause-word::"
          echo "::error::at last"
          echo "# Prices" >> "$GITHUB_STEP_SUMMARY"
          echo "| $word | 4 |" >> "$GITHUB_STEP_SUMMARY"
"""


def write(folder: Path, text: str, name: str = "flow.yml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_run_reads_the_same_on_every_peer(mesh: Mesh, tmp_path: Path) -> None:
    run = mesh["beta"].json("run", "submit", write(tmp_path, HELLO))["run"]
    mesh["gamma"].run("run", "wait", run, "--timeout", "30")
    wait_until(lambda: all(p.json("run", "show", run)["conclusion"] for p in mesh), "all peers know the end", 2)
    first, *others = [p.json("run", "show", run) for p in mesh]
    assert others == [first, first]
    assert {job["key"]: job["outputs"] for job in first["jobs"]} == {"one": {"word": "hello"}, "two": {}}
    assert (first["status"], first["conclusion"], first["submitted_by"]) == ("completed", "success", "beta")
    logs = [p.run("run", "logs", run) for p in mesh]
    assert logs[1:] == [logs[0], logs[0]]
    assert "hello from a job" in logs[0]
    assert "one said hello" in logs[0]


def test_follow_streams_the_log_and_exits_as_the_run(mesh: Mesh, tmp_path: Path) -> None:
    good = mesh["alpha"].run("run", "submit", write(tmp_path, HELLO), "--follow")
    assert "hello from a job" in good
    bad = HELLO.replace("echo \"one said", "exit 3; echo \"one said")
    assert "exit code 3" in mesh["alpha"].run("run", "submit", write(tmp_path, bad), "--follow", good=(1,))


def test_a_matrix_has_its_legs_in_the_record(mesh: Mesh, tmp_path: Path) -> None:
    flow = """\
name: legs
labels: p2p-workflow
on: push
jobs:
  build:
    runs-on: self-hosted
    strategy: {matrix: {os: [a, b], n: [1, 2]}}
    steps: [{run: 'echo "leg ${{ matrix.os }}${{ matrix.n }}"'}]
"""
    run = mesh["gamma"].json("run", "submit", write(tmp_path, flow))["run"]
    mesh["gamma"].run("run", "wait", run, "--timeout", "30")
    jobs = mesh["alpha"].json("run", "show", run)["jobs"]
    assert [job["key"] for job in jobs] == ["build (a, 1)", "build (a, 2)", "build (b, 1)", "build (b, 2)"]
    assert "leg b2" in mesh["alpha"].run("run", "logs", run, "--job", "build (b, 2)")


def test_a_cancelled_run_ends_and_its_process_too(mesh: Mesh, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    flow = f"""\
name: sleeper p2p-workflow
on: push
jobs:
  sleep:
    runs-on: ubuntu-latest
    steps: [{{run: 'echo $$ > {pid}; exec sleep 300'}}]
"""
    run = mesh["alpha"].json("run", "submit", write(tmp_path, flow))["run"]
    wait_until(lambda: pid.exists() and pid.read_text().strip(), "the job runs", 15)
    (job,) = [found for peer in mesh for found in peer.processes(int(pid.read_text()))]
    mesh["beta"].run("run", "cancel", run)
    mesh["alpha"].run("run", "wait", run, "--timeout", "30", good=(8,))
    shown = mesh["gamma"].json("run", "show", run)
    assert (shown["status"], shown["conclusion"]) == ("cancelled", "cancelled")
    assert not Path(f"/proc/{job}").exists()


def test_a_job_that_no_peer_can_run_waits_and_can_be_cancelled(mesh: Mesh, tmp_path: Path) -> None:
    flow = HELLO.replace("runs-on: ubuntu-latest", "runs-on: [self-hosted, gpu-farm]")
    run = mesh["alpha"].json("run", "submit", write(tmp_path, flow))["run"]
    assert "no member offers label gpu-farm" in mesh["beta"].run("why", run)
    mesh["beta"].run("run", "cancel", run)
    mesh["gamma"].run("run", "wait", run, "--timeout", "30", good=(8,))
    assert mesh["alpha"].json("run", "show", run)["conclusion"] == "cancelled"


def test_a_snapshot_carries_the_work_tree_with_what_is_not_committed(mesh: Mesh, tmp_path: Path) -> None:
    flow = """\
name: tree
labels: [offline-workflow]
on: push
jobs:
  look:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          cat committed.txt changed.txt new.txt
          git rev-parse HEAD
          test ! -e deleted.txt
  know:
    runs-on: ubuntu-latest
    steps:
      - run: echo "without a checkout ${{ github.sha }} $GITHUB_REF"
"""
    repo = tmp_path / "repo"
    (repo / ".github/workflows").mkdir(parents=True)
    path = write(repo / ".github/workflows", flow)
    for name in ("committed", "changed", "deleted"):
        (repo / f"{name}.txt").write_text(f"{name}-first\n")
    git = ["git", "-C", str(repo), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (repo / "changed.txt").write_text("changed-second\n")
    (repo / "new.txt").write_text("new-file\n")
    (repo / "deleted.txt").unlink()
    run = mesh["beta"].json("run", "submit", path)["run"]
    mesh["beta"].run("run", "wait", run, "--timeout", "30")
    log = mesh["alpha"].run("run", "logs", run, "--job", "look")
    for text in ("committed-first", "changed-second", "new-file", head):
        assert text in log
    log = mesh["alpha"].run("run", "logs", run, "--job", "know")
    assert f"without a checkout {head} refs/heads/main" in log


def test_a_hundred_trivial_workflows_start_once_each_and_spread(mesh: Mesh, tmp_path: Path) -> None:
    sides = tmp_path / "sides"
    share_with_jobs(sides)
    runs = []
    for number in range(100):
        flow = f"""\
name: trivial {number}
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  touch:
    runs-on: ubuntu-latest
    steps: [{{run: 'echo "$CLOCKMESH_PEER $CLOCKMESH_ATTEMPT" >> {sides}/{number}'}}]
"""
        runs.append(mesh["alpha"].json("run", "submit", write(tmp_path, flow))["run"])
    for run in runs:
        mesh["alpha"].run("run", "wait", run, "--timeout", "60")
    starts = [(sides / str(number)).read_text().splitlines() for number in range(100)]
    assert [len(lines) for lines in starts] == [1] * 100
    share = Counter(lines[0].split()[0] for lines in starts)
    assert all(share[name] >= 15 for name in ("alpha", "beta", "gamma")), share
    listed = {run["run"] for run in mesh["gamma"].json("run", "list")["runs"]}
    assert set(runs) <= listed


def test_annotations_and_summaries_are_seen_on_every_peer(mesh: Mesh, tmp_path: Path) -> None:
    run = mesh["beta"].json("run", "submit", write(tmp_path, TALK))["run"]
    mesh["beta"].run("run", "wait", run, "--timeout", "30")
    wait_until(lambda: all(p.json("run", "show", run)["conclusion"] for p in mesh), "all peers know the end", 2)
    for peer in mesh:
        (job,) = peer.json("run", "show", run)["jobs"]
        assert job["outputs"] == {"said": "yes"}
        assert [(told["level"], told["message"], told["step"]) for told in job["annotations"]] == [
            ("warning", "site took 9 s", "Talk"), ("error", "at last", "Talk"),
        ]  # fmt: skip
        assert "  warning scrape.py:3: Slow: site took 9 s" in peer.run("run", "show", run).splitlines()
        assert peer.run("run", "show", run, "--summary") == "# Prices\n| *** | 4 |\n"
        log = peer.run("run", "logs", run, "--job", "talk").splitlines()
        assert {"the word is ***", "::error::not a command now", "Group: Details"} <= set(log)
        assert not [line for line in log if "opal-77" in line or line == "Debug: not shown"]


def test_json_shapes_are_the_published_ones(mesh: Mesh, tmp_path: Path) -> None:
    alpha = mesh["alpha"]
    submitted = alpha.json("run", "submit", write(tmp_path, HELLO))
    assert submitted["v"] == 1
    alpha.run("run", "wait", submitted["run"])
    shown = alpha.json("run", "show", submitted["run"][:10])
    assert {"v", "run", "name", "status", "conclusion", "priority", "submitted_by", "jobs"} <= set(shown)
    assert {"key", "status", "conclusion", "peer", "attempt", "outputs"} <= set(shown["jobs"][0])
    peers = alpha.json("peer", "list")
    assert {"id", "name", "self", "live", "slots", "labels"} <= set(peers["peers"][0])
    assert [peer["name"] for peer in peers["peers"] if peer["self"]] == ["alpha"]
    status = alpha.json("status")
    assert status["peer"] == "alpha"
    assert isinstance(status["nodes"], int)
    assert all(len(bytes.fromhex(head)) == 32 for head in status["heads"])
    assert json.loads(alpha.run("--json", "status"))["mesh"] == status["mesh"]
