"""A schedule's electorate follows the membership, and no tick ever has two."""

from __future__ import annotations

import random
from itertools import count

from clockmesh.coordinator import jobs
from clockmesh.coordinator.inputs import NodeAdded, ScheduleWanted
from clockmesh.coordinator.machine import Machine, step
from clockmesh.coordinator.schedules import (
    ScheduleState,
    Voters,
    add_schedule_fact,
    ballot_number,
    is_dead,
    new_schedule,
    promised,
)
from clockmesh.daemon.cronlines import CronCalendar
from clockmesh.protocol.codec import move_hash, schedule_id, tick_run
from clockmesh.protocol.events import ClaimGranted, Description, JobClaimed, PeerAdmitted
from clockmesh.protocol.ids import JobKey, ScheduleId
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import (
    CatchUp,
    CronLine,
    Overlap,
    ScheduleMoved,
    ScheduleSet,
    ScheduleVoted,
    TickSubmitted,
)
from tests.unit.coordinator_mesh import MESH, Mesh, done, peer_id, plan

MINUTE = 60_000
A, B, C, D, E = (peer_id(name) for name in "ABCDE")


def told(*electorate: bytes, guard: Guard = Guard.QUORUM) -> ScheduleSet:
    return ScheduleSet(
        bytes(16), "s", (CronLine("* * * * *"),), plan(), guard, True, 15_000, 5.0, tuple(sorted(electorate)),
        CatchUp.LAST, 3600, 100, Overlap.SKIP, 0, 0,
    )


def moved(known: ScheduleState, *electorate: bytes, number: int = 1, minute: int = 10) -> ScheduleMoved:
    last = known.chain[-1]
    return ScheduleMoved(
        known.schedule, last.set, number, Guard.QUORUM, tuple(sorted(electorate)), minute * MINUTE
    )


def vote(known: ScheduleState, voter: bytes, move: ScheduleMoved, accepts: bool = True) -> None:
    chosen = move_hash(move) if accepts else None
    add_schedule_fact(known, voter, ScheduleVoted(known.schedule, move.follows, move.number, chosen))


def test_a_move_stands_with_a_quorum_of_the_electorate_before() -> None:
    known = new_schedule(told(A, B, C))
    move = moved(known, A, B, C, D)
    add_schedule_fact(known, A, move)
    vote(known, A, move)
    vote(known, D, move)  # no elector yet
    assert len(known.chain) == 1
    vote(known, C, move)
    assert known.chain[-1] == Voters(move_hash(move), Guard.QUORUM, tuple(sorted((A, B, C, D))), 10 * MINUTE)
    assert known.governing(10 * MINUTE - 1) == known.chain[0]
    assert known.governing(10 * MINUTE) == known.chain[1]
    assert known.submission(11 * MINUTE).electorate == tuple(sorted((A, B, C, D)))


def test_who_accepted_grants_no_tick_from_then_on_to_the_electorate_before() -> None:
    known = new_schedule(told(A, B, C))
    move = moved(known, A, B, C, D)
    add_schedule_fact(known, A, move)
    vote(known, A, move)
    assert promised(known, A, 10 * MINUTE)
    assert not promised(known, A, 9 * MINUTE)
    assert not promised(known, B, 10 * MINUTE)
    vote(known, B, move)
    assert not promised(known, A, 10 * MINUTE), "the new electorate decides, and A is of it"


def test_a_ballot_that_nothing_can_win_makes_room_for_the_next_number() -> None:
    known = new_schedule(told(A, B, C))
    first, second = moved(known, A, B, C, D), moved(known, A, B, C, E)
    for move in (first, second):
        add_schedule_fact(known, A, move)
    vote(known, A, first)
    vote(known, B, second)
    assert ballot_number(known, known.chain[0]) == 1, "C may still decide it"
    assert promised(known, A, 10 * MINUTE)
    vote(known, C, first, accepts=False)
    assert is_dead(known, known.chain[0], 1)
    assert not promised(known, A, 10 * MINUTE)
    third = moved(known, A, B, C, D, E, number=ballot_number(known, known.chain[0]))
    assert third.number == 2
    add_schedule_fact(known, B, third)
    vote(known, A, third)
    vote(known, B, third)
    assert known.chain[-1].electorate == tuple(sorted((A, B, C, D, E)))


