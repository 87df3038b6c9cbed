"""The machine as the daemon meets it: effects, beacons, deadlines, restarts."""

from __future__ import annotations

import random
from itertools import pairwise

from clockmesh.coordinator import leases
from clockmesh.coordinator.effects import Answer, Append, Extend, Forget, RunChanged, Start, Stop, StopReason, Wake
from clockmesh.coordinator.inputs import BeaconHeard, HostJob, JobEnded, NodeAdded, Started, SubmitWanted, Ticked
from clockmesh.coordinator.machine import Machine, step
from clockmesh.coordinator.timers import Timers
from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.events import AttemptEnded, Ending, ResultProposed
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef, RunId
from tests.unit.coordinator_mesh import MESH, Mesh, done, peer_id, plan


def held(mesh: Mesh) -> tuple[str, AttemptRef]:
    """The one that runs, and what."""
    ((name, ref),) = [(peer.name, ref) for peer in mesh.peers.values() for ref in peer.host]
    return name, ref


def test_before_it_is_started_it_only_listens() -> None:
    mesh = Mesh("A", slots=1)
    mesh.submit("A")
    machine = Machine(mesh["A"].id, MESH)
    for node in mesh["A"].store[:2]:
        effects = step(machine, NodeAdded(node), 5.0)
        assert not [effect for effect in effects if isinstance(effect, Append | Start | Wake)]
    assert step(machine, Ticked(), 100.0) == []


def test_appends_come_first_and_at_most_one_wake_last() -> None:
    mesh = Mesh("A")
    kinds = [type(effect) for effect in mesh["A"].give(SubmitWanted(1, plan(), bytes(16), bytes(32)))]
    assert kinds == [Append, Append, Append, Answer, Start, RunChanged, Wake]


def test_the_same_inputs_give_the_same_effects() -> None:
    def life() -> list[str]:
        mesh = Mesh()
        for _ in range(5):
            mesh.submit("A")
            mesh.advance(1.0)
        return [repr(effect) for peer in mesh.peers.values() for effect in peer.effects]

    assert life() == life()


def test_the_deadline_grows_with_what_a_quorum_has_heard() -> None:
    mesh = Mesh()
    mesh.submit("A")
    mesh.sync()
    name, ref = held(mesh)
    first = mesh[name].machine.deadline(ref, mesh.now)
    assert first == mesh.now + leases.RUN_SHARE * 15.0
    mesh.advance(20.0)
    assert held(mesh) == (name, ref)
    assert first + 18.0 <= mesh[name].host[ref] <= first + 20.0
    extended = [effect.deadline for effect in mesh[name].did(Extend)]
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(extended))


def test_under_a_lease_ones_own_beacons_carry_the_deadline() -> None:
    mesh = Mesh("A")
    mesh.submit("A")
    mesh.advance(30.0)
    assert held(mesh)[0] == "A"


def test_what_is_not_held_has_no_deadline() -> None:
    mesh = Mesh("A")
    mesh.submit("A")
    _, ref = held(mesh)
    machine = mesh["A"].machine
    assert machine.deadline(ref._replace(attempt=2), mesh.now) is None
    assert machine.deadline(AttemptRef(RunId(bytes(32)), JobKey("x"), 1), mesh.now) is None
    mesh["A"].finish(ref, done())
    assert machine.deadline(ref, mesh.now) is None


def test_a_beacon_tells_free_slots_and_whom_it_heard() -> None:
    mesh = Mesh("AB", slots=3)
    beacon = mesh["A"].machine.make_beacon(mesh.now, b"v" * 32, 0.5)
    assert (beacon.peer, beacon.incarnation, beacon.number) == (mesh["A"].id, 1, 2)
    assert (beacon.free, beacon.load, beacon.vector) == (3, 0.5, b"v" * 32)
    assert beacon.heard == (Heard(mesh["B"].id, 1, 1),)


def test_an_old_beacon_and_one_of_a_stranger_change_nothing() -> None:
    mesh = Mesh("AB")
    peer = mesh["A"]
    mesh.advance(3.0)
    before = peer.machine.leases.sessions[mesh["B"].id]
    for number, author in ((1, mesh["B"].id), (before.number, mesh["B"].id), (9, peer_id("X")), (99, peer.id)):
        peer.give(BeaconHeard(Beacon(author, 1, number, bytes(32), 1, 0.0, (), ())))
    assert peer.machine.leases.sessions == {mesh["B"].id: before}


