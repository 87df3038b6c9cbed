"""Each rule of DESIGN 5 holds something back: with it the story ends well, without it a promise is broken.

The stories are those by which an earlier wording of the rules was broken.
"""

from __future__ import annotations

import pytest

from clockmesh.protocol.events import Ending
from tests.simulation.mutations import without
from tests.simulation.network import BEACONS
from tests.simulation.scenario import LEASE
from tests.simulation.script import Script
from tests.simulation.world import Violation


def broken_without(rule: str, story, *kinds: str) -> None:
    """The story holds with all rules, and without this one breaks a promise of one of these kinds."""
    story()
    with without(rule), pytest.raises(Violation) as found:
        story()
    assert found.value.kind in kinds


def one_who_missed_the_claim(script: Script):
    """The job runs at one peer by the grants of two; the third knows of the run and of nothing else."""
    a, _, third = script.peers
    script.isolate(third, BEACONS)
    job = script.submit(a)
    holder = script.started(job)
    script.tell_of_run(third, job)
    (voter,) = script.others(holder, third)
    return job, holder, voter, third


def test_a_voter_grants_an_attempt_to_one_claimant_only():
    def story():
        script = Script()
        job, _, voter, third = one_who_missed_the_claim(script)
        script.until(lambda: script.claimed(third, job, 1))
        script.link(third, voter)
        script.wait(5.0)
        script.finish()

    broken_without("one-claimant", story, "overlap")


def test_a_voter_grants_only_above_attempts_that_are_over():
    def story():
        script = Script()
        job, _, voter, third = one_who_missed_the_claim(script)
        script.until(lambda: script.claimed(third, job, 2))
        script.link(third, voter)
        script.wait(5.0)
        script.finish()

    broken_without("lower-over", story, "overlap")


def test_a_holder_that_nobody_hears_stops_at_its_deadline():
    def story():
        script = Script()
        job = script.submit(script.peers[0])
        script.isolate(script.started(job))
        script.started(job, 2)
        script.finish()

    broken_without("deadline", story, "overlap")


def test_who_granted_a_higher_attempt_does_not_accept_the_lower_ones_result():
    def story():
        script = Script()
        job = script.submit(script.peers[0])
        holder = script.started(job)
        ref = script.runner(job).ref
        script.isolate(holder)
        script.wait(8.0)
        holder.host.finish_now(ref)
        second = script.started(job, 2)
        (voter,) = script.others(holder, second)
        script.link(holder, voter)
        script.wait(5.0)
        script.finish()
        assert script.oracle.standing(job)[0] == 2

    broken_without("accept-check", story, "runs_after_final", "two_finals")


def test_a_result_that_a_voter_accepted_is_proposed_again_and_not_run_again():
    def story():
        script = Script()
        job, holder, voter, third = one_who_missed_the_claim(script)
        script.until(lambda: script.claimed(third, job, 2))
        script.isolate(voter)
        holder.host.finish_now(script.runner(job).ref)
        script.wait(1.0)
        script.link(third, holder)
        script.wait(4.0)
        script.finish()
        assert script.oracle.starts[job] == 1

    broken_without("adoption", story, "runs_after_final", "start_after_final", "two_finals")


def test_a_host_drops_what_an_earlier_daemon_sent():
    def story():
        script = Script()
        script.weather.start_delay = lambda: 8.0
        job = script.submit(script.peers[0])
        holder = script.granted(job)
        script.wait(0.5)
        script.weather.start_delay = lambda: 0.0
        holder.crash_daemon()
        holder.start_daemon()
        script.started(job, 2)
        script.wait(10.0)
        script.finish()

    broken_without("host-fence", story, "overlap")


def test_deadlines_count_the_time_a_machine_sleeps():
    def story():
        script = Script()
        job = script.submit(script.peers[0])
        holder = script.started(job)
        holder.suspend()
        script.started(job, 2)
        holder.resume()
        script.finish()

    broken_without("boottime", story, "overlap")


@pytest.mark.parametrize("rule", [None, "over"])
def test_who_granted_a_higher_attempt_holds_up_the_lower_one_no_longer(rule):
    """A matter of seconds, so it takes some chance: of forty such stories several break without the rule."""
    broken = set()
    for seed in range(1, 41):
        script = Script(seed=seed)
        with without(rule):
            try:
                higher_grant_while_the_lower_runs(script)
            except Violation as found:
                broken.add(found.kind)
    assert broken == ({"overlap"} if rule else set())


def higher_grant_while_the_lower_runs(script: Script) -> None:
    """One voter grants the next attempt, then hears the holder again, then the other one takes it for silent."""
    job = script.submit(script.peers[0])
    holder = script.started(job)
    first, second = script.others(holder)
    script.wait(3.0)
    script.link(holder, first, 0)
    script.wait(LEASE / 2 - 0.3)
    script.link(holder, second, 0)
    script.until(lambda: script.claimed(first, job, 2))
    script.link(holder, first, BEACONS)
    script.wait(LEASE)
    script.finish()


def test_what_an_earlier_incarnation_was_heard_to_say_is_worth_nothing():
    def story():
        script = Script()
        job = script.submit(script.peers[0])
        holder = script.started(job)
        script.wait(5.0)
        script.network.set({(holder.index, other.index): 0 for other in script.others(holder)})
        holder.crash_daemon()
        holder.start_daemon()
        script.started(job, 2)
        script.finish()

    broken_without("incarnation", story, "overlap")


def test_a_voter_that_was_away_waits_a_whole_lease_before_it_calls_a_holder_silent():
    def story():
        script = Script()
        job = script.submit(script.peers[0])
        holder = script.started(job)
        claimant, voter = script.others(holder)
        script.link(holder, claimant, 0)
        script.until(lambda: script.claimed(claimant, job, 2))
        script.wait(1.0)
        script.link(holder, voter, 0)
        voter.crash_daemon()
        voter.start_daemon()
        script.wait(6.0)
        script.finish()

    broken_without("settled", story, "overlap")


def test_a_claim_that_gets_no_quorum_is_released_after_half_a_lease():
    script = Script()
    c = script.peers[2]
    script.isolate(c, BEACONS)
    job = script.submit(c)
    script.until(lambda: script.claimed(c, job))
    script.wait(LEASE / 2 - 1)
    assert not script.job(c, job).ended
    script.wait(2.0)
    assert script.job(c, job).ended == {(1, c.id): Ending.RELEASED}
    script.finish()
    assert script.oracle.starts[job] == 1


def test_a_quorum_that_granted_starts_while_the_third_peer_is_cut_off():
    script = Script()
    script.isolate(script.peers[2])
    job = script.submit(script.peers[0])
    script.started(job)
    script.finish()
    assert script.oracle.starts[job] == 1


def test_a_peer_without_a_quorum_starts_nothing():
    script = Script()
    script.isolate(script.peers[0])
    job = script.submit(script.peers[0])
    script.wait(4 * LEASE)
    assert script.oracle.starts[job] == 0
    script.finish()