def test_at_most_one_move_ever_follows_a_set_whatever_voters_know() -> None:
    """Voters with different knowledge, each keeping the rule: it votes in a ballot once, and in a further one after
    what it knows shows the lower to be dead."""
    rng = random.Random(7)
    for _ in range(400):
        electors = [peer_id(str(number)) for number in range(rng.choice((3, 4, 5)))]
        first = told(*electors)
        views = {peer: new_schedule(first) for peer in electors}
        facts: list[tuple[bytes, object]] = []
        spread: dict[bytes, int] = dict.fromkeys(electors, 0)
        for _ in range(60):
            peer = rng.choice(electors)
            known = views[peer]
            if rng.random() < 0.5:
                for author, fact in facts:
                    if author == peer or rng.random() < 0.5:
                        add_schedule_fact(known, author, fact)
                continue
            last = known.chain[0]
            number = ballot_number(known, last)
            at_hand = [event for event in known.moves.values() if event.number == number]
            new = ScheduleMoved(known.schedule, last.set, number, Guard.QUORUM, (rng.choice(electors),), 10 * MINUTE)
            move = rng.choice(at_hand) if at_hand and rng.random() < 0.7 else new
            voted = [n for (_, n), votes in known.votes.items() if peer in votes]
            if number > max(voted, default=0):
                chosen = move_hash(move) if rng.random() < 0.8 else None
                for fact in (move, ScheduleVoted(known.schedule, last.set, number, chosen)):
                    add_schedule_fact(known, peer, fact)
                    facts.append((peer, fact))
            spread[peer] += 1
        judge = new_schedule(first)
        for author, fact in facts:
            add_schedule_fact(judge, author, fact)
        winners = [
            move
            for move, event in judge.moves.items()
            if sum(votes == move for votes in judge.votes.get((event.follows, event.number), {}).values())
            >= judge.chain[0].quorum
        ]
        assert len(winners) <= 1


# ---- in a mesh of machines ----

NONCES = count(1)


def mesh_of(names: str) -> Mesh:
    mesh = Mesh(names, calendar=CronCalendar())
    mesh.advance(5)
    return mesh


def add(mesh: Mesh, **more: object) -> ScheduleId:
    wanted = ScheduleWanted(
        1, next(NONCES).to_bytes(16, "big"), "s", (CronLine("* * * * *"),), plan(), mesh.wall_ms("A"), **more
    )
    mesh["A"].give(wanted)
    mesh.sync()
    (schedule,) = mesh["A"].machine.state.schedules
    return schedule


def admit(mesh: Mesh, name: str) -> None:
    """A new peer of an existing mesh: it has the nodes of A."""
    from tests.unit.coordinator_mesh import Peer

    mesh["A"].write([PeerAdmitted(peer_id(name), Description(name, 2))])
    peer = mesh.peers[name] = Peer(mesh, name)
    peer.store += mesh["A"].store
    peer.start()
    mesh.sync()
    mesh.beat()


