"""One of three homes lies on a small disk that is filled up: what is refused, what goes on, and how it comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clockmesh.daemon.demo.peers import Mesh, Peer, share_with_jobs, stopped_at_end, wait_until
from tests.acceptance.conftest import join_all
from tests.conftest import SmallDisk
from tests.unit.test_full_disk import fill

MIB = 1024 * 1024

FLOW = """\
name: {name}
labels: [p2p-workflow]
on: {{workflow_dispatch: {{}}, schedule: [{{cron: '0 6 * * *'}}]}}
jobs:
  work:
    runs-on: [{labels}]
    outputs: {{word: '${{{{ steps.it.outputs.word }}}}'}}
    steps:
      - id: it
        run: |
          {script}
          echo word=kept >> "$GITHUB_OUTPUT"
"""


def flow(folder: Path, name: str, script: str, labels: str = "self-hosted") -> str:
    path = folder / f"{name}.yml"
    path.write_text(FLOW.format(name=name, script=script, labels=labels))
    return str(path)


@contextmanager
def joined(folder: Path, home: Path, *others: str) -> Iterator[Mesh]:
    """Peers of these names, and gamma with this home, the only one with the label `small`."""
    with stopped_at_end(Mesh(folder)) as mesh:
        share_with_jobs(mesh.shared)
        (home / "config.yml").write_text(f"labels: [small]\nsandbox_paths: [{mesh.shared}]\n")
        join_all(mesh, *others, "gamma", homes={"gamma": home})
        yield mesh


def disk_of(peer: Peer) -> dict[str, object]:
    disk: dict[str, object] = peer.json("status")["disk"]
    return disk


def test_a_full_disk_refuses_new_work_keeps_promises_and_recovers(small_disk: SmallDisk, tmp_path: Path) -> None:
    with joined(tmp_path, small_disk(96), "alpha", "beta") as mesh:
        _fill_and_free(*mesh, tmp_path)


def _fill_and_free(alpha: Peer, beta: Peer, gamma: Peer, tmp_path: Path) -> None:
    assert disk_of(gamma)["low"] is False
    go_on = tmp_path / "shared/go-on"
    chatter = f"until test -e {go_on}; do echo a line; sleep 0.02; done"
    running = alpha.json("run", "submit", flow(tmp_path, "chatter", chatter, "small"))["run"]
    wait_until(lambda: "a line" in gamma.run("run", "logs", running), "the job on gamma runs", 15)

    filler = fill(gamma.home)
    wait_until(lambda: "disk_filled" in gamma.log.read_text(), "gamma notices", 5)
    assert disk_of(gamma)["low"] is True
    trivial = flow(tmp_path, "trivial", "true")
    for words in (("run", "submit", trivial), ("schedule", "add", trivial), ("invite",)):
        gamma.run(*words, good=(7,))
    assert "low: " in gamma.run("status")

    beta.kill()  # from here on nothing is decided without gamma's votes
    elsewhere = [alpha.json("run", "submit", trivial)["run"] for _ in range(5)]
    for run in elsewhere:
        alpha.run("run", "wait", run, "--timeout", "30")
        assert alpha.json("run", "show", run)["jobs"][0]["peer"] == "alpha"
    go_on.touch()
    alpha.run("run", "wait", running, "--timeout", "30")
    job = alpha.json("run", "show", running)["jobs"][0]
    assert (job["conclusion"], job["peer"], job["attempt"], job["outputs"]) == ("success", "gamma", 1, {"word": "kept"})
    wait_until(lambda: gamma.json("run", "show", elsewhere[-1])["conclusion"] == "success", "gamma knows it too", 5)

    waiting = alpha.json("run", "submit", flow(tmp_path, "waiting", "true", "small"))["run"]
    wait_until(lambda: waiting in gamma.run("run", "list", "--json"), "gamma knows of it", 5)
    assert "claims no jobs: make room" in gamma.run("why", waiting)
    time.sleep(1.5)  # three times as long as a peer leaves a job to a nearer one
    assert gamma.json("run", "show", waiting)["jobs"][0]["attempt"] == 0, "gamma has not claimed it"
    assert gamma.daemon is not None
    assert gamma.daemon.poll() is None

    filler.unlink()
    wait_until(lambda: not disk_of(gamma)["low"], "gamma has recovered", 5)
    assert (gamma.home / "reserve").stat().st_size == 32 * MIB
    gamma.run("run", "wait", waiting, "--timeout", "30")
    gamma.run("run", "wait", gamma.json("run", "submit", trivial)["run"], "--timeout", "30")
    events = [json.loads(line)["event"] for line in gamma.log.read_text().splitlines() if line.startswith("{")]
    assert [event for event in events if event.startswith("disk_")] == ["disk_filled", "disk_recovered"]


def test_a_used_up_reserve_ends_the_daemon_with_one_line_and_loses_nothing(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    with joined(tmp_path, small_disk(96), "alpha") as mesh:
        _use_up(*mesh, tmp_path)


def _use_up(alpha: Peer, gamma: Peer, tmp_path: Path) -> None:
    trivial = flow(tmp_path, "trivial", "true", "self-hosted")
    before = gamma.json("run", "submit", trivial)["run"]
    gamma.run("run", "wait", before, "--timeout", "30")
    daemon = gamma.daemon
    assert daemon is not None

    def filled_again() -> bool:
        fill(gamma.home)
        alpha.json("run", "submit", trivial)
        return daemon.poll() is not None

    wait_until(filled_again, "the daemon of gamma gives up", 40)
    assert daemon.returncode == 70
    last = json.loads(gamma.log.read_text().splitlines()[-1])
    assert last["event"] == "daemon_failed"
    assert "is full and the reserve is used up: make room there" in last["error"]

    (gamma.home / "filler").unlink()
    gamma.start()
    runs = {run["run"] for run in alpha.json("run", "list")["runs"]}
    wait_until(lambda: {run["run"] for run in gamma.json("run", "list")["runs"]} == runs, "gamma is in step", 15)
    assert gamma.json("run", "show", before)["conclusion"] == "success"
    gamma.run("run", "wait", gamma.json("run", "submit", trivial)["run"], "--timeout", "30")
