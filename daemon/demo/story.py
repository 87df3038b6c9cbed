"""The acts of the demo. Each checks what it shows, and raises DemoError when it is not so."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from clockmesh.daemon.demo.peers import DemoError, Mesh, Peer, wait_until
from clockmesh.daemon.demo.repository import Repository
from clockmesh.daemon.demo.site import GOODS, Site
from clockmesh.daemon.demo.telling import Teller

_SAME_WITHIN_S = 2.0
"""How soon after a run's end all peers must show the same of it."""
_RUN_LIMIT_S = 60.0
_SPEED = 600
"""Of the clock that schedules go by."""


@dataclass
class Story:
    mesh: Mesh
    tell: Teller
    rows: list[tuple[str, ...]] = field(default_factory=list)
    """The table at the end: what ran, run, where, attempt, conclusion."""

    def submit(self, peer: Peer, *words: str) -> str:
        run: str = peer.json("run", "submit", *words)["run"]
        self.tell.act(f"{peer.name}: clockmesh run submit {words[0]}  ->  run {run[:12]}")
        return run

    def finish(self, peer: Peer, run: str, what: str) -> dict[str, Any]:
        """Wait for the run, tell what happened meanwhile, and note it in the table."""
        for _ in peer.waiting("run", "wait", run, "--timeout", str(int(_RUN_LIMIT_S))):
            self.tell.news()
        shown: dict[str, Any] = peer.json("run", "show", run)
        for job in shown["jobs"]:
            self.rows.append((what, run[:12], job["key"], job["peer"], str(job["attempt"]), job["conclusion"]))
        if shown["conclusion"] != "success":
            raise DemoError(f"{what} ended as {shown['conclusion']}: {peer.run('run', 'show', run)}")
        return shown

    def same_everywhere(self, run: str) -> None:
        """Status, outputs, peers and logs of a run read the same on every living peer."""

        def views() -> list[tuple[Any, str]]:
            return [(peer.json("run", "show", run), peer.run("run", "logs", run)) for peer in self.mesh.living]

        def equal() -> bool:
            first, *rest = views()
            return all(view == first for view in rest)

        wait_until(equal, f"run {run[:12]} reads the same on all peers", _SAME_WITHIN_S + 3)
        self.tell.line(f"{len(self.mesh.living)} peers show the same status, outputs and log of run {run[:12]}")


def found_mesh(story: Story) -> None:
    """alpha founds the mesh; beta and gamma join, each by a line of its own."""
    story.tell.chapter("Three peers found a mesh")
    clock = ("--schedule-clock", f"{_SPEED}@{int(time.time())}")
    alpha, beta, gamma = (story.mesh.new_peer(name, *clock) for name in ("alpha", "beta", "gamma"))
    alpha.run("init", "--name", "alpha")
    alpha.start()
    story.tell.act("alpha: clockmesh init --name alpha")
    for peer in (beta, gamma):
        line = alpha.run("invite").strip()
        story.tell.act(f"alpha: clockmesh invite  ->  {line[:34]}...")
        peer.run("join", line, "--name", peer.name)
        peer.start()
        story.tell.act(f"{peer.name}: clockmesh join {line[:22]}... --name {peer.name}")
    wait_until(lambda: all(_sees_all(peer) for peer in story.mesh), "every peer sees three live peers", 20)
    story.tell.text(gamma.run("peer", "list"))


def _sees_all(peer: Peer) -> bool:
    return sum(bool(other["live"]) for other in peer.json("peer", "list")["peers"]) == 3


def scrape(story: Story, repository: Repository, site: Site) -> None:
    """Three ticks of a schedule, each on the commit that the tick before has pushed."""
    story.tell.chapter("A schedule: every hour a scrape that commits and pushes")
    story.tell.line(f"site {site.url}/prices, repository {repository.url}")
    story.tell.line(f"so that it can be watched, the schedule's clock runs {_SPEED} times as fast: an hour takes "
                    f"{3600 // _SPEED} s")
    alpha = story.mesh["alpha"]
    words = ("schedule", "add", ".github/workflows/scrape.yml", "--remote", repository.url, "--overlap", "buffer")
    told = alpha.run(*words, "--input", f"site={site.url}")
    story.tell.act(f"alpha: clockmesh {' '.join(words[:3])} --remote {repository.url} ...")
    story.tell.text(told.splitlines()[0])
    seen: list[str] = []
    for turn, peer in enumerate(story.mesh, 1):
        seen.append(_next_tick(story, peer, seen))
        if turn == len(story.mesh.peers):
            peer.run("schedule", "remove", "scrape")
            story.tell.act(f"{peer.name}: clockmesh schedule remove scrape")
        shown = story.finish(peer, seen[-1], f"tick {turn}")
        story.tell.text(peer.run("why", seen[-1]))
        reader = next(other for other in story.mesh if other.name != shown["jobs"][0]["peer"])
        story.tell.act(f"{reader.name}: clockmesh run logs {seen[-1][:12]} --job report")
        story.tell.text(reader.run("run", "logs", seen[-1], "--job", "report"))
        story.same_everywhere(seen[-1])
        _check_push(repository, turn, {job["key"]: job["outputs"] for job in shown["jobs"]})
        if turn == 1:
            story.tell.act(f"{peer.name}: clockmesh schedule list")
            story.tell.text(peer.run("schedule", "list"))
    story.tell.act("git log --reverse main")
    story.tell.text("\n".join(f"{commit[:10]} {subject}" for commit, _, subject in repository.log()))


