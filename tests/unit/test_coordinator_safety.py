"""Each safety rule by the hostile schedule that needs it: with the rule nothing breaks, without it something does.

The schedules are those of the review of the claim rules, played by real machines. The take rule is off: who claims is
the test's to say, for a voter can never know why somebody claimed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clockmesh.coordinator import claims, jobs, leases, take
from clockmesh.coordinator.effects import Start, Stop
from clockmesh.coordinator.inputs import JobEnded
from clockmesh.protocol.events import AttemptEnded, ClaimGranted, Ending, ResultAccepted
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef
from clockmesh.protocol.plan import Guard
from tests.unit.coordinator_mesh import Mesh, done, nobody_takes

ALWAYS: Callable[..., bool] = lambda *_: True  # noqa: E731


@pytest.fixture(autouse=True)
def _claims_are_scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take, "take_next", nobody_takes)


@pytest.fixture(params=["with the rule", "without it"])
def rule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rule:
    return Rule(request.param == "with the rule", monkeypatch)


class Rule:
    """Whether the rule under test holds in this run of the test."""

    def __init__(self, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holds = holds
        self._monkeypatch = monkeypatch

    def is_(self, room: object, name: str, without: Callable[..., object]) -> None:
        """The rule is this function; without it stands `without`."""
        if not self.holds:
            self._monkeypatch.setattr(room, name, without)


def job_of(mesh: Mesh, guard: Guard | None = None) -> JobRef:
    run = mesh.submit("A", guard=guard)
    mesh.sync()
    return JobRef(run, JobKey("job"))


def test_a_voter_never_grants_one_attempt_twice(rule: Rule) -> None:
    rule.is_(claims, "one_claimant", ALWAYS)
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("A", "C")
    mesh["A"].claim(job, 1)
    mesh["C"].claim(job, 1)
    mesh.sync()
    assert (not mesh.overlaps) == rule.holds
    assert len(mesh["B"].said(ClaimGranted)) == (1 if rule.holds else 2)


def test_a_voter_never_grants_below_an_attempt_that_it_granted(rule: Rule) -> None:
    rule.is_(claims, "not_below", ALWAYS)
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("A", "C")
    mesh["A"].claim(job, 2)
    mesh.sync()
    mesh["C"].claim(job, 1)
    mesh.sync()
    assert mesh.starts[0] == ("A", 2)
    assert (not mesh.overlaps) == rule.holds


def test_a_voter_grants_nothing_once_a_final_result_is_known() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    ref = mesh["C"].claim(job, 1)
    mesh.sync()
    mesh["C"].finish(ref, done())
    mesh.sync()
    granted = len(mesh["B"].said(ClaimGranted))
    mesh["A"].claim(job, 2)
    mesh.sync()
    assert len(mesh["B"].said(ClaimGranted)) == granted
    assert mesh.starts == [("C", 1)]


def below_only(job, attempt, known, now, lease):
    """Rule 3 as it was once written: of the attempt just below alone."""
    granted = job.votes.get(known.me, {})
    below = granted.get(attempt - 1)
    return (
        below is None or jobs.is_over(job, attempt - 1, below)
        or leases.silent(known, job, attempt - 1, below, now, lease)
    )


def test_t1_every_lower_attempt_granted_must_be_over_not_only_the_one_below(rule: Rule) -> None:
    rule.is_(claims, "lower_attempts_over", below_only)
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh["A"].claim(job, 2)
    mesh.advance(8.0)
    assert [event.how for event in mesh["A"].said(AttemptEnded)] == [Ending.RELEASED]
    mesh["A"].claim(job, 3)
    mesh.advance(1.0)
    assert (not mesh.overlaps) == rule.holds


def test_rule_3_a_living_claimant_is_not_overtaken(rule: Rule) -> None:
    rule.is_(claims, "lower_attempts_over", ALWAYS)
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh["A"].claim(job, 2)
    mesh.advance(1.0)
    assert (not mesh.overlaps) == rule.holds


def test_rule_3_silence_is_a_whole_lease_long(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.silent
    if not rule.holds:
        monkeypatch.setattr(leases, "silent", lambda *args: real(*args[:-1], 0.6 * args[-1]))
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.advance(1.0)
    mesh.part("C", "AB")
    mesh.advance(4.0)
    mesh["A"].claim(job, 2)
    mesh.advance(6.0)
    assert (not mesh.overlaps) == rule.holds


def any_voter(known, job, attempt, claimed_at, lease):
    """Rule 5 without 'who granted it this attempt'."""
    heard = sorted(
        (leases.acknowledged(known, job, attempt, voter, claimed_at) for voter in job.electorate.members), reverse=True
    )
    return heard[job.electorate.quorum - 1] + leases.RUN_SHARE * lease


def test_t2_only_who_granted_the_attempt_keeps_its_holder_alive(rule: Rule) -> None:
    rule.is_(leases, "deadline", any_voter)
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("A", "BC")
    mesh["A"].claim(job, 1)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh.heal()
    mesh.advance(2.0)
    assert mesh.starts == [("C", 1)]
    mesh.part("B", "C")
    mesh.advance(9.0)
    mesh["B"].claim(job, 2)
    mesh.advance(7.0)
    assert mesh.starts == [("C", 1), ("B", 2)]
    assert (not mesh.overlaps) == rule.holds


def test_a_voter_that_granted_above_has_stopped_listening(rule: Rule) -> None:
    rule.is_(leases, "granted_above", lambda *_: False)
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.advance(1.0)
    told = mesh["C"].machine.leases.sessions[mesh["A"].id]
    told.over[job] = 2  # as its next beacon will say, once it has decided such a grant
    mesh.advance(0.5)
    heard = leases.acknowledged(mesh["C"].machine.leases, mesh["C"].job(job), 1, mesh["A"].id, 7.0)
    assert (heard == 7.0) == rule.holds


def test_a_beacon_lists_each_grant_above_a_claimant_that_has_not_ended() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    first = mesh["C"].claim(job, 1)
    mesh.advance(1.0)
    mesh.part("C", "AB")
    mesh.advance(9.0)
    mesh["A"].claim(job, 2)
    mesh.advance(7.0)
    assert mesh.starts == [("C", 1), ("A", 2)]
    for name in "AB":
        assert mesh[name].machine.make_beacon(mesh.now, bytes(32), 0.0).over == (first._replace(attempt=2),)
    mesh.heal()
    mesh.advance(1.0)
    assert mesh["C"].said(AttemptEnded)
    assert mesh["A"].machine.make_beacon(mesh.now, bytes(32), 0.0).over == ()


def test_t4_what_was_heard_of_an_earlier_incarnation_says_nothing(rule: Rule) -> None:
    rule.is_(leases, "names_this_incarnation", ALWAYS)
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.advance(5.0)
    mesh.cut("C", "A")
    mesh.cut("C", "B")
    mesh["C"].crash()
    mesh["C"].start()
    mesh.advance(10.0)
    mesh["A"].claim(job, 2)
    mesh.advance(6.0)
    assert mesh.starts == [("C", 1), ("A", 2)]
    assert (not mesh.overlaps) == rule.holds


def test_rule_5_a_holder_that_nobody_hears_stops_before_others_may_start(rule: Rule) -> None:
    rule.is_(leases, "deadline", lambda *_: float("inf"))
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.advance(3.0)
    mesh.part("C", "AB")
    mesh.advance(10.0)
    mesh["A"].claim(job, 2)
    mesh.advance(7.0)
    assert mesh.starts == [("C", 1), ("A", 2)]
    assert (not mesh.overlaps) == rule.holds


def test_rule_4_a_start_needs_the_grants_of_a_quorum(rule: Rule) -> None:
    rule.is_(jobs, "has_quorum", lambda job, attempt, claimant: bool(job.grants.get((attempt, claimant))))
    rule.is_(leases, "deadline", lambda known, *_: known.stepped_at + 10.0)
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("A", "BC")
    mesh["A"].claim(job, 1)
    mesh["C"].claim(job, 1)
    mesh.sync()
    assert (mesh.starts == [("C", 1)]) == rule.holds
    assert (not mesh.overlaps) == rule.holds


def test_t6_what_has_started_is_never_released() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh["A"].claim(job, 2)
    mesh["B"].claim(job, 2)
    mesh.advance(20.0)
    assert mesh["C"].said(AttemptEnded) == []
    assert list(mesh["C"].host)
    assert {event.how for name in "AB" for event in mesh[name].said(AttemptEnded)} == {Ending.RELEASED}


def test_what_is_released_never_starts() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("C", "AB")
    mesh["C"].claim(job, 1)
    mesh.advance(8.0)
    mesh.heal()
    mesh.advance(3.0)
    assert [event.how for event in mesh["C"].said(AttemptEnded)] == [Ending.RELEASED]
    assert mesh.starts == []


def test_t8_a_claim_that_cannot_start_is_released(rule: Rule) -> None:
    rule.is_(claims, "unstarted_too_long", lambda *_: False)
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("C", "AB")
    mesh["C"].claim(job, 1)
    mesh.advance(8.0)
    assert bool(mesh["C"].said(AttemptEnded)) == rule.holds


def test_a_claim_that_no_quorum_can_grant_any_more_is_released_at_once(rule: Rule) -> None:
    rule.is_(claims, "hopeless", lambda *_: False)
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("A", "BC")
    mesh["A"].claim(job, 1)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh.heal()
    mesh.sync()
    assert bool(mesh["A"].said(AttemptEnded)) == rule.holds


def test_t9_a_restart_ends_the_claims_that_the_host_does_not_know() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    mesh.part("C", "AB")
    mesh["C"].claim(job, 1)
    mesh["C"].crash()
    mesh["C"].start()
    assert [event.how for event in mesh["C"].said(AttemptEnded)] == [Ending.RELEASED]
    mesh.heal()
    mesh["C"].claim(job, 2)
    mesh.sync()
    assert mesh.starts == [("C", 2)]
    mesh["C"].crash(machine=True)
    mesh["C"].start()
    assert mesh["C"].said(AttemptEnded)[-1].how is Ending.LOST


def test_rule_8_a_restarted_daemon_finds_its_job_and_proposes_its_result() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    ref = mesh["C"].claim(job, 1)
    mesh.advance(2.0)
    until = mesh["C"].host[ref]
    mesh["C"].crash()
    mesh.advance(2.0)
    mesh["C"].start()
    assert mesh["C"].machine.deadline(ref, mesh.now) == until
    mesh.advance(20.0)
    assert ref in mesh["C"].host
    mesh["C"].finish(ref, done())
    mesh.sync()
    assert mesh.over(job.run)
    assert mesh.starts == [("C", 1)]


def no_restart_clause(known, job, attempt, claimant):
    session = known.sessions.get(claimant)
    return session.heard_at if session else leases.NEVER


def test_t11_silence_counts_from_the_own_restart(rule: Rule) -> None:
    rule.is_(leases, "silent_from", no_restart_clause)
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh.cut("C", "B")
    mesh.advance(14.0)
    mesh.cut("C", "A")
    mesh["A"].crash()
    mesh.advance(1.5)
    mesh["A"].start()
    mesh["B"].claim(job, 2)
    mesh.cut("C", "A")
    mesh.sync()
    mesh.advance(2.0)
    assert ("C", 1) in mesh.starts
    assert (not mesh.overlaps) == rule.holds


def test_silence_counts_from_the_own_grant(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.silent_from
    if not rule.holds:
        monkeypatch.setattr(leases, "silent_from", lambda known, job, *key: _without_grant(known, job, real, *key))
    mesh = Mesh()
    job = job_of(mesh)
    mesh.advance(1.0)
    for name in "AB":  # they hear nothing of C's beacons, but its session still lives when it claims
        mesh.cut("C", name, kinds="b")
    mesh.advance(4.0)
    mesh["C"].claim(job, 1)
    mesh.sync()
    mesh.part("C", "AB")
    mesh.advance(4.0)
    mesh["A"].claim(job, 2)
    mesh.advance(7.0)
    assert ("C", 1) in mesh.starts
    assert (not mesh.overlaps) == rule.holds


def _without_grant(known, job, real, attempt, claimant):
    known.granted_at.clear()
    known.seen_at.clear()
    return real(known, job, attempt, claimant)


def test_silence_counts_from_the_own_pause() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.advance(1.0)
    voter = mesh["A"]
    voter.up = False  # it sleeps
    mesh.advance(16.0)
    voter.up = True
    mesh["B"].claim(job, 2)
    mesh.sync()
    assert not any(event.attempt == 2 for event in voter.said(ClaimGranted))


def test_rule_6_no_accept_after_a_higher_grant(rule: Rule) -> None:
    rule.is_(claims, "may_accept", ALWAYS)
    mesh = Mesh("ABCDE")
    job = job_of(mesh)
    first = mesh["C"].claim(job, 1)
    mesh.sync()
    mesh["C"].crash(machine=True)
    mesh.part("E", "ABD")
    mesh.advance(16.0)
    second = mesh["A"].claim(job, 2)  # granted by A, B and D
    mesh.sync()
    mesh.part("C", "ABE")
    mesh.part("D", "AB")
    comes_back_with_a_result(mesh, "C", first)  # only D hears of it
    mesh.heal()
    mesh.part("CE", "ABD")
    mesh["A"].finish(second, done("two"))
    mesh.sync()
    mesh.heal()
    mesh.advance(1.0)
    assert (len(mesh.finals(job)) == 1) == rule.holds


def comes_back_with_a_result(mesh: Mesh, name: str, ref: AttemptRef) -> None:
    """Its job had ended before D, while its daemon was down."""
    peer = mesh[name]
    peer.host[ref] = mesh.now + 1.0
    peer.start()
    peer.finish(ref, done("one"))
    mesh.sync()


def test_t12_a_holder_adopts_the_result_that_its_grants_carry(rule: Rule) -> None:
    rule.is_(claims, "adopted", lambda *_: None)
    mesh = Mesh()
    job = job_of(mesh)
    ref = mesh["C"].claim(job, 1)
    mesh.sync()
    mesh.part("B", "AC")
    mesh["C"].finish(ref, done("one"))
    mesh.cut("C", "A")
    mesh["C"].crash()
    mesh.heal()
    mesh.advance(16.0)
    mesh["C"].start()
    mesh.cut("A", "C")
    mesh.cut("C", "A")
    mesh["B"].claim(job, 2)
    mesh.sync()
    mesh.heal()
    mesh.sync()
    if ("B", 2) in mesh.starts:
        mesh["B"].finish(next(iter(mesh["B"].host)), done("two"))
        mesh.sync()
    assert (("B", 2) not in mesh.starts) == rule.holds
    assert mesh["A"].job(job).final is not None


def test_t7_an_accepted_result_does_not_bar_the_way_when_its_voter_dies() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    ref = mesh["A"].claim(job, 1)
    mesh.sync()
    mesh.part("A", "BC")
    mesh["A"].finish(ref, done("one"))
    assert mesh["A"].said(ResultAccepted)
    mesh["A"].crash(machine=True)
    mesh.advance(16.0)
    second = mesh["B"].claim(job, 2)
    mesh.advance(1.0)
    mesh["B"].finish(second, done("two"))
    mesh.advance(1.0)
    assert mesh.over(job.run, "B")
    assert mesh.over(job.run, "C")


def test_without_an_accepted_result_a_holder_proposes_the_one_it_has_seen(rule: Rule) -> None:
    rule.is_(claims, "adopted", lambda *_: None)
    mesh = Mesh()
    job = job_of(mesh)
    first = mesh["C"].claim(job, 1)
    mesh.sync()
    mesh["C"].crash(machine=True)
    mesh.advance(16.0)
    mesh.part("A", "BC")
    mesh["B"].claim(job, 2)
    comes_back_with_a_result(mesh, "C", first)
    mesh["C"].crash()
    mesh.heal()
    mesh.sync()
    carried = mesh["B"].job(job).grants[2, mesh["B"].id]
    assert list(carried.values()) == [None, None]
    assert (("B", 2) not in mesh.starts) == rule.holds


def test_rule_10_of_two_live_holders_the_higher_attempt_stops_itself(rule: Rule) -> None:
    rule.is_(claims, "stands_back", lambda *_: False)
    mesh = Mesh("AB")
    job = job_of(mesh, Guard.LEASE)
    mesh.part("A", "B")
    mesh["A"].claim(job, 1)
    mesh["B"].claim(job, 2)
    assert mesh.starts == [("A", 1), ("B", 2)]
    mesh.heal()
    mesh.advance(2.0)
    assert (not mesh["B"].host) == rule.holds
    assert mesh["A"].host
    assert mesh["A"].did(Stop) == []


def test_rule_10_a_second_final_is_shown_and_the_lower_one_stands() -> None:
    mesh = Mesh("AB")
    job = job_of(mesh, Guard.LEASE)
    mesh.part("A", "B")
    one, two = mesh["A"].claim(job, 1), mesh["B"].claim(job, 2)
    mesh["B"].finish(two, done("two"))
    mesh["A"].finish(one, done("one"))
    mesh.heal()
    mesh.sync()
    for name in "AB":
        state = mesh[name].job(job)
        assert state.final is not None
        assert state.final.attempt == 1
        assert [other.attempt for other in state.duplicates] == [2]


def test_rule_10_a_result_made_beside_a_final_one_is_not_silent() -> None:
    mesh = Mesh("AB")
    job = job_of(mesh, Guard.LEASE)
    mesh.part("A", "B")
    one, two = mesh["A"].claim(job, 1), mesh["B"].claim(job, 2)
    mesh["A"].finish(one, done("one"))
    mesh["B"].host.pop(two)  # it has just ended by itself
    mesh.heal()
    mesh.sync()
    mesh["B"].give(JobEnded(two, done("two")))
    mesh.sync()
    assert len(mesh.finals(job)) == 2


def test_a_holder_stops_when_a_final_result_stands() -> None:
    mesh = Mesh()
    job = job_of(mesh)
    mesh["C"].claim(job, 1)
    mesh.advance(1.0)
    mesh.part("C", "AB")
    mesh["C"].machine.held[job].floor = mesh.now + 100.0
    mesh["C"].host = dict.fromkeys(mesh["C"].host, mesh.now + 100.0)
    mesh.advance(16.0)
    second = mesh["A"].claim(job, 2)
    mesh.advance(1.0)
    mesh["A"].finish(second, done("two"))
    mesh.heal()
    mesh.advance(1.0)
    assert mesh["C"].host == {}
    assert len(mesh["C"].did(Start)) == 1
