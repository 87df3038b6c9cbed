"""Three real daemons under a storm of stops, restarts and killed runner hosts: every run ends, no two runners of one
job overlap, and all peers tell the same."""

from __future__ import annotations

import os
import random
import signal
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from clockmesh.daemon.demo.peers import host_pids
from clockmesh.daemon.member import Timing
from clockmesh.protocol.ids import RunId
from clockmesh.protocol.result import Conclusion
from tests.integration.daemon_support import Bench, Peer, bench, end_hosts, ended, until, workflow

HASTY = Timing(beacon_period=0.2, lease=3.0)
STORM_S = 25.0
RUNS = 50


class Storm:
    """One peer at a time may be down, so that a quorum always lives."""

    def __init__(self, made: Bench, peers: list[Peer], seed: int) -> None:
        self._made = made
        self._rng = random.Random(seed)
        self.peers = {peer.name: peer for peer in peers}
        self.down: str | None = None

    def up(self) -> Peer:
        return self._rng.choice([peer for name, peer in self.peers.items() if name != self.down])

    async def blow(self) -> None:
        """One gust: mostly nothing happens."""
        await trio.sleep(self._rng.uniform(0.05, 0.4))
        kind = self._rng.random()
        if self.down is None and kind < 0.1:
            peer = self.up()
            await peer.stop()
            self.down = peer.name
            if self._rng.random() < 0.5:
                await trio.to_thread.run_sync(end_hosts, peer.home)
        elif self.down is not None and kind < 0.2:
            await self.settle()
        elif kind < 0.26:
            for pid in host_pids(self._rng.choice(list(self.peers.values())).home.path)[:1]:
                os.kill(pid, signal.SIGKILL)

    async def settle(self) -> None:
        if self.down is not None:
            self.peers[self.down] = await self._made.start(self.down)
            self.down = None


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_in_a_storm_every_run_ends_and_no_two_runners_of_a_job_overlap(tmp_path: Path, seed: int) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    script = f"for i in 0 1 2 3 4 5 6 7 8 9; do echo $(date +%s%N) $CLOCKMESH_ATTEMPT >> {marks}/$CLOCKMESH_RUN; " \
             "sleep 0.1; done"
    async with bench(tmp_path / "homes", HASTY) as made:
        storm = Storm(made, await made.mesh("alpha", "beta", "gamma"), seed)
        runs: list[RunId] = []
        with trio.move_on_after(STORM_S):
            while True:
                if len(runs) < RUNS:
                    with trio.CancelScope(shield=True):
                        runs.append(await storm.up().service.submit(workflow(script), "t.yml"))
                await storm.blow()
        await storm.settle()
        peers = list(storm.peers.values())
        for run in runs:
            views = [await ended(peer, run, 60) for peer in peers]
            assert views[0] == views[1] == views[2]
            assert views[0].conclusion is Conclusion.SUCCESS, views[0].jobs[0].error
            spans = spans_of(marks / run.hex())
            assert all(earlier[1] < later[0] for earlier, later in pairwise(spans)), spans
        await until(lambda: len({peer.service.status().heads for peer in peers}) == 1, "the clocks are equal")


def spans_of(path: Path) -> list[tuple[int, int]]:
    """First and last sign of life of each attempt, in nanoseconds, in order."""
    signs: dict[str, list[int]] = defaultdict(list)
    for line in path.read_text().splitlines():
        at, attempt = line.split()
        signs[attempt].append(int(at))
    return sorted((min(seen), max(seen)) for seen in signs.values())
