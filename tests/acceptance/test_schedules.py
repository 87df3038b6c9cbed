"""The users' main job: a scrape on a schedule that keeps its promise while a peer dies and comes back. The clock that
the schedule goes by runs fast; everything else is as a user has it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from clockmesh.daemon.demo.peers import Peer, wait_until
from clockmesh.daemon.demo.repository import git, served_repository
from tests.acceptance.conftest import join_all, new_mesh

SPEED = 20
"""A minute of the schedule's clock passes in three seconds."""

TICK = """\
name: Tick
labels: [p2p-workflow]
on:
  schedule:
    - cron: '* * * * *'
jobs:
  tick:
    runs-on: self-hosted
    steps:
      - uses: actions/checkout@v4
      - run: |
          git show -s --format=%H >> stood-on
          git add stood-on
          git -c user.name=t -c user.email=t@example.invalid commit --quiet -m "tick ${{ github.event.schedule }}"
          git push --quiet
"""


def test_ticks_stand_on_one_another_while_a_peer_is_killed_and_comes_back() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="cm-") as folder,
        served_repository(Path(folder)) as repository,
        new_mesh() as mesh,
    ):
        join_all(mesh, "alpha", "beta", "gamma", options=("--schedule-clock", f"{SPEED}@{int(time.time())}"))
        work = Path(folder) / "first"
        _commit_tick(work, repository.bare)
        words = ("tick.yml", "--remote", repository.url, "--overlap", "buffer", "--catch-up", "last")
        schedule = mesh["alpha"].json("schedule", "add", *words)["schedule"]
        _wait_for_ticks(mesh["beta"], 2)
        mesh["alpha"].kill()
        _wait_for_ticks(mesh["beta"], 4)
        mesh["alpha"].start()
        _wait_for_ticks(mesh["alpha"], 5)
        mesh["gamma"].run("schedule", "remove", "tick")
        wait_until(lambda: not _unfinished(mesh["beta"]), "what had begun ends", 40)
        ended = mesh["beta"].json("run", "list")["runs"]
        assert {run["conclusion"] for run in ended} == {"success"}
        commits = [commit for commit in repository.log() if commit[2] == "tick * * * * *"]
        assert len(commits) == len(ended) >= 5
        stood_on = repository.file("stood-on").split()
        assert stood_on == [parent for _, parent, _ in commits], "each tick has the one before in its work tree"
        assert schedule not in str(mesh["alpha"].json("schedule", "list"))


def _commit_tick(work: Path, bare: Path) -> None:
    (work / "tick.yml").write_text(TICK)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "A tick")
    git(work, "push", "--quiet", str(bare), "main")


def _unfinished(peer: Peer) -> list[dict[str, Any]]:
    return [run for run in peer.json("run", "list")["runs"] if run["conclusion"] is None]


def _wait_for_ticks(peer: Peer, count: int) -> None:
    def ticked() -> bool:
        return sum(run["conclusion"] == "success" for run in peer.json("run", "list")["runs"]) >= count

    wait_until(ticked, f"{count} ticks have ended", 60)
