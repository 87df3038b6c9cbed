"""A mesh of three on this machine: what it costs idle, submits, spread and the way from a submit to its first step.

Beside each figure stands what the machine itself needs for the same in this run: a durable SQLite commit for a submit,
a bare `bash -e` for a trivial workflow, a Python that has libp2p imported and sleeps for an idle daemon.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import DemoError, Mesh, stopped_at_end, wait_until
from clockmesh.daemon.socketpath import short_path

_FLOW = """\
name: trivial (p2p-workflow)
on: workflow_dispatch
jobs:
  touch:
    runs-on: self-hosted
    steps: [{{run: 'echo "$(date +%s%N) $CLOCKMESH_PEER" >> {side}'}}]
"""
_NOWHERE = """\
name: waiting (p2p-workflow)
on: workflow_dispatch
jobs:
  wait: {{runs-on: [self-hosted, on-no-peer-of-this-mesh], steps: [{{run: echo {number}}}]}}
"""
_MATRIX = """\
name: matrix (p2p-workflow)
on: workflow_dispatch
jobs:
  leg:
    runs-on: self-hosted
    strategy: {{matrix: {{a: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], b: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}}}
    steps: [{{run: 'echo "$(date +%s%N) $CLOCKMESH_PEER" >> {side}; sleep 0.5'}}]
"""
_SLEEPER = "import time, clockmesh.daemon.network; print(flush=True); time.sleep(1000)"
_KEPT = 16
"""Connections that submit at a time."""
_ALONE = 50
"""Submits one after another."""
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench mesh", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="trivial workflows submitted at once (default 100)")
    parser.add_argument("--singles", type=int, default=20, help="workflows submitted one by one (default 20)")
    parser.add_argument("--submits", type=int, default=1000, help="submits over 16 connections (default 1000)")
    parser.add_argument("--idle", type=float, default=10, help="seconds that the idle mesh is watched (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cm-") as name, stopped_at_end(Mesh(Path(name))) as mesh:
        folder = Path(name)
        _join_three(mesh)
        commit, bash = _sqlite_commit_s(folder), _bash_s()
        print(f"this machine: one durable SQLite commit {commit * 1e3:.2f} ms, one bash {bash * 1e3:.2f} ms")
        _report_idle(mesh, options.idle)
        _report_singles(mesh, folder, options.singles, commit, bash)
        _report_bulk(mesh, folder, options.runs, bash)
        _report_matrix(mesh, folder, bash)
        _report_submits(mesh, options.submits, commit, "one workflow", lambda _: _NOWHERE.format(number=0))
        _report_submits(mesh, options.submits, commit, "a new workflow each",
                        lambda number: _NOWHERE.format(number=number))


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


def _report_idle(mesh: Mesh, seconds: float) -> None:
    with subprocess.Popen([sys.executable, "-c", _SLEEPER], stdout=subprocess.PIPE) as sleeper:
        assert sleeper.stdout is not None
        sleeper.stdout.readline()
        pids = [peer.daemon.pid for peer in mesh if peer.daemon is not None]
        before = [_cpu_s(pid) for pid in pids]
        time.sleep(seconds)
        used = [(_cpu_s(pid) - at) / seconds * 100 for pid, at in zip(pids, before, strict=True)]
        bare = _rss_mb(sleeper.pid)
        sleeper.kill()
    sizes = [_rss_mb(pid) for pid in pids]
    print(f"idle daemons: {_list(used, 2)} % of a core over {seconds:.0f} s; {_list(sizes, 0)} MB, "
          f"{max(sizes) / bare:.2f} of a Python that has imported the same network ({bare:.0f} MB)")


def _report_bulk(mesh: Mesh, folder: Path, number: int, bash: float) -> None:
    sides = [folder / f"bulk-{place}" for place in range(number)]
    before, began = _work_s(mesh), time.monotonic()
    submitted = _submit_kept(mesh, [_FLOW.format(side=side) for side in sides])
    _wait_all(Client(mesh["alpha"].home), [run for run, _ in submitted])
    whole = time.monotonic() - began
    daemons, jobs = (after - at for after, at in zip(_work_s(mesh), before, strict=True))
    starts = [side.read_text().split() for side in sides]
    late = sorted((int(words[0]) - at) / 1e6 for words, (_, at) in zip(starts, submitted, strict=True))
    share = Counter(words[1] for words in starts)
    done = number / whole
    doubled = sum(len(words) != 2 for words in starts)
    print(f"{number} trivial workflows done in {whole:.1f} s: {done:.1f}/s, {done * bash:.2f} of bare bash")
    each = daemons / number * 1e3, jobs / number * 1e3
    print(f"  CPU for each: {each[0]:.1f} ms in three daemons, {each[1]:.1f} ms in hosts and jobs")
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


def _report_matrix(mesh: Mesh, folder: Path, bash: float) -> None:
    """Until every peer runs as many legs as it has slots; then the run is cancelled."""
    client, side = Client(mesh["alpha"].home), folder / "matrix"
    side.touch()
    slots = {peer["name"]: peer["slots"] for peer in client.get("/v1/peers")["peers"]}
    at = time.time_ns()
    run = _post(client, _MATRIX.format(side=side))
    wait_until(lambda: _busy_ns(side, slots) is not None, "all peers are busy", 30)
    client.post(f"/v1/runs/{run}/cancel")
    busy = ((_busy_ns(side, slots) or at) - at) / 1e9
    print(f"matrix 10 x 10: all {sum(slots.values())} slots of three peers busy after {busy:.2f} s, "
          f"{busy / (sum(slots.values()) * bash):.1f} times as many bare bash")
    _wait_all(client, [run])


def _busy_ns(side: Path, slots: dict[str, int]) -> int | None:
    """When the last peer's last slot was taken."""
    starts = sorted(line.split() for line in side.read_text().splitlines())
    of_peer = {name: [int(at) for at, peer in starts if peer == name] for name in slots}
    if any(len(of_peer[name]) < number for name, number in slots.items()):
        return None
    return max(of_peer[name][number - 1] for name, number in slots.items())


