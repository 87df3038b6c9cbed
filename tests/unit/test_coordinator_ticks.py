"""Ticks: one run of many submitters, nothing early, nothing doubled, and each overlap and catch-up as it says."""

from __future__ import annotations

from itertools import count

import pytest

from clockmesh.coordinator import runs
from clockmesh.coordinator.errors import Conflict, NotFound, Refused
from clockmesh.coordinator.explain import explain
from clockmesh.coordinator.inputs import (
    CancelWanted,
    Change,
    NodeAdded,
    ScheduleChangeWanted,
    ScheduleWanted,
    TriggerWanted,
)
from clockmesh.coordinator.machine import Machine, step
from clockmesh.coordinator.schedule_view import line_of_run, schedule_views
from clockmesh.coordinator.view import cancel_wanted
from clockmesh.daemon.cronlines import CronCalendar
from clockmesh.protocol.codec import tick_run
from clockmesh.protocol.events import JobClaimed
from clockmesh.protocol.ids import RunId, ScheduleId
from clockmesh.protocol.limits import MAX_ATTEMPT
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.result import Conclusion
from clockmesh.protocol.schedules import CatchUp, CronLine, Overlap, SchedulePaused, TickSkipped, TickSubmitted
from tests.unit.coordinator_mesh import MESH, Mesh, done, plan

MINUTE = 60_000
EVERY_MINUTE = (CronLine("* * * * *"),)
NONCES = count(1)


def mesh_of(names: str = "ABC") -> Mesh:
    """Its wall clocks show 01:40 after 100 s of nothing."""
    mesh = Mesh(names, calendar=CronCalendar())
    mesh.advance(5)
    return mesh


def add(mesh: Mesh, name: str = "A", **more: object) -> ScheduleId:
    peer = mesh[name]
    known = set(peer.machine.state.schedules)
    nonce = next(NONCES).to_bytes(16, "big")
    fields = {"lines": EVERY_MINUTE, "plan": plan(), "wall_ms": mesh.wall_ms(name), **more}
    peer.give(ScheduleWanted(1, nonce, f"s{nonce[-1]}", **fields))
    mesh.sync()
    (schedule,) = set(peer.machine.state.schedules) - known
    return schedule


def change(mesh: Mesh, name: str, schedule: ScheduleId, what: Change) -> None:
    mesh[name].give(ScheduleChangeWanted(2, schedule, what, mesh.wall_ms(name)))
    mesh.sync()


