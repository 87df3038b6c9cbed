"""What a user sees of a peer that goes away: how soon its job runs again, and what is not disturbed at all."""

from __future__ import annotations

import pytest

from clockmesh.protocol.plan import Guard
from clockmesh.protocol.result import Conclusion
from tests.simulation.scenario import LEASE
from tests.simulation.script import Script
from tests.simulation.workload import CHAIN

AGAIN = 22.0
"""Seconds within which a job of a machine that is gone runs somewhere else (DESIGN 10)."""


def test_a_daemon_that_is_back_soon_keeps_its_job():
    script = Script()
    job = script.submit(script.peers[0])
    holder = script.started(job)
    script.wait(5.0)
    holder.crash_daemon()
    script.wait(2.0)
    holder.start_daemon()
    script.finish()
    assert script.oracle.starts[job] == 1
    assert script.oracle.standing(job)[0] == 1


def test_the_restarted_daemon_proposes_what_ended_while_it_was_away():
    script = Script()
    job = script.submit(script.peers[0])
    holder = script.started(job)
    ref = script.runner(job).ref
    holder.crash_daemon()
    holder.host.finish_now(ref)
    script.wait(1.0)
    holder.start_daemon()
    script.finish()
    assert script.oracle.starts[job] == 1


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_job_of_a_lost_machine_runs_elsewhere_in_time(seed):
    script = Script(seed=seed)
    job = script.submit(script.peers[0])
    holder = script.started(job)
    script.wait(5.0)
    holder.crash_machine()
    gone = script.world.now
    other = script.started(job, 2)
    assert other is not holder
    assert script.world.now - gone < AGAIN
    holder.start_daemon()
    script.finish()
    assert script.oracle.starts[job] == 2


def test_a_job_whose_host_was_killed_is_given_up_at_once():
    script = Script()
    job = script.submit(script.peers[0])
    holder = script.started(job)
    script.wait(5.0)
    holder.crash_host()
    gone = script.world.now
    script.started(job, 2)
    assert script.world.now - gone < 3.0
    script.finish()


def test_a_machine_that_slept_for_long_runs_nothing_old():
    script = Script()
    job = script.submit(script.peers[0])
    holder = script.started(job)
    holder.suspend()
    script.started(job, 2)
    holder.resume()
    assert [runner.ref.attempt for runner in script.oracle.running(job)] == [2]
    script.finish()


def test_a_short_sleep_does_no_harm():
    script = Script()
    job = script.submit(script.peers[0])
    holder = script.started(job)
    script.wait(5.0)
    holder.suspend()
    script.wait(LEASE / 3)
    holder.resume()
    script.finish()
    assert script.oracle.starts[job] == 1


def test_a_long_job_needs_no_nodes_to_go_on():
    script = Script()
    job = script.submit(script.peers[0])
    script.started(job)
    script.wait(5.0)
    before = len(script.peers[0].daemon.clock)
    script.wait(3 * LEASE)
    assert len(script.peers[0].daemon.clock) == before
    script.finish()


def test_what_needs_a_failed_job_is_skipped_on_every_peer():
    script = Script()
    script.workload.fails = True
    job = script.submit(script.peers[0], CHAIN)
    script.finish()
    for peer in script.peers:
        jobs = peer.daemon.machine.runs[job.run].jobs
        assert [jobs[key].final.result.conclusion for key in ("a", "b")] == [Conclusion.FAILURE, Conclusion.SKIPPED]


def test_under_a_lease_both_sides_of_a_partition_finish_and_all_show_the_second_result():
    script = Script(guard=Guard.LEASE)
    job = script.submit(script.peers[0])
    holder = script.started(job)
    script.wait(1.0)
    script.isolate(holder)
    other = script.started(job, 2)
    other.host.finish_now(script.runner(job, 2).ref)
    holder.host.finish_now(script.runner(job, 1).ref)
    script.wait(1.0)
    script.finish()
    for peer in script.peers:
        state = script.job(peer, job)
        assert (state.final.attempt, [final.attempt for final in state.duplicates]) == (1, [2])


def test_under_a_lease_the_later_of_two_holders_stops_when_they_meet():
    script = Script(guard=Guard.LEASE)
    job = script.submit(script.peers[0])
    holder = script.started(job)
    script.wait(1.0)
    script.isolate(holder)
    script.started(job, 2)
    script.network.heal()
    script.until(lambda: script.runner(job, 2) is None, patience=LEASE)
    assert script.runner(job, 1)
    script.finish()
    assert script.oracle.results_of(job) == {script.oracle.standing(job)[1]}
