"""A schedule whose electorate has lost its quorum says so, and a person may begin it anew with the living."""

from __future__ import annotations

from itertools import count, pairwise

import pytest

from clockmesh.coordinator.errors import Conflict, NotFound
from clockmesh.coordinator.explain import explain
from clockmesh.coordinator.inputs import RescueWanted, ScheduleWanted
from clockmesh.coordinator.schedule_health import warning
from clockmesh.coordinator.schedule_view import schedule_views
from clockmesh.coordinator.schedules import ScheduleState
from clockmesh.daemon.cronlines import CronCalendar
from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import CronLine, Overlap
from tests.unit.coordinator_mesh import Mesh, done, peer_id, plan

NONCES = count(1)


def nonce() -> bytes:
    return next(NONCES).to_bytes(16, "big")


def scheduled(names: str = "ABC", guard: Guard | None = None) -> tuple[Mesh, ScheduleId]:
    mesh = Mesh(names, calendar=CronCalendar())
    mesh.advance(5)
    lines = (CronLine("* * * * *"),)
    mesh["A"].give(ScheduleWanted(1, nonce(), "nightly", lines, plan(), mesh.wall_ms("A"), guard, jitter_s=1,
                                  overlap=Overlap.ALLOW, pause_after=7))
    mesh.sync()
    (schedule,) = mesh["A"].machine.state.schedules
    return mesh, schedule


def pass_time(mesh: Mesh, seconds: int) -> None:
    for _ in range(seconds // 5):
        mesh.advance(5)
        for peer in mesh.peers.values():
            for ref in list(peer.host):
                if peer.up:
                    peer.finish(ref, done())


def crash(mesh: Mesh, names: str) -> None:
    for name in names:
        mesh[name].crash(machine=True)
    pass_time(mesh, 10)


def rescue(mesh: Mesh, schedule: ScheduleId, *, abandon: bool = True, name: str = "A") -> ScheduleState:
    mesh[name].give(RescueWanted(2, schedule, nonce(), mesh.wall_ms(name), abandon))
    mesh.sync()
    (new,) = [known for known in mesh[name].machine.state.schedules.values() if not known.removed]
    return new


def warned(mesh: Mesh, schedule: ScheduleId, name: str = "A") -> str | None:
    machine = mesh[name].machine
    return warning(machine, machine.state.schedules[schedule], mesh.now)


def test_one_loss_is_warned_of_and_two_stop_it_with_the_command_that_helps() -> None:
    mesh, schedule = scheduled()
    assert warned(mesh, schedule) is None
    crash(mesh, "C")
    assert warned(mesh, schedule) == (
        "nightly: A, B are all that is left of its electorate of 3; one more loss stops it; start clockmeshd on C")
    crash(mesh, "B")
    said = warned(mesh, schedule)
    assert said == (
        "nightly has stopped: only A is left of its electorate of 3 and 2 are needed; start clockmeshd on B, C, or if "
        "they are gone for good: clockmesh schedule rescue nightly --abandon")
    assert [view.warning for view in schedule_views(mesh["A"].machine, 0, mesh.now)] == [said]


def test_why_of_a_stuck_tick_names_the_rescue_of_its_schedule() -> None:
    mesh, schedule = scheduled()
    crash(mesh, "BC")
    pass_time(mesh, 120)
    machine = mesh["A"].machine
    run = max(machine.state.schedules[schedule].ticks.items())[1]
    (said,) = [line for line in explain(machine, run, mesh.now) if "too few of them live" in line]
    assert said.endswith(", and for the ticks to come: clockmesh schedule rescue nightly --abandon")


def test_of_five_the_first_loss_is_no_cause_to_warn() -> None:
    mesh, schedule = scheduled("ABCDE")
    crash(mesh, "E")
    assert warned(mesh, schedule) is None
    crash(mesh, "D")
    assert "one more loss stops it" in (warned(mesh, schedule) or "")


def test_a_schedule_under_a_lease_needs_nobody() -> None:
    mesh, schedule = scheduled(guard=Guard.LEASE)
    crash(mesh, "BC")
    assert warned(mesh, schedule) is None
    with pytest.raises(Conflict, match="needs no rescue"):
        rescue(mesh, schedule)


def test_a_rescue_needs_a_lost_quorum_and_a_persons_word() -> None:
    mesh, schedule = scheduled()
    crash(mesh, "C")
    with pytest.raises(Conflict, match="'nightly' needs no rescue: enough of its electorate live"):
        rescue(mesh, schedule)
    crash(mesh, "B")
    with pytest.raises(Conflict, match=r"B, C may still be running ticks of 'nightly'.*--abandon"):
        rescue(mesh, schedule, abandon=False)
    with pytest.raises(NotFound):
        rescue(mesh, ScheduleId(bytes(32)))
    assert not mesh["A"].machine.state.schedules[schedule].removed


def test_a_rescued_schedule_ticks_on_with_the_living_alone_under_another_id() -> None:
    mesh, schedule = scheduled()
    pass_time(mesh, 120)
    crash(mesh, "BC")
    pass_time(mesh, 120)
    old = mesh["A"].machine.state.schedules[schedule]
    new = rescue(mesh, schedule)
    begun = mesh.wall_ms("A")
    assert old.removed
    assert new.schedule != schedule
    assert new.chain[0].electorate == (peer_id("A"),)
    assert new.chain[0].guard is Guard.QUORUM
    same = ("name", "lines", "plan", "lease_ms", "priority", "catch_up", "overlap", "jitter_s", "guard_follows")
    assert all(getattr(new.told, field) == getattr(old.told, field) for field in same)
    assert new.pause_after == 7
    before = len(mesh.starts)
    pass_time(mesh, 180)
    assert min(new.ticks) > begun
    assert max(old.ticks) <= begun
    assert len(new.ticks) == len(mesh.starts) - before == 3
    assert len(new.chain) == 1, "the dead are not taken into the electorate: that would stop it again"


def test_who_comes_back_after_a_rescue_votes_again_and_runs_no_tick_of_the_old_one() -> None:
    mesh, schedule = scheduled()
    pass_time(mesh, 60)
    crash(mesh, "BC")
    new = rescue(mesh, schedule).schedule
    pass_time(mesh, 120)
    ticks = len(mesh["A"].machine.state.schedules[schedule].ticks)
    for name in "BC":
        mesh[name].start()
    pass_time(mesh, 300)
    known = mesh["C"].machine.state.schedules
    assert len(known[schedule].ticks) == ticks
    assert len(known[new].chain[-1].electorate) == 3
    due = sorted(known[new].ticks)
    assert [later - earlier for earlier, later in pairwise(due)] == [60_000] * (len(due) - 1)
    assert mesh.overlaps == []
    assert warned(mesh, new, "B") is None
