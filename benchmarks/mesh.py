"""A mesh of three on this machine against the limits of the design.

Several rounds, and the medians count, so that the verdict does not depend on what else the machine does. Beside each
figure stands its ratio to what the machine itself needs for the same in the same round: durable SQLite commits, bare
bash, a Python with libp2p imported, `act`.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks._client import KEPT, open_to_all, submit, submit_kept, wait_all
from benchmarks._measure import (
    Row,
    bash_s,
    bashes_per_s,
    commit_s,
    cpu_s,
    network_rss_mb,
    percentile,
    print_table,
    quiet,
    rss_mb,
)
from benchmarks._small_jobs import SmallJobs, small_jobs
from benchmarks._takeover import crashed_s, frozen_s, lost_s
from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import Mesh, stopped_at_end, wait_until

_FLOW = """\
name: trivial (p2p-workflow)
on: workflow_dispatch
jobs:
  touch: {{runs-on: self-hosted, steps: [{{run: 'echo $EPOCHREALTIME $CLOCKMESH_PEER >> {side}/$CLOCKMESH_RUN'}}]}}
"""
_NOWHERE = """\
name: waiting (p2p-workflow)
on: workflow_dispatch
jobs: {{wait: {{runs-on: [self-hosted, on-no-peer-of-this-mesh], steps: [{{run: echo {number}}}]}}}}
"""
_MATRIX = """\
name: matrix (p2p-workflow)
on: workflow_dispatch
jobs:
  leg:
    runs-on: self-hosted
    strategy: {{matrix: {{a: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], b: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}}}
    steps: [{{run: 'echo $EPOCHREALTIME $CLOCKMESH_PEER >> {side}; sleep 0.5'}}]
