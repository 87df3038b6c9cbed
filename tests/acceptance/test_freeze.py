"""SIGSTOP of the daemon that runs a job, alone, with its host or with everything below it: by D the job is dead or as
frozen as its daemon, before another peer starts it; and what that one comes to stays, whatever thaws."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import Mesh, Peer, wait_until
from clockmesh.runner.faults import VARIABLE, Point
from tests.acceptance.storm import below_hosts, order_of
from tests.acceptance.ticking import overlaps, read, spans, ticking_workflow

LEASE_S = 15.0
FROZEN_S = 40.0
JOB_S = 32.0
"""Longer than a lease, so that only D ends it; the second attempt still runs when the first one's daemon thaws."""
TAKEN_OVER_S = 30.0
"""DESIGN 10: within this a frozen machine's job runs elsewhere."""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture
def faulty_mesh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> Mesh:
    """Three peers whose hosts and daemons look at `faults` of the test's folder."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "faults"))
    mesh: Mesh = request.getfixturevalue("fresh_mesh")
    return mesh


def start(mesh: Mesh, trace: Path) -> tuple[str, Peer]:
    """A ticking job; its run and the peer that runs it."""
    client = Client(mesh["alpha"].home)
    run: str = client.post("/v1/runs", order_of(ticking_workflow(trace.parent, trace, JOB_S)))["run"]
    wait_until(lambda: len(read(trace)) > 10, "the job ticks", 20)
    return run, mesh[client.get(f"/v1/runs/{run}")["jobs"][0]["peer"]]


def attempts(trace: Path) -> set[int]:
    return {tick.attempt for tick in read(trace)}


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


def ended(mesh: Mesh, run: str) -> dict[str, Any]:
    """What all peers say of the run once it has ended, the same on each."""
    shown: list[dict[str, Any]] = []

    def told() -> bool:
        shown[:] = [Client(peer.home).get(f"/v1/runs/{run}") for peer in mesh]
        return all(one["conclusion"] for one in shown)

    wait_until(told, "the run has ended on all peers", JOB_S + 2 * LEASE_S)
    assert shown[1:] == shown[:-1]
    return shown[0]


@pytest.mark.long
@pytest.mark.parametrize(("what", "fault"), [
    ("daemon", ""), ("daemon", f"crash {Point.HOST_BEFORE_KILL}"), ("daemon and host", ""),
])  # fmt: skip
def test_a_frozen_daemons_job_is_dead_before_another_peer_starts_it(
    faulty_mesh: Mesh, tmp_path: Path, trace: Path, what: str, fault: str
) -> None:
    run, holder = start(faulty_mesh, trace)
    assert holder.daemon is not None
    stopped = [holder.daemon.pid, *(holder.hosts() if "host" in what else ())]
    (tmp_path / "faults").write_text(fault)
    send(signal.SIGSTOP, stopped)
    frozen = time.monotonic()
    wait_until(lambda: attempts(trace) == {1, 2}, "another peer starts it", TAKEN_OVER_S)
    taken_over = time.monotonic() - frozen
    time.sleep(frozen + FROZEN_S - time.monotonic())
    send(signal.SIGCONT, stopped)
    first, second = spans(trace)
    assert not overlaps([first, second])
    print(f"\n{what} frozen{', its host killed at D' if fault else ''}: attempt 2 ticks {taken_over:.1f} s later, "
          f"{(second.first_ns - first.last_ns) / 1e9:.2f} s after the last tick of attempt 1")
    job = ended(faulty_mesh, run)["jobs"][0]
    assert (job["conclusion"], job["attempt"], job["duplicates"]) == ("success", 2, 0)
    assert job["peer"] != holder.name
    assert attempts(trace) == {1, 2}
    assert holder.daemon.poll() is None


@pytest.mark.long
def test_after_a_thaw_of_the_whole_machine_a_job_runs_on_for_milliseconds_and_the_final_result_stays(
    fresh_mesh: Mesh, trace: Path
) -> None:
    run, holder = start(fresh_mesh, trace)
    assert holder.daemon is not None
    machine = [*below_hosts(holder), *holder.hosts(), holder.daemon.pid]
    send(signal.SIGSTOP, reversed(machine))
    wait_until(lambda: attempts(trace) == {1, 2}, "another peer starts it", TAKEN_OVER_S)
    time.sleep(2.0)
    thawed = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    send(signal.SIGCONT, machine)
    job = ended(fresh_mesh, run)["jobs"][0]
    assert (job["conclusion"], job["attempt"], job["duplicates"]) == ("success", 2, 0)
    late = [tick.boottime_ns for tick in read(trace) if tick.attempt == 1 and tick.boottime_ns > thawed]
    overlap = (max(late) - thawed) / 1e6 if late else 0.0
    print(f"\nwhole machine frozen: attempt 1 ticked {len(late)} times after the thaw, for {overlap:.0f} ms, beside "
          "attempt 2")
    assert overlap < 1000
    assert holder.daemon.poll() is None
    shown = ended(fresh_mesh, run)["jobs"][0]
    assert shown == job