def _report_submits(mesh: Mesh, number: int, commit: float, what: str, text: Callable[[int], str]) -> None:
    """The submit alone, as fast as it goes: the jobs are for a peer that does not exist."""
    client, texts = Client(mesh["alpha"].home), [text(place) for place in range(number)]
    before, began = _work_s(mesh), time.monotonic()
    _submit_kept(mesh, texts)
    rate = number / (time.monotonic() - began)
    spent = (_work_s(mesh)[0] - before[0]) / number
    began = time.monotonic()
    for place in range(_ALONE):
        _post(client, text(number + place))
    alone = _ALONE / (time.monotonic() - began)
    print(f"durable submits, {what}: {rate:.0f}/s over {_KEPT} kept connections, {rate * commit:.2f} of bare durable "
          f"commits; {spent * 1e3:.1f} ms CPU for each in three daemons; {alone:.0f}/s one after another")


def _submit_kept(mesh: Mesh, texts: list[str]) -> list[tuple[str, int]]:
    """Each run and when its submit was answered (ns), all from alpha."""

    def work(share: list[str]) -> list[tuple[str, int]]:
        with socket.socket(socket.AF_UNIX) as connection:
            with short_path(str(mesh["alpha"].home)) as path:
                connection.connect(path)
            return [(_post_kept(connection, text), time.time_ns()) for text in share]

    with ThreadPoolExecutor(_KEPT) as pool:
        shares = list(pool.map(work, [texts[first::_KEPT] for first in range(_KEPT)]))
    return [shares[place % _KEPT][place // _KEPT] for place in range(len(texts))]


def _post_kept(connection: socket.socket, text: str) -> str:
    content = json.dumps(_body(text)).encode()
    head = f"POST /v1/runs HTTP/1.1\r\nhost: clockmesh\r\ncontent-length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    answer = connection.recv(65536)
    while not answer.endswith(b"}\n"):
        answer += connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise DemoError(f"a submit was refused: {answer!r}")
    run: str = json.loads(answer.partition(b"\r\n\r\n")[2])["run"]
    return run


def _submit(client: Client, side: Path) -> str:
    return _post(client, _FLOW.format(side=side))


def _post(client: Client, text: str) -> str:
    run: str = client.post("/v1/runs", _body(text))["run"]
    return run


def _body(text: str) -> dict[str, object]:
    workflow = base64.b64encode(text.encode()).decode()
    return {"workflow_b64": workflow, "path": "trivial.yml", "inputs": {}, "priority": 5.0}


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


def _cpu_s(pid: int, *, children: bool = False) -> float:
    """CPU seconds of a process so far, with those of its ended children on request."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return sum(int(field) for field in fields[11 : 15 if children else 13]) / _TICKS


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _work_s(mesh: Mesh) -> tuple[float, float]:
    """CPU seconds of the daemons so far, and of their runner hosts and jobs."""
    daemons = sum(_cpu_s(peer.daemon.pid) for peer in mesh if peer.daemon is not None)
    return daemons, sum(_cpu_s(min(peer.hosts()), children=True) for peer in mesh)


def _list(values: list[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _p(values: list[float], percent: int) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


if __name__ == "__main__":
    main()
