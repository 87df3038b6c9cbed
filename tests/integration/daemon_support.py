"""Peers for tests: the daemon's own `Service` with a real store, real libp2p on loopback and a real runner host."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from clockmesh.coordinator.view import JobView, RunView, run_view
from clockmesh.daemon.config import Listen
from clockmesh.daemon.demo.peers import host_pids
from clockmesh.daemon.home import Home
from clockmesh.daemon.member import Timing
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import RunId

LOOPBACK = Listen("127.0.0.1", 0)


@dataclass
class Peer:
    """One peer in this process; `stop` is as abrupt as the death of a daemon, its runner host lives on."""

    name: str
    home: Home
    service: Service
    scope: trio.CancelScope
    stopped: trio.Event = field(default_factory=trio.Event)

    async def stop(self) -> None:
        self.scope.cancel()
        await self.stopped.wait()

    def run(self, run: RunId) -> RunView:
        return run_view(self.service.machine, run)

    def job(self, run: RunId, key: str = "a") -> JobView:
        return next(job for job in self.run(run).jobs if job.key == key)


class Bench:
    """Starts peers in folders of one test and ends them, hosts included."""

    def __init__(self, folder: Path, nursery: trio.Nursery, timing: Timing) -> None:
        self._timing = timing
        self.folder = folder
        self._nursery = nursery
        self.peers: list[Peer] = []

    async def start(self, name: str, timing: Timing | None = None) -> Peer:
        """A peer with the home `name`, new or as it was left; with clocks of its own where they are given."""
        home = Home(self.folder / name)
        home.make()
        if not home.config.exists():
            home.config.write_text("sandbox: none\n")  # jobs touch files of the tests, which look at processes too
        peer = Peer(name, home, Service(home, listen=LOOPBACK, timing=timing or self._timing), trio.CancelScope())
        await self._nursery.start(self._live, peer)
        self.peers.append(peer)
        return peer

    async def _live(self, peer: Peer, task_status: trio.TaskStatus[None]) -> None:
        try:
            with peer.scope, peer.home.locked():
                await peer.service.run(task_status=task_status)
        finally:
            peer.stopped.set()

    async def mesh(self, *names: str, timings: Mapping[str, Timing] | None = None) -> list[Peer]:
        """Peers that joined one another and see each other live; with clocks of their own where they are given."""
        peers = [await self.start(name, (timings or {}).get(name)) for name in names]
        await peers[0].service.init(names[0], 2)
        for peer in peers[1:]:
            await peer.service.join(await peers[0].service.invite(60), peer.name, 2)
        await until(lambda: all(live(peer) == len(names) for peer in peers), "all see one another")
        return peers


def live(peer: Peer) -> int:
    return sum(other.live for other in peer.service.peers())


async def until(true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for `true`; fails saying `what`."""
    with trio.move_on_after(seconds):
        while not true():  # noqa: ASYNC110  what is waited for is spread over processes and peers
            await trio.sleep(0.02)
        return
    raise AssertionError(f"after {seconds:.0f} s still not so: {what}")


async def ended(peer: Peer, run: RunId, seconds: float = 60.0) -> RunView:
    """The run as `peer` sees it once it has ended."""
    await until(lambda: run in peer.service.machine.runs and peer.run(run).conclusion, "the run has ended", seconds)
    return peer.run(run)


@asynccontextmanager
async def bench(folder: Path, timing: Timing | None = None) -> AsyncIterator[Bench]:
    """Everything that the block starts ends with it."""
    os.makedirs(folder, exist_ok=True)
    peers: list[Peer] = []
    try:
        async with trio.open_nursery() as nursery:
            made = Bench(folder, nursery, timing or Timing())
            peers = made.peers
            yield made
            for peer in peers:
                peer.scope.cancel()
    finally:
        for peer in peers:
            end_hosts(peer.home)


def end_hosts(home: Home) -> None:
    """Kill this home's runner host and wait for it to be gone: its keepers then end its jobs."""
    deadline = time.monotonic() + 10
    while (pids := host_pids(home.path)) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


def workflow(*steps: str, name: str = "t p2p-workflow") -> bytes:
    """A workflow with one job `a` of these steps."""
    lines = [f"name: {name}", "on: workflow_dispatch", "jobs:", "  a:", "    runs-on: ubuntu-latest", "    steps:"]
    for step in steps:
        lines += ["      - run: |", *(f"          {line}" for line in step.splitlines())]
    return ("\n".join(lines) + "\n").encode()