def _check_push(repository: Repository, turn: int, outputs: dict[str, dict[str, str]]) -> None:
    """This tick's commit is the newest, and stands on that of the tick before."""
    history = repository.log()
    day = outputs["scrape"]["day"]
    if len(history) != turn + 1 or history[-1][2] != f"Prices of day {day}":
        raise DemoError(f"after {turn} ticks, the last of day {day}, the repository's history is {history}")
    if history[-1][0] != outputs["scrape"]["commit"] or history[-1][1] != history[-2][0]:
        raise DemoError(f"commit {history[-1]} is not what the run pushed on top of {history[-2][0]}")
    rows = repository.file("prices.csv").splitlines()
    if len(rows) != turn * len(GOODS) or not rows[-1].startswith(f"{day},"):
        raise DemoError(f"prices.csv has {len(rows)} lines after {turn} ticks, ending {rows[-1:]}")
    if outputs["report"]["summary"] != f"day {day}: {len(GOODS)} prices in commit {history[-1][0][:10]}":
        raise DemoError(f"the report said {outputs['report']}")


def _next_tick(story: Story, peer: Peer, seen: list[str]) -> str:
    """The run of the next tick, once this peer knows it."""

    def new() -> list[str]:
        story.tell.news()
        return [run["run"] for run in peer.json("run", "list")["runs"] if run["run"] not in seen]

    wait_until(new, "the next hour's tick is submitted", 3600 / _SPEED + _RUN_LIMIT_S)
    return new()[-1]


def matrix(story: Story, folder: Path) -> None:
    """Six legs spread over the peers by Hamming distance."""
    story.tell.chapter("A matrix over all peers")
    gamma = story.mesh["gamma"]
    run = story.submit(gamma, str(folder / "matrix.yml"))
    shown = story.finish(gamma, run, "matrix")
    story.tell.text(gamma.run("why", run))
    share = Counter(job["peer"] for job in shown["jobs"])
    story.tell.line("legs run: " + ", ".join(f"{name} {share[name]}" for name in sorted(share)))
    if len(shown["jobs"]) != 6:
        raise DemoError(f"the matrix has {len(shown['jobs'])} jobs, not 6")
    story.same_everywhere(run)


def kill_holder(story: Story, folder: Path) -> None:
    """SIGKILL for the daemon, the runner host and the job of whoever runs a long job: another peer does it again."""
    story.tell.chapter("A killed peer's job moves")
    trace = story.mesh.shared / "trace"
    asker = story.mesh["alpha"]
    run = story.submit(asker, str(folder / "long.yml"), "--input", f"trace={trace}")
    wait_until(lambda: trace.exists() and len(_trace(trace)) > 4, "the long job runs", 20)
    holder = story.mesh[asker.json("run", "show", run)["jobs"][0]["peer"]]
    story.tell.news()
    (job,) = holder.jobs()
    daemon = holder.kill()
    for pid in [*holder.hosts(), job]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    story.tell.act(f"kill -9 of {holder.name}'s daemon (pid {daemon}), its runner host and its job (pid {job})")
    other = next(peer for peer in story.mesh.living)
    shown = story.finish(other, run, "long job")
    moved = time.monotonic() - killed
    story.tell.text(other.run("why", run))
    _check_moved(trace, holder.name, shown)
    story.tell.line(f"killed on {holder.name}, done by {shown['jobs'][0]['peer']} {moved:.1f} s later, no overlap")
    holder.start()
    story.tell.act(f"{holder.name} is started again and catches up")
    story.same_everywhere(run)


@dataclass(frozen=True, slots=True)
class _Tick:
    attempt: int
    peer: str
    uptime: float
    pid: int


def _trace(path: Path) -> list[_Tick]:
    words = [line.split() for line in path.read_text().splitlines()]
    return [_Tick(int(line[0]), line[1], float(line[2]), int(line[3])) for line in words if len(line) == 4]


def _check_moved(path: Path, killed: str, shown: dict[str, Any]) -> None:
    ticks = _trace(path)
    attempts = sorted({tick.attempt for tick in ticks})
    if len(attempts) < 2 or shown["jobs"][0]["peer"] == killed:
        raise DemoError(f"the job did not move from {killed}: attempts {attempts}")
    for lower, higher in pairwise(attempts):
        end = max(tick.uptime for tick in ticks if tick.attempt == lower)
        begin = min(tick.uptime for tick in ticks if tick.attempt == higher)
        if begin < end:
            raise DemoError(f"attempt {higher} started at {begin}, before attempt {lower} ended at {end}")
    last = [tick for tick in ticks if tick.attempt == attempts[-1]]
    if len(last) != 25 or shown["jobs"][0]["outputs"] != {"attempt": str(attempts[-1])}:
        raise DemoError(f"the last attempt left {len(last)} lines of 25 and outputs {shown['jobs'][0]['outputs']}")
