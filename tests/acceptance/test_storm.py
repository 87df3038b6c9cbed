"""Kills, half of them at named points of the code, with twenty runs in flight: all complete, nothing that was accepted
is lost, and the attempts of a job never overlap."""

from __future__ import annotations

from collections import Counter

import pytest

from clockmesh.daemon.demo.peers import share_with_jobs
from tests.acceptance.conftest import new_mesh
from tests.acceptance.storm import Accepted, Storm
from tests.acceptance.ticking import PERIOD_S, Span, overlaps, spans


@pytest.mark.parametrize(("kills", "seed"), [
    pytest.param(10, 1, id="10-kills"),
    pytest.param(50, 2, id="50-kills", marks=pytest.mark.long),
])  # fmt: skip
def test_after_a_storm_of_kills_all_is_done_and_no_two_attempts_of_a_job_overlapped(kills: int, seed: int) -> None:
    with new_mesh() as mesh:
        share_with_jobs(mesh.shared)
        storm = Storm(mesh, mesh.shared, seed)
        with storm.crowd():
            storm.blow(kills)
        settled = storm.settle()
        attempts = Counter(_check(storm, accepted) for accepted in storm.accepted)
        print(f"\n{len(storm.kills)} kills: {'; '.join(storm.kills)}")
        print(f"{len(storm.accepted)} runs accepted, {storm.refused} submissions not answered; all done "
              f"{settled:.1f} s after the last kill; attempts that ran a job: {dict(sorted(attempts.items()))}")
        assert len(storm.kills) == kills


def _check(storm: Storm, accepted: Accepted) -> int:
    """The promises about one accepted run; how many attempts of its job ran."""
    shown = [storm.shown(peer, accepted.run) for peer in storm.mesh]
    assert shown[1:] == [shown[0], shown[0]], "the peers tell different stories"
    (job,) = shown[0]["jobs"]
    ran = spans(accepted.trace)
    told = f"run {accepted.run[:12]} ({accepted.trace.name}): {job}; {ran}"
    assert (shown[0]["conclusion"], job["duplicates"]) == ("success", 0), told
    assert not overlaps(ran), told
    assert job["outputs"] == {"attempt": str(job["attempt"])}, told
    assert _whole(next(span for span in ran if span.attempt == job["attempt"]), accepted.seconds), told
    return len(ran)


def _whole(span: Span, seconds: float) -> bool:
    """The attempt whose result stands ran from the first tick to the last."""
    return span.seconds >= seconds - 2 * PERIOD_S - span.longest_gap_s
