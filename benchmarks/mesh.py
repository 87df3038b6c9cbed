"""A mesh of three on this machine: submits, spread and the way from a submit to its first step.

Beside each figure stands what the machine itself needs for the same in this run: a durable SQLite commit for a submit,
a bare `bash -e` for a trivial workflow.
"""

from __future__ import annotations

import argparse
import base64
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import Mesh, stopped_at_end, wait_until

_FLOW = """\
name: trivial (p2p-workflow)
on: workflow_dispatch
jobs:
  touch:
    runs-on: self-hosted
    steps: [{{run: 'echo "$(date +%s%N) $CLOCKMESH_PEER" >> {side}'}}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench mesh", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="trivial workflows submitted at once (default 100)")
    parser.add_argument("--singles", type=int, default=20, help="workflows submitted one by one (default 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cm-") as name, stopped_at_end(Mesh(Path(name))) as mesh:
        folder = Path(name)
        _join_three(mesh)
        commit, bash = _sqlite_commit_s(folder), _bash_s()
        print(f"this machine: one durable SQLite commit {commit * 1e3:.2f} ms, one bash {bash * 1e3:.2f} ms")
        _report_bulk(mesh, folder, options.runs, commit, bash)
        _report_singles(mesh, folder, options.singles, commit, bash)


def _join_three(mesh: Mesh) -> None:
    alpha, beta, gamma = (mesh.new_peer(name) for name in ("alpha", "beta", "gamma"))
    alpha.run("init", "--name", "alpha")
    alpha.start()
    for peer in (beta, gamma):
        peer.run("join", alpha.run("invite").strip(), "--name", peer.name)
        peer.start()

    def all_live() -> bool:
        return all(sum(other["live"] for other in peer.json("peer", "list")["peers"]) == 3 for peer in mesh)

    wait_until(all_live, "three peers are live", 30)


def _report_bulk(mesh: Mesh, folder: Path, number: int, commit: float, bash: float) -> None:
    client = Client(mesh["alpha"].home)
    submitted: dict[str, tuple[Path, int]] = {}
    began = time.monotonic()
    for place in range(number):
        side = folder / f"bulk-{place}"
        submitted[_submit(client, side)] = side, time.time_ns()
    rate = number / (time.monotonic() - began)
    _wait_all(client, list(submitted))
    whole = time.monotonic() - began
    starts = [side.read_text().split() for side, _ in submitted.values()]
    late = sorted((int(words[0]) - at) / 1e6 for words, (_, at) in zip(starts, submitted.values(), strict=True))
    share = Counter(words[1] for words in starts)
    print(f"{number} submits one after another: {rate:.0f}/s, {rate * commit:.2f} of bare durable commits")
    done = number / whole
    doubled = sum(len(words) != 2 for words in starts)
    print(f"{number} trivial workflows done in {whole:.1f} s: {done:.1f}/s, {done * bash:.2f} of bare bash")
    print(f"  started more than once: {doubled}; by peer: {dict(sorted(share.items()))}")
    print(f"  submit to first step under this load: p50 {_p(late, 50):.0f} ms, p99 {_p(late, 99):.0f} ms")


def _report_singles(mesh: Mesh, folder: Path, number: int, commit: float, bash: float) -> None:
    client = Client(mesh["beta"].home)
    late = []
    for place in range(number):
        side, at = folder / f"single-{place}", time.time_ns()
        _wait_all(client, [_submit(client, side)])
        late.append((int(side.read_text().split()[0]) - at) / 1e6)
    bare = (commit + bash) * 1e3
    print(
        f"submit to first step, idle, {number} one by one: p50 {_p(late, 50):.0f} ms, p99 {_p(late, 99):.0f} ms, "
        f"{_p(late, 50) / bare:.1f} times one commit and one bash"
    )


def _submit(client: Client, side: Path) -> str:
    text = _FLOW.format(side=side).encode()
    body = {"workflow_b64": base64.b64encode(text).decode(), "path": "trivial.yml", "inputs": {}, "priority": 5.0}
    run: str = client.post("/v1/runs", body)["run"]
    return run


def _wait_all(client: Client, runs: list[str]) -> None:
    for run in runs:
        client.get(f"/v1/runs/{run}/wait?timeout=60", timeout=70)


def _sqlite_commit_s(folder: Path) -> float:
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table node (data blob)")
    return _median_s(lambda: database.execute("insert into node values (?)", (os.urandom(300),)), 50)


def _bash_s() -> float:
    return _median_s(lambda: subprocess.run(["bash", "-e", "-c", "echo x >/dev/null"], check=True), 20)


def _median_s(act: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _p(values: list[float], percent: int) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


if __name__ == "__main__":
    main()
