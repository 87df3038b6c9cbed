"""A schedule that fails again and again pauses itself, on every peer alike, until somebody resumes it."""

from __future__ import annotations

import random

import pytest

from clockmesh.coordinator.failures import has_paused_itself
from clockmesh.coordinator.inputs import Change, NodeAdded
from clockmesh.coordinator.machine import Machine, step
from clockmesh.coordinator.schedule_view import schedule_views
from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.result import Conclusion
from tests.unit.coordinator_mesh import MESH, Mesh, done
from tests.unit.test_coordinator_ticks import add, change, mesh_of, minutes

FAIL, GOOD, ENDED = Conclusion.FAILURE, Conclusion.SUCCESS, Conclusion.CANCELLED


def tick(mesh: Mesh, *conclusions: Conclusion) -> None:
    """A minute passes for each, in which what is due ends so."""
    for conclusion in conclusions:
        for _ in range(12):
            mesh.advance(5)
            for peer in mesh.peers.values():
                for ref in list(peer.host):
                    peer.finish(ref, done(conclusion=conclusion))
            mesh.sync()


def paused(mesh: Mesh, schedule: ScheduleId, name: str = "B") -> bool:
    state = mesh[name].machine.state
    return has_paused_itself(state, state.schedules[schedule])


def test_it_pauses_after_so_many_failures_in_a_row_and_says_so() -> None:
    mesh = mesh_of()
    schedule = add(mesh, pause_after=3)
    tick(mesh, FAIL, FAIL, GOOD, FAIL, FAIL)
    assert not paused(mesh, schedule)
    tick(mesh, FAIL)
    came = minutes(mesh, schedule)
    tick(mesh, GOOD, GOOD)
    assert minutes(mesh, schedule) == came == [2, 3, 4, 5, 6, 7]
    (view,) = schedule_views(mesh["C"].machine, mesh.wall_ms("C"), mesh.now)
    assert (view.paused, view.pause_after, view.next_ms) == (True, 3, None)
    name = view.told.name
    resume = f"clockmesh schedule resume {name}"
    assert view.warning == f"{name} has paused itself: its last 3 ticks failed; to go on: {resume}"


def test_a_resumed_one_begins_to_count_anew() -> None:
    mesh = mesh_of()
    schedule = add(mesh, pause_after=2)
    tick(mesh, FAIL, FAIL, FAIL)
    assert minutes(mesh, schedule) == [2, 3]
    change(mesh, "C", schedule, Change.RESUME)
    tick(mesh, FAIL)
    assert not paused(mesh, schedule)
    tick(mesh, FAIL, FAIL)
    assert paused(mesh, schedule)
    assert minutes(mesh, schedule) == [2, 3, 5, 6]


@pytest.mark.parametrize(
    ("conclusions", "expected"),
    [((FAIL, ENDED, FAIL), True), ((ENDED, ENDED), False), ((FAIL, GOOD, FAIL), False), ((FAIL,), False)],
)
def test_only_failures_count_and_only_a_success_breaks_the_row(
    conclusions: tuple[Conclusion, ...], expected: bool
) -> None:
    mesh = mesh_of()
    schedule = add(mesh, pause_after=2)
    tick(mesh, *conclusions)
    assert paused(mesh, schedule) is expected


def test_without_a_number_it_fails_for_ever() -> None:
    mesh = mesh_of()
    schedule = add(mesh)
    tick(mesh, *[FAIL] * 5)
    assert len(minutes(mesh, schedule)) == 5


def test_peers_agree_on_it_in_whatever_order_they_heard_of_the_results() -> None:
    mesh = mesh_of()
    schedule = add(mesh, pause_after=2)
    tick(mesh, FAIL, GOOD, FAIL, FAIL)
    nodes = list(mesh["B"].store)
    for seed in range(5):
        machine = Machine(mesh["A"].id, MESH)
        for node in shuffled(nodes, seed):
            step(machine, NodeAdded(node), 0.0)
        assert has_paused_itself(machine.state, machine.state.schedules[schedule])


def shuffled(nodes: list[object], seed: int) -> list[object]:
    """Another order in which each node still comes after its parents."""
    rng = random.Random(seed)
    left, known, order = list(nodes), set(), []
    while left:
        node = rng.choice([node for node in left if set(node.parents) <= known])
        left.remove(node)
        known.add(node.hash)
        order.append(node)
    return order