def pass_time(mesh: Mesh, seconds: int) -> None:
    for _ in range(seconds // 5):
        mesh.advance(5)
        for peer in mesh.peers.values():
            for ref in list(peer.host):
                peer.finish(ref, done())


def state_of(mesh: Mesh, schedule: ScheduleId, name: str = "A") -> ScheduleState:
    return mesh[name].machine.state.schedules[schedule]


def test_the_electorate_follows_new_members_by_itself_and_every_tick_runs_once() -> None:
    mesh = mesh_of("ABC")
    schedule = add(mesh)
    admit(mesh, "D")
    pass_time(mesh, 300)
    chain = state_of(mesh, schedule).chain
    assert [len(voters.electorate) for voters in chain] == [3, 4]
    assert sum(len(peer.said(ScheduleMoved)) for peer in mesh.peers.values()) == 1
    assert all(state_of(mesh, schedule, name).chain == chain for name in "BCD")
    ticks = state_of(mesh, schedule).ticks
    assert len(ticks) == len(mesh.starts) >= 5
    assert len(mesh["D"].machine.runs[ticks[max(ticks)]].electorate.members) == 4


def test_a_guard_that_nobody_asked_for_becomes_a_quorum_with_the_third_member() -> None:
    mesh = mesh_of("A")
    schedule = add(mesh)
    assert state_of(mesh, schedule).told.guard is Guard.LEASE
    admit(mesh, "B")
    admit(mesh, "C")
    pass_time(mesh, 240)
    assert state_of(mesh, schedule, "C").chain[-1].guard is Guard.QUORUM
    assert len(state_of(mesh, schedule).chain[-1].electorate) == 3


def test_an_electorate_of_living_peers_neither_shrinks_nor_changes_when_some_fall_silent() -> None:
    names = "ABCDEFGHI"
    mesh = mesh_of(names)
    schedule = add(mesh)
    assert len(state_of(mesh, schedule).chain[0].electorate) == 7
    for name in "CDE":
        mesh[name].crash()
    pass_time(mesh, 120)
    assert len(state_of(mesh, schedule).chain) == 1
    assert state_of(mesh, schedule).moves == {}


def test_a_guard_that_was_asked_for_stays() -> None:
    mesh = mesh_of("A")
    schedule = add(mesh, guard=Guard.LEASE)
    admit(mesh, "B")
    admit(mesh, "C")
    pass_time(mesh, 240)
    assert {voters.guard for voters in state_of(mesh, schedule).chain} == {Guard.LEASE}


def test_who_granted_a_tick_from_t_on_does_not_accept() -> None:
    mesh = mesh_of("ABC")
    schedule = add(mesh)
    pass_time(mesh, 60)
    peer = mesh["A"]
    last = state_of(mesh, schedule).chain[-1]
    due = max(state_of(mesh, schedule).ticks)
    assert any(peer.machine.me in job.votes for job in peer.machine.runs[tick_run(schedule, due)].jobs.values())
    mesh["B"].write([ScheduleMoved(schedule, last.set, 1, Guard.QUORUM, (A, B) if A < B else (B, A), due)])
    mesh.sync()
    votes = state_of(mesh, schedule).votes[last.set, 1]
    assert votes[A] is None
    assert len(state_of(mesh, schedule).chain) == 1


def test_facts_of_a_tick_are_counted_by_the_electorate_that_stands_in_whatever_order_they_come() -> None:
    mesh = Mesh("ABCD")
    first = told(A, B, C)
    known = new_schedule(first)
    move = moved(known, A, B, D, minute=5)
    due = 6 * MINUTE
    run, job = tick_run(schedule_id(first), due), JobKey("job")
    grants = [(peer, ClaimGranted(run, job, 1, A)) for peer in (C, D)]
    early = [(A, first), (A, TickSubmitted(known.schedule, due)), (A, JobClaimed(run, job, 1, 1)), *grants]
    late = [(A, move)]
    late += [(peer, ScheduleVoted(known.schedule, move.follows, 1, move_hash(move))) for peer in (A, B)]
    names = {peer_id(name): name for name in "ABCD"}
    for order in ([*early, *late], [early[0], *late, *early[1:]]):
        mesh = Mesh("ABCD")
        for author, event in order:
            mesh[names[author]].write([event])
            mesh.sync()
        machine = Machine(A, MESH)
        for node in mesh["B"].store:
            step(machine, NodeAdded(node), 0.0)
        state = machine.runs[run].jobs[job]
        assert state.electorate.members == {A, B, D}
        assert D in state.grants[1, A]
        assert C not in state.grants[1, A]
        assert jobs.has_quorum(state, 1, A) == (len(state.grants[1, A]) >= 2)