"""


class Bench:
    """The mesh that is measured, and the table."""

    def __init__(self, mesh: Mesh, folder: Path) -> None:
        self.mesh = mesh
        self.folder = folder
        self.client = Client(mesh["alpha"].home)
        self.side = folder / "side"
        self.busy: list[float] = []
        """Shares of the CPU that others used, one for each round."""
        self.submits = Row("durable submits, one workflow", "/s", 400, 600, "bare durable commits", True)
        self.new_submits = Row("durable submits, a new one each", "/s", None, None, "bare durable commits", True)
        self.trivial = Row("trivial workflows", "/s", 60, 100, "bare bash on all cores", True)
        self.first_step = Row("submit to first step, idle, p50", "ms", 100, 70, "one commit and one bash")
        self.first_step_99 = Row("submit to first step, idle, p99", "ms", None, None, "one commit and one bash")
        self.crashed = Row("job again: crashed, restarted", "s", 5, 2, "L")
        self.lost = Row("job again: machine gone", "s", 22, 17, "L")
        self.frozen = Row("job again: machine frozen", "s", 30, 17, "L")
        self.size = Row("idle daemon, memory", "MB", 120, 95, "a Python with libp2p")
        self.idle = Row("idle daemon, CPU", "%", 1, 0.5, "one core")
        self.matrix = Row("matrix 10 x 10: all peers busy", "s", 2, 0.5, "as many bare bash")
        self.small_local = Row("three small jobs, run local", "s", 1.0, 0.5, "act")
        self.small_mesh = Row("three small jobs, a mesh", "s", 1.0, 0.5, "act")

    # ---- rounds ----

    def look_idle(self, seconds: float) -> None:
        pids = [peer.daemon.pid for peer in self.mesh if peer.daemon is not None]
        before = [cpu_s(pid) for pid in pids]
        time.sleep(seconds)
        used = max((cpu_s(pid) - at) / seconds * 100 for pid, at in zip(pids, before, strict=True))
        self.idle.add(used, 100)
        self.size.add(max(rss_mb(pid) for pid in pids), network_rss_mb())

    def run_singles(self, number: int) -> None:
        bare = (commit_s(self.folder) + bash_s()) * 1e3
        late = []
        for _ in range(number):
            at = time.time()
            run = submit(self.client, self._trivial())
            wait_all(self.client, [run])
            late.append((self._started(run)[0] - at) * 1e3)
        self.first_step.add(percentile(late, 50), bare)
        self.first_step_99.add(percentile(late, 99), bare)

    def run_many(self, number: int) -> None:
        bare, before = bashes_per_s(), self._work_s()
        began = time.monotonic()
        submitted = submit_kept(self.mesh["alpha"].home, [self._trivial()] * number)
        wait_all(self.client, [run for run, _ in submitted])
        rate = number / (time.monotonic() - began)
        self.trivial.add(rate, bare)
        daemons, jobs = ((after - at) / number * 1e3 for after, at in zip(self._work_s(), before, strict=True))
        starts = [self._started(run) for run, _ in submitted]
        late = [(start[0] - at / 1e9) * 1e3 for start, (_, at) in zip(starts, submitted, strict=True)]
        share = Counter(peer for _, peer in starts)
        most = (os.cpu_count() or 1) * 1e3 / (daemons + jobs)
        print(f"  {number} trivial workflows: {rate:.1f}/s; CPU of each {daemons:.1f} ms in three daemons, {jobs:.1f} "
              f"ms in hosts and jobs: at most {most:.0f}/s; by peer {sorted(share.values())}; waited p50 "
              f"{percentile(late, 50):.0f} ms")

    def run_matrix(self, number: int) -> None:
        """Until every peer runs as many legs as it has slots; then the run is cancelled."""
        side = open_to_all(self.side / f"matrix-{number}")
        slots = {peer["name"]: peer["slots"] for peer in self.client.get("/v1/peers")["peers"]}
        bare, at = bash_s() * sum(slots.values()), time.time()
        run = submit(self.client, _MATRIX.format(side=side))
        wait_until(lambda: _busy_at(side, slots) is not None, "all peers are busy", 30)
        self.client.post(f"/v1/runs/{run}/cancel")
        self.matrix.add((_busy_at(side, slots) or at) - at, bare)
        wait_all(self.client, [run])

    def submit_many(self, number: int, *, new: bool) -> None:
        """The submit alone: the jobs are for a peer that does not exist."""
        texts = [_NOWHERE.format(number=time.monotonic_ns() if new else 0) for _ in range(number)]
        bare, began = 1 / commit_s(self.folder), time.monotonic()
        submit_kept(self.mesh["alpha"].home, texts)
        (self.new_submits if new else self.submits).add(number / (time.monotonic() - began), bare)

    def run_small(self, jobs: SmallJobs) -> None:
        """The limit is a share of what `act` takes: the figure is that share."""
        act, local, mesh = jobs.by_act(), jobs.local(), jobs.by_mesh()
        print(f"  three small jobs: act {act:.2f} s, run local {local:.2f} s, mesh {mesh:.2f} s")
        self.small_local.add(local / act, 1)
        self.small_mesh.add(mesh / act, 1)

    # ---- looking ----

    @property
    def rows(self) -> list[Row]:
        return [each for each in vars(self).values() if isinstance(each, Row)]

    def _trivial(self) -> str:
        return _FLOW.format(side=self.side)

    def _started(self, run: str) -> tuple[float, str]:
        """When its one step began, seconds since 1970, and where. Two starts would be a fault of the mesh."""
        (line,) = (self.side / run).read_text().splitlines()
        at, peer = line.split()
        return float(at), peer

    def _work_s(self) -> tuple[float, float]:
        """CPU seconds of the daemons so far, and of their runner hosts and jobs."""
        daemons = sum(cpu_s(peer.daemon.pid) for peer in self.mesh if peer.daemon is not None)
        return daemons, sum(cpu_s(min(peer.hosts()), children=True) for peer in self.mesh)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemons are stopped all the same
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cm-") as name, stopped_at_end(Mesh(Path(name))) as mesh:
        Path(name).chmod(0o711)
        (Path(name) / "side").mkdir()
        (Path(name) / "side").chmod(0o777)
        _join_three(mesh, Path(name) / "side", options.sandbox)
        bench = Bench(mesh, Path(name))
        jobs = small_jobs(Path(name) / "small", mesh["alpha"])
        if jobs is None:
            print("act is not installed (it is in the extra `bench`): no comparison with it")
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}")
            bench.busy.append(quiet())
            bench.look_idle(options.idle)
            bench.run_singles(options.singles)
            bench.run_many(options.runs)
            bench.run_matrix(number)
            if jobs is not None:
                bench.run_small(jobs)
        if not options.no_faults:
            print("job again after a fault")
            for row, measure in ((bench.crashed, crashed_s), (bench.lost, lost_s), (bench.frozen, frozen_s)):
                row.add(measure(mesh, bench.side), 15.0)
        for _ in range(options.rounds):
            bench.submit_many(options.submits, new=False)
            bench.submit_many(options.submits, new=True)
        print_table(bench.rows, statistics.median(bench.busy))
    print(f"{os.cpu_count()} cores, sandbox {options.sandbox}, {KEPT} kept connections, "
          f"load {os.getloadavg()[0]:.1f}, {time.monotonic() - began:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench mesh", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all but the faults (default 3)")
    parser.add_argument("--runs", type=int, default=60, help="trivial workflows submitted at once (default 60)")
    parser.add_argument("--singles", type=int, default=12, help="workflows submitted one by one (default 12)")
    parser.add_argument("--submits", type=int, default=400, help="submits of one kind (default 400)")
    parser.add_argument("--idle", type=float, default=8, help="seconds that the idle mesh is watched (default 8)")
    parser.add_argument("--sandbox", choices=("bubblewrap", "none"), default="bubblewrap", help="of the jobs")
    parser.add_argument("--no-faults", action="store_true", help="no daemon is killed or frozen (saves a minute)")
    return parser.parse_args()


def _join_three(mesh: Mesh, side: Path, sandbox: str) -> None:
    alpha, *others = [mesh.new_peer(name) for name in ("alpha", "beta", "gamma")]
    alpha.run("init", "--name", "alpha")
    _configure(alpha.home, side, sandbox)
    alpha.start()
    for peer in others:
        peer.run("join", alpha.run("invite").strip(), "--name", peer.name)
        _configure(peer.home, side, sandbox)
        peer.start()

    def all_live() -> bool:
        return all(sum(other["live"] for other in peer.json("peer", "list")["peers"]) == 3 for peer in mesh)

    wait_until(all_live, "three peers are live", 30)


def _configure(home: Path, side: Path, sandbox: str) -> None:
    """Jobs may write beside: when a step began is told by a file, not by what is measured."""
    (home / "config.yml").write_text(f"sandbox: {sandbox}\nsandbox_paths: [{side}]\n")


def _busy_at(side: Path, slots: dict[str, int]) -> float | None:
    """When the last peer's last slot was taken."""
    starts = [line.split() for line in side.read_text().splitlines()]
    of_peer = {name: sorted(float(at) for at, peer in starts if peer == name) for name in slots}
    if any(len(of_peer[name]) < number for name, number in slots.items()):
        return None
    return max(of_peer[name][number - 1] for name, number in slots.items())


if __name__ == "__main__":
    main()
