"""A job whose leader does not end when it should: the keeper ends it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.result import Conclusion
from clockmesh.runner import keeper
from clockmesh.runner.host_jobs import Jobs, boottime
from clockmesh.runner.host_messages import Ended, Report, Started
from clockmesh.runner.spec import JobSpec
from tests.integration.runner_hosts import HOUR, script, spec_of
from tests.integration.runner_support import alive, in_child, wait_for

PATIENCE_S = 0.5


def deaf(*_: object) -> None:
    """A leader that hears of nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def ended(spec: JobSpec, home: Path, meanwhile: Callable[[Jobs], None]) -> tuple[bool, str, str]:
    """Whether a deaf leader outlived its job, the job's conclusion and its error."""

    def run() -> tuple[bool, str, str]:
        reports: list[Report] = []
        jobs = Jobs(home, "mark", deaf, reports.append, set())
        jobs.start(spec, boottime() + HOUR)
        wait_for(lambda: _look(jobs) or reports, "the job runs")
        meanwhile(jobs)
        wait_for(lambda: _look(jobs) or len(reports) > 1, "the job ends", 4 * PATIENCE_S)
        started, last = reports
        assert isinstance(started, Started)
        assert isinstance(last, Ended)
        assert last.result is not None
        result = decode_result(last.result)
        return alive(started.pid), result.conclusion, result.error

    return in_child(run)


def _look(jobs: Jobs) -> None:
    jobs.tick()
    for control in list(jobs.controls()):
        jobs.hear(control)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "STUCK_S", PATIENCE_S)


def test_a_job_that_does_not_hear_a_cancel_is_ended_for_it(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, script("true"))
    lived, conclusion, error = ended(spec, tmp_path, lambda jobs: jobs.stop(spec.ref))
    assert (lived, conclusion) == (False, Conclusion.FAILURE)
    assert "after it was told to end, and was killed" in error


def test_a_job_that_does_not_see_its_time_pass_is_ended_for_it(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, script("true"))
    hurried = replace(spec, plan=replace(spec.plan, jobs=(replace(spec.plan.jobs[0], timeout_s=1),)))
    lived, conclusion, _ = ended(hurried, tmp_path, lambda jobs: None)
    assert (lived, conclusion) == (False, Conclusion.FAILURE)