def minutes(mesh: Mesh, schedule: ScheduleId, name: str = "A") -> list[int]:
    """The due times of its ticks, in minutes."""
    return sorted(due // MINUTE for due in mesh[name].machine.state.schedules[schedule].ticks)


def finish_all(mesh: Mesh) -> None:
    for peer in mesh.peers.values():
        for ref in list(peer.host):
            peer.finish(ref, done())
    mesh.sync()


def end_cancelled(mesh: Mesh) -> None:
    for peer in mesh.peers.values():
        for ref in list(peer.host):
            if cancel_wanted(peer.machine, ref.job):
                peer.finish(ref, done(conclusion=Conclusion.CANCELLED))
    mesh.sync()


def pass_minutes(mesh: Mesh, number: int, *, finishing: bool = True) -> None:
    for _ in range(number * 12):
        mesh.advance(5)
        if finishing:
            finish_all(mesh)


def submissions(mesh: Mesh) -> int:
    return sum(len(peer.said(TickSubmitted)) for peer in mesh.peers.values())


def test_every_tick_is_one_run_started_once_and_submitted_by_one_node() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    pass_minutes(mesh, 5)
    assert minutes(mesh, schedule) == [2, 3, 4, 5, 6]
    assert len(mesh.starts) == submissions(mesh) == 5
    assert all(mesh.over(run, "B") for run in mesh["B"].machine.state.schedules[schedule].ticks.values())
    assert mesh["C"].machine.runs.keys() == mesh["A"].machine.runs.keys()


def test_many_submitters_make_one_run() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    for peer in mesh.peers.values():
        peer.write([TickSubmitted(schedule, 2 * MINUTE)])
    mesh.sync()
    assert list(mesh["B"].machine.runs) == [tick_run(schedule, 2 * MINUTE)]
    carriers = {peer.machine.runs[tick_run(schedule, 2 * MINUTE)].carrier for peer in mesh.peers.values()}
    assert len(carriers) == 1


def test_the_death_of_an_owner_delays_its_tick_by_a_rank_and_no_more() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    mesh.advance(14)  # 01:59
    mesh["B"].crash()
    mesh["C"].crash()
    mesh.advance(2.5)
    assert minutes(mesh, schedule) == [2]


def test_a_clock_that_is_ahead_fires_nothing_early() -> None:
    mesh = mesh_of()
    mesh.skews["B"] = 300.0
    schedule = add(mesh)
    mesh.advance(10)
    early = tick_run(schedule, 6 * MINUTE)
    assert early in mesh["A"].machine.runs
    assert mesh.starts == []
    assert "its time comes in" in " ".join(explain(mesh["A"].machine, early, mesh.now))
    pass_minutes(mesh, 6)
    assert [minute for minute in minutes(mesh, schedule) if minute <= 7] == [2, 3, 4, 5, 6, 7]
    assert len(mesh.starts) == 6
    assert mesh.overlaps == []


def test_a_clock_that_is_behind_stops_nobody() -> None:
    mesh = mesh_of()
    mesh.skews["B"] = -3600.0
    schedule = add(mesh)
    pass_minutes(mesh, 3)
    assert minutes(mesh, schedule) == [2, 3, 4]
    assert len(mesh.starts) == 3


def test_a_clock_that_was_ahead_and_is_right_again_goes_on_making_ticks() -> None:
    mesh = mesh_of("A")
    schedule = add(mesh, guard=Guard.LEASE)
    mesh.skews["A"] = 7200.0
    pass_minutes(mesh, 1)
    mesh.skews["A"] = 0.0
    pass_minutes(mesh, 3)
    assert {3, 4, 5} <= set(minutes(mesh, schedule))


def test_skip_lets_a_tick_pass_while_an_earlier_one_runs() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    pass_minutes(mesh, 3, finishing=False)
    assert minutes(mesh, schedule) == [2]
    assert set(mesh["A"].machine.state.schedules[schedule].skipped) == {3 * MINUTE, 4 * MINUTE}
    assert sum(len(peer.said(TickSkipped)) for peer in mesh.peers.values()) == 2
    finish_all(mesh)
    pass_minutes(mesh, 1)
    assert minutes(mesh, schedule) == [2, 5]


def test_allow_runs_them_side_by_side() -> None:
    mesh = mesh_of()
    schedule = add(mesh, overlap=Overlap.ALLOW)
    pass_minutes(mesh, 3, finishing=False)
    assert minutes(mesh, schedule) == [2, 3, 4]
    assert len(mesh.starts) == 3


def test_buffer_keeps_one_waiting_and_skips_what_comes_meanwhile() -> None:
    mesh = mesh_of()
    schedule = add(mesh, overlap=Overlap.BUFFER)
    pass_minutes(mesh, 4, finishing=False)
    assert minutes(mesh, schedule) == [2, 3]
    assert len(mesh.starts) == 1
    waiting = " ".join(explain(mesh["A"].machine, tick_run(schedule, 3 * MINUTE), mesh.now))
    assert "waiting for another tick of its schedule" in waiting
    finish_all(mesh)
    mesh.advance(5)
    assert len(mesh.starts) == 2


def test_a_tick_that_turns_up_late_waits_for_the_one_that_has_begun() -> None:
    mesh = mesh_of()
    schedule = add(mesh, catch_up=CatchUp.SKIP)
    mesh["A"].write([TickSubmitted(schedule, 3 * MINUTE)])
    mesh.now += 85.0
    mesh.advance(10)
    assert len(mesh.starts) == 1
    mesh["B"].write([TickSubmitted(schedule, 2 * MINUTE)])
    mesh.advance(10)
    assert len(mesh.starts) == 1
    finish_all(mesh)
    mesh.advance(10)
    assert len(mesh.starts) == 2


def test_cancel_ends_the_earlier_one_before_the_next_starts() -> None:
    mesh = mesh_of()
    schedule = add(mesh, overlap=Overlap.CANCEL)
    for _ in range(36):
        mesh.advance(5)
        end_cancelled(mesh)
    assert minutes(mesh, schedule) == [2, 3, 4]
    first = mesh["A"].machine.runs[tick_run(schedule, 2 * MINUTE)]
    assert first.cancel_asked
    assert runs.over(first)
    assert mesh.overlaps == []


@pytest.mark.parametrize(
    ("catch_up", "expected"), [(CatchUp.SKIP, [12]), (CatchUp.LAST, [8, 12]), (CatchUp.ALL, [4, 8, 12])]
)
def test_after_an_outage_each_catch_up_makes_up_for_its_own(catch_up: CatchUp, expected: list[int]) -> None:
    mesh = mesh_of()
    schedule = add(mesh, catch_up=catch_up, lines=(CronLine("*/4 * * * *"),))
    for peer in mesh.peers.values():
        peer.crash(machine=True)
    mesh.now = 10.5 * 60.0
    for peer in mesh.peers.values():
        peer.start()
    mesh.beat()
    pass_minutes(mesh, 2)
    assert minutes(mesh, schedule) == expected
    assert len(mesh.starts) == submissions(mesh) == len(expected)


def test_no_tick_is_made_in_a_pause_nor_made_up_for_after_it() -> None:
    mesh = mesh_of()
    schedule = add(mesh, catch_up=CatchUp.ALL)
    pass_minutes(mesh, 1)
    change(mesh, "B", schedule, Change.PAUSE)
    assert [view.next_ms for view in schedule_views(mesh["C"].machine, mesh.wall_ms("C"), mesh.now)] == [None]
    pass_minutes(mesh, 3)
    change(mesh, "C", schedule, Change.RESUME)
    pass_minutes(mesh, 2)
    assert minutes(mesh, schedule) == [2, 6, 7]


def test_a_removed_schedule_is_never_due_again_and_its_name_is_free() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    name = mesh["A"].machine.state.schedules[schedule].told.name
    wanted = ScheduleWanted(1, b"n" * 16, name.upper(), EVERY_MINUTE, plan(), mesh.wall_ms("A"))
    with pytest.raises(Conflict, match="another --name"):
        mesh["A"].give(wanted)
    change(mesh, "B", schedule, Change.REMOVE)
    pass_minutes(mesh, 2)
    assert minutes(mesh, schedule) == []
    with pytest.raises(NotFound, match="schedule list"):
        change(mesh, "A", schedule, Change.PAUSE)
    mesh["A"].give(wanted)
    assert len(schedule_views(mesh["A"].machine, mesh.wall_ms("A"), mesh.now)) == 1


def test_a_pause_beyond_the_counts_that_a_node_can_hold_is_refused() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    mesh["B"].write([SchedulePaused(schedule, MAX_ATTEMPT)])
    mesh.sync()
    with pytest.raises(Refused, match="remove it and add it again"):
        change(mesh, "A", schedule, Change.RESUME)
    change(mesh, "A", schedule, Change.REMOVE)


def test_a_triggered_run_is_none_of_the_ticks() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    mesh["B"].give(TriggerWanted(5, schedule, b"t" * 16, bytes(32)))
    mesh.advance(2)
    assert len(mesh.starts) == 1
    assert minutes(mesh, schedule) == []


def test_a_cancelled_tick_ends_before_its_time() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    mesh["A"].write([TickSubmitted(schedule, 60 * MINUTE)])
    mesh.sync()
    run = tick_run(schedule, 60 * MINUTE)
    mesh["B"].give(CancelWanted(3, run))
    mesh.advance(10)
    end_cancelled(mesh)
    assert mesh.over(run)


def test_the_list_tells_next_and_last_and_each_tick_its_line() -> None:
    mesh = mesh_of()
    lines = (CronLine("0 6 * * *", "Europe/Berlin"), CronLine("*/2 * * * *"))
    schedule = add(mesh, lines=lines)
    (view,) = schedule_views(mesh["B"].machine, mesh.wall_ms("B"), mesh.now)
    assert (view.next_ms, view.last_ms, view.last_run) == (2 * MINUTE, None, None)
    pass_minutes(mesh, 1)
    (view,) = schedule_views(mesh["B"].machine, mesh.wall_ms("B"), mesh.now)
    assert (view.next_ms, view.last_ms) == (4 * MINUTE, 2 * MINUTE)
    assert view.last_run == tick_run(schedule, 2 * MINUTE)
    assert line_of_run(mesh["B"].machine, view.last_run) == lines[1]
    assert line_of_run(mesh["B"].machine, RunId(bytes(32))) is None


def test_without_a_wall_clock_no_tick_is_submitted_and_none_is_granted() -> None:
    mesh = Mesh("A")
    schedule = add(mesh, guard=Guard.LEASE)
    mesh.advance(120)
    assert minutes(mesh, schedule) == []
    mesh["A"].write([TickSubmitted(schedule, 2 * MINUTE)])
    mesh.advance(60)
    assert mesh["A"].said(JobClaimed) == []


def test_the_state_is_the_same_in_another_order() -> None:
    mesh = mesh_of()
    schedule = add(mesh, overlap=Overlap.CANCEL)
    pass_minutes(mesh, 3)
    machine = Machine(mesh["A"].id, MESH)
    for node in sorted(mesh["A"].store, key=lambda node: (node.height, bytes(255 - byte for byte in node.hash))):
        step(machine, NodeAdded(node), 0.0)
    theirs = mesh["A"].machine.state.schedules[schedule]
    assert machine.state.schedules[schedule] == theirs
    assert {run: state.jobs for run, state in machine.runs.items()} == {
        run: state.jobs for run, state in mesh["A"].machine.runs.items()
    }