def test_a_session_lives_four_beacons_long() -> None:
    mesh = Mesh("AB")
    machine = mesh["A"].machine
    mesh["B"].crash()
    assert machine.live(mesh["B"].id, mesh.now + 4.0)
    assert not machine.live(mesh["B"].id, mesh.now + 4.1)
    assert machine.live(mesh["A"].id, mesh.now + 1000.0)


def test_the_end_of_a_job_is_appended_before_its_host_may_forget_it() -> None:
    mesh = Mesh("A")
    mesh.submit("A")
    _, ref = held(mesh)
    del mesh["A"].host[ref]
    effects = mesh["A"].give(JobEnded(ref, done()))
    assert effects.index(Forget(ref)) > effects.index(Append(ResultProposed(*ref, done())))


def test_the_end_of_an_attempt_that_is_over_is_only_forgotten() -> None:
    mesh = Mesh("A")
    mesh.submit("A")
    _, ref = held(mesh)
    mesh["A"].finish(ref, done())
    before = len(mesh["A"].events)
    for result in (None, done("other")):
        assert Forget(ref) in mesh["A"].give(JobEnded(ref, result))
    assert len(mesh["A"].events) == before


def test_a_job_that_the_clock_does_not_know_as_ours_is_stopped_at_the_host() -> None:
    mesh = Mesh("A")
    stray = AttemptRef(RunId(bytes(32)), JobKey("x"), 1)
    machine = Machine(mesh["A"].id, MESH)
    step(machine, NodeAdded(mesh["A"].store[0]), 0.0)
    assert Stop(stray, StopReason.OUTRANKED) in step(machine, Started(2, (HostJob(stray, 9.0),)), 0.0)
    assert Forget(stray) in step(machine, JobEnded(stray, None), 1.0)


def test_a_job_lost_with_its_machine_is_declared_lost_and_runs_again() -> None:
    mesh = Mesh("A")
    mesh.submit("A")
    mesh["A"].crash(machine=True)
    mesh["A"].start()
    assert [event.how for event in mesh["A"].said(AttemptEnded)] == [Ending.LOST]
    mesh.advance(3.0)
    assert held(mesh)[1].attempt == 2


def test_time_without_steps_is_a_pause_but_not_while_beacons_are_made() -> None:
    known = leases.Leases(peer_id("A"), 1.0)
    for now in (0.0, 1.0, 2.0):
        leases.passed(known, now)
    assert known.settled_at == leases.NEVER
    leases.next_number(known, 4.5)
    leases.passed(known, 7.0)
    assert known.settled_at == leases.NEVER
    leases.passed(known, 10.5)
    assert known.settled_at == 10.5


def test_finished_runs_cost_a_tick_nothing() -> None:
    mesh = Mesh("A", slots=4)
    peer = mesh["A"]
    for _ in range(300):
        mesh.submit("A")
        for ref in list(peer.host):
            peer.finish(ref, done())
        mesh.now += 0.01
    machine = peer.machine
    assert machine.timers.next() is None
    assert (machine.held, machine.offers.sights, machine.offers.entries, machine.contested) == ({}, {}, {}, {})
    assert (machine.leases.granted_at, machine.leases.seen_at) == ({}, {})
    assert step(machine, Ticked(), mesh.now + 1.0) == []


def test_timers_ring_once_at_the_last_time_set() -> None:
    timers, rng = Timers(), random.Random(1)
    refs = [JobRef(RunId(bytes([number]) * 32), JobKey("j")) for number in range(20)]
    model: dict[JobRef, float] = {}
    for _ in range(2000):
        ref = rng.choice(refs)
        if rng.random() < 0.2:
            timers.drop(ref)
            model.pop(ref, None)
        else:
            model[ref] = rng.uniform(0, 100)
            timers.set(ref, model[ref])
        assert timers.next() == min(model.values(), default=None)
    due = timers.due(50.0)
    assert sorted(due) == sorted(ref for ref, at in model.items() if at <= 50.0)
    assert timers.due(50.0) == []
