"""Clocks that jump: after a suspend no job outlives its D, and a wrong wall clock ends and fires nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from clockmesh.coordinator.view import Status
from clockmesh.daemon.member import Timing
from clockmesh.daemon.scheduling import ScheduleOrder
from clockmesh.daemon.submitting import Order
from clockmesh.protocol.result import Conclusion
from clockmesh.protocol.schedules import CatchUp, Overlap
from clockmesh.runner import host_jobs
from clockmesh.runner.host_jobs import Jobs
from clockmesh.runner.host_messages import Ended, Report, Started
from clockmesh.runner.keeper import DEADLINE
from tests.integration.daemon_support import bench, ended, until, workflow
from tests.integration.runner_hosts import script, spec_of
from tests.integration.runner_support import alive, in_child, wait_for

HASTY = Timing(beacon_period=0.2, lease=3.0)
HOUR_S = 3600.0


def test_a_job_whose_deadline_passed_in_a_suspend_is_dead_at_the_first_look_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extensions that a daemon sent before it knew of the suspend come too late."""
    asleep = [0.0]
    awake = host_jobs.boottime
    monkeypatch.setattr(host_jobs, "boottime", lambda: awake() + asleep[0])
    spec = spec_of(tmp_path, script("sleep 1000"))

    def run() -> tuple[str, bool]:
        reports: list[Report] = []
        jobs = Jobs(tmp_path, "mark", lambda *_: time.sleep(1000), reports.append, set())
        jobs.start(spec, host_jobs.boottime() + 11.0)
        wait_for(lambda: _look(jobs) or reports, "the job runs")
        asleep[0] = HOUR_S
        jobs.extend(spec.ref, host_jobs.boottime() + 11.0)
        wait_for(lambda: _look(jobs) or len(reports) > 1, "the job ends", 1.0)
        started, last = reports
        assert isinstance(started, Started)
        assert isinstance(last, Ended)
        return last.why, alive(started.pid)

    assert in_child(run) == (DEADLINE, False)


def _look(jobs: Jobs) -> None:
    """One turn of the host's loop."""
    jobs.tick()
    for control in list(jobs.controls()):
        jobs.hear(control)


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        self.off = 0.0

    def __call__(self) -> float:
        return time.time() + self.off


async def test_a_wall_clock_that_jumps_an_hour_and_back_ends_no_job_and_fires_nothing(tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    body = workflow(f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $CLOCKMESH_ATTEMPT >> {ticks}; sleep 0.25; done")
    walls = {name: Wall() for name in ("alpha", "beta", "gamma")}
    timings = {name: replace(HASTY, wall=wall) for name, wall in walls.items()}
    async with bench(tmp_path / "homes", HASTY) as made:
        peers = await made.mesh(*walls, timings=timings)
        alpha, beta, gamma = peers
        schedule = await alpha.service.add_schedule(due_in_half_an_hour())
        run = await beta.service.submit(body, "t.yml")
        await until(ticks.exists, "the job runs")
        holder = beta.job(run).peer
        assert holder is not None
        wall = walls[beta.service.machine.name_of(holder)]
        wall.off = HOUR_S
        await until(lambda: len(ticks.read_text().split()) > 6, "the job goes on")
        wall.off = -HOUR_S
        for peer in peers:
            assert (await ended(peer, run)).conclusion is Conclusion.SUCCESS
        await trio.sleep(HASTY.lease)
        assert ticks.read_text().split() == ["1"] * 12
        for peer in peers:
            submitted = peer.service.machine.state.schedules[schedule].ticks.values()
            assert {peer.run(tick).status for tick in submitted} <= {Status.PENDING, Status.ASSIGNED}
        assert len(gamma.service.machine.runs) == 1 + len(submitted)


def due_in_half_an_hour() -> ScheduleOrder:
    due = datetime.now(UTC) + timedelta(minutes=30)
    lines = f"on: {{schedule: [{{cron: '{due.minute} * * * *'}}]}}"
    body = workflow("true", name="hourly p2p-workflow").replace(b"on: workflow_dispatch", lines.encode())
    order = Order(body, "hourly.yml", {}, 5.0, None, False, None, None)
    return ScheduleOrder(order, None, CatchUp.LAST, Overlap.SKIP, 0)
