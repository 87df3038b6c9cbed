"""kill -9 of a holder: its daemon alone, or its daemon and its runner host."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from clockmesh.daemon.demo.peers import Mesh, Peer, wait_until

TICKS = 40
TAKEOVER_LIMIT_S = 22.0


@dataclass(frozen=True)
class Tick:
    attempt: int
    peer: str
    boottime_ns: int
    pid: int


def submit_ticking(mesh: Mesh, folder: Path, ticks: int = TICKS) -> tuple[str, Path]:
    """A job that appends (attempt, peer, BOOTTIME, pid) every 0.1 s; its run and the file."""
    trace = folder / "trace"
    script = folder / "tick.py"
    script.write_text(
        "import os, time\n"
        f"for _ in range({ticks}):\n"
        f"    with open({str(trace)!r}, 'a') as file:\n"
        "        print(os.environ['CLOCKMESH_ATTEMPT'], os.environ['CLOCKMESH_PEER'],"
        " time.clock_gettime_ns(time.CLOCK_BOOTTIME), os.getpid(), file=file)\n"
        "    time.sleep(0.1)\n"
    )
    flow = folder / "flow.yml"
    flow.write_text(
        "name: ticking (p2p-workflow)\non: push\njobs:\n  tick:\n    runs-on: self-hosted\n"
        f"    outputs: {{by: '${{{{ steps.t.outputs.by }}}}'}}\n    steps:\n"
        f"      - id: t\n        run: |\n          python3 {script}\n"
        '          echo "by=$CLOCKMESH_PEER" >> "$GITHUB_OUTPUT"\n'
    )
    run = mesh["alpha"].json("run", "submit", str(flow))["run"]
    wait_until(lambda: len(read(trace)) >= 5, "the job ticks", 20)
    return run, trace


def read(trace: Path) -> list[Tick]:
    if not trace.exists():
        return []
    rows = [line.split() for line in trace.read_text().splitlines()]
    return [Tick(int(row[0]), row[1], int(row[2]), int(row[3])) for row in rows if len(row) == 4]


def holder_of(mesh: Mesh, trace: Path) -> Peer:
    return mesh[read(trace)[-1].peer]


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def assert_attempts_apart(ticks: list[Tick]) -> None:
    spans: dict[int, list[int]] = {}
    for tick in ticks:
        spans.setdefault(tick.attempt, []).append(tick.boottime_ns)
    last = 0
    for attempt in sorted(spans):
        assert min(spans[attempt]) > last, f"attempt {attempt} overlaps the one before"
        last = max(spans[attempt])


def test_a_killed_daemon_comes_back_to_its_job(fresh_mesh: Mesh, tmp_path: Path) -> None:
    run, trace = submit_ticking(fresh_mesh, tmp_path)
    holder = holder_of(fresh_mesh, trace)
    holder.kill()
    before = len(read(trace))
    holder.start()
    wait_until(lambda: len(read(trace)) > before + 2, "the job goes on without its daemon", 10)
    reader = next(peer for peer in fresh_mesh if peer is not holder)
    reader.run("run", "wait", run, "--timeout", "40")
    assert {tick.attempt for tick in read(trace)} == {1}
    assert len(read(trace)) == TICKS
    shown = reader.json("run", "show", run)["jobs"][0]
    assert (shown["peer"], shown["attempt"], shown["outputs"]) == (holder.name, 1, {"by": holder.name})


def test_a_killed_daemon_and_host_lose_the_job_to_another_peer(fresh_mesh: Mesh, tmp_path: Path) -> None:
    run, trace = submit_ticking(fresh_mesh, tmp_path)
    holder = holder_of(fresh_mesh, trace)
    (job,) = holder.processes(read(trace)[-1].pid)
    (host,) = holder.hosts()
    holder.kill()
    os.kill(host, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: gone(job), "the job ends with its host", 2)
    wait_until(lambda: read(trace)[-1].attempt > 1, "another peer starts it", TAKEOVER_LIMIT_S)
    reader = next(peer for peer in fresh_mesh.living)
    reader.run("run", "wait", run, "--timeout", "40")
    print(f"finished {time.monotonic() - killed:.1f} s after the kill")
    assert time.monotonic() - killed < TAKEOVER_LIMIT_S + TICKS * 0.1
    assert_attempts_apart(read(trace))
    shown = reader.json("run", "show", run)["jobs"][0]
    assert shown["conclusion"] == "success"
    assert shown["peer"] != holder.name
