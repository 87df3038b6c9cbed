"""Missed ticks, submitted by a person's word: each the run it would have been, one after the other."""

from __future__ import annotations

import pytest

from clockmesh.coordinator.errors import NotFound, Refused
from clockmesh.coordinator.inputs import BackfillWanted
from clockmesh.protocol.codec import tick_run
from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.schedules import CatchUp, TickSubmitted
from tests.unit.coordinator_mesh import Mesh
from tests.unit.test_coordinator_ticks import MINUTE, add, mesh_of, minutes, pass_minutes, submissions


def asleep(minutes_away: int) -> tuple[Mesh, ScheduleId]:
    """All peers are down for so many minutes, and what was due then is let go."""
    mesh = mesh_of()
    schedule = add(mesh, catch_up=CatchUp.SKIP)
    pass_minutes(mesh, 2)
    for peer in mesh.peers.values():
        peer.crash(machine=True)
    mesh.advance(minutes_away * 60)
    for peer in mesh.peers.values():
        peer.start()
    pass_minutes(mesh, 1)
    return mesh, schedule


def backfill(mesh: Mesh, schedule: ScheduleId, since: int, until: int) -> None:
    mesh["B"].give(BackfillWanted(3, schedule, since * MINUTE, until * MINUTE))
    mesh.sync()


def test_what_was_missed_runs_once_each_and_nothing_else_does() -> None:
    mesh, schedule = asleep(5)
    came = minutes(mesh, schedule)
    missed = sorted(set(range(came[0], came[-1])) - set(came))
    assert len(missed) >= 4
    started = len(mesh.starts)
    backfill(mesh, schedule, 0, 1000)
    backfill(mesh, schedule, 0, 1000)
    assert minutes(mesh, schedule) == list(range(came[0], came[-1] + 1))
    pass_minutes(mesh, 1)
    ticks = mesh["A"].machine.state.schedules[schedule].ticks
    assert all(mesh.over(ticks[minute * MINUTE]) for minute in missed)
    assert ticks[missed[0] * MINUTE] == tick_run(schedule, missed[0] * MINUTE)
    assert len(mesh.starts) - started >= len(missed)
    assert submissions(mesh) == len(ticks)


def test_only_the_time_named_is_filled_and_never_the_future_nor_what_was_before_the_schedule() -> None:
    mesh, schedule = asleep(5)
    came = minutes(mesh, schedule)
    missed = sorted(set(range(came[0], came[-1])) - set(came))
    backfill(mesh, schedule, missed[1], missed[3])
    assert sorted(set(minutes(mesh, schedule)) - set(came)) == missed[1:3]
    backfill(mesh, schedule, 0, came[0])
    backfill(mesh, schedule, came[-1] + 1, 10_000)
    assert sorted(set(minutes(mesh, schedule)) - set(came)) == missed[1:3]


def test_more_than_a_hundred_are_refused_and_none_is_submitted() -> None:
    mesh, schedule = asleep(110)
    before = len(mesh["B"].said(TickSubmitted))
    with pytest.raises(Refused, match=r"more than 100 ticks of 's[0-9]+' were missed in that time"):
        backfill(mesh, schedule, 0, 10_000)
    assert len(mesh["B"].said(TickSubmitted)) == before
    with pytest.raises(NotFound):
        backfill(mesh, ScheduleId(bytes(32)), 0, 10_000)
