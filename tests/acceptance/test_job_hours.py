"""Two job-hours of healthy jobs on a machine with four times as much to do as it can, whose disk keeps every peer
waiting for five seconds again and again: none of them is ended by its deadline."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import share_with_jobs, wait_until
from clockmesh.daemon.exits import Trouble
from clockmesh.runner.faults import VARIABLE
from tests.acceptance.conftest import join_all, new_mesh
from tests.acceptance.storm import NAMES, order_of
from tests.acceptance.ticking import spans, ticking_workflow

JOBS = 12
SLOTS = 6
"""Of each peer: room for the small runs beside the long jobs."""
LOAD = 4 * (os.cpu_count() or 1)
STALLS = "stall before-commit 5 every 30\n"
SMALL_EVERY_S = 2.0
"""Small runs go on being submitted, so that every peer always has something to write."""
SMALL = """\
name: small
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  touch:
    runs-on: self-hosted
    steps:
      - run: echo "$CLOCKMESH_RUN" >> {0}
"""
AFTERWARDS_S = 120.0


@contextmanager
def busy(seconds: float) -> Iterator[None]:
    """LOAD processes that do nothing but compute, for so long at most."""
    script = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    burning = [subprocess.Popen([sys.executable, "-S", "-c", script]) for _ in range(LOAD)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


@pytest.mark.long
@pytest.mark.parametrize("seconds", [pytest.param(30.0, id="6-job-minutes"), pytest.param(600.0, id="2-job-hours")])
def test_no_healthy_job_is_ended_by_its_deadline_under_load_and_with_a_slow_disk(seconds: float) -> None:
    with new_mesh() as mesh:
        share_with_jobs(mesh.shared)
        folder, small, faults = mesh.shared, mesh.shared / "small", mesh.folder / "faults"
        join_all(mesh, *NAMES, slots=SLOTS, variables={key: {VARIABLE: str(faults)} for key in NAMES})
        clients = [Client(peer.home) for peer in mesh]
        faults.write_text(STALLS)
        with busy(seconds + AFTERWARDS_S):
            traces = {number: folder / f"job-{number}" for number in range(JOBS)}
            runs = [clients[number % 3].post("/v1/runs", order_of(ticking_workflow(folder, trace, seconds)))["run"]
                    for number, trace in traces.items()]
            small_runs = _submit_small(clients, order_of(SMALL.format(small).encode()), seconds)
            wait_until(lambda: all(_unfinished(client) == 0 for client in clients), "all have ended", AFTERWARDS_S)
        found = [spans(trace) for trace in traces.values()]
        shown = [clients[0].get(f"/v1/runs/{run}") for run in runs]
        gap = max(span.longest_gap_s for ran in found for span in ran)
        hours = sum(span.seconds for ran in found for span in ran) / 3600
        print(f"\n{hours:.2f} job-hours under {LOAD} busy processes, commits stalled 5 s every 30 s, {len(small_runs)} "
              f"small runs beside; longest gap between two ticks {gap:.2f} s; attempts of each job: "
              f"{[len(ran) for ran in found]}")
        assert [(len(ran), ran[0].seconds >= seconds - gap - 1.0) for ran in found] == [(1, True)] * JOBS
        assert {run["conclusion"] for run in shown} == {"success"}
        touched = small.read_text().split()
        assert len(touched) == len(set(touched)), "each small run ran once"
        assert set(small_runs) <= set(touched)


def _submit_small(clients: list[Client], order: dict[str, object], seconds: float) -> list[str]:
    end = time.monotonic() + seconds
    runs = []
    while time.monotonic() < end:
        with suppress(Trouble):  # not answered in time: then nothing was promised
            runs.append(random.choice(clients).post("/v1/runs", order)["run"])
        time.sleep(SMALL_EVERY_S)
    return runs


def _unfinished(client: Client) -> int:
    return int(client.get("/v1/status")["unfinished"])
