"""Concurrency groups of `run local`: whose turn it is, whoever else stands in line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clockmesh.daemon.local_groups import MOST_WAITING, Groups, Standing, Wanted, wanted_of
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.evaluation import Scope
from tests.unit.runner_workflows import job, read

WAITING, TURN, ENDING, CANCELLED = Standing.WAITING, Standing.TURN, Standing.ENDING, Standing.CANCELLED


def wanted(group: str = "g", *, cancel: bool = False, all_: bool = False) -> Wanted:
    return Wanted(group, cancel, all_)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path / "groups", "repository")


def test_one_has_the_turn_and_the_next_has_it_when_that_one_leaves(groups: Groups) -> None:
    first, second = groups.enter(wanted()), groups.enter(wanted("G"))
    assert (first.standing(), second.standing()) == (TURN, WAITING)
    first.leave()
    assert second.standing() is TURN


def test_other_groups_and_other_repositories_are_not_in_the_way(groups: Groups, tmp_path: Path) -> None:
    groups.enter(wanted())
    other = Groups(tmp_path / "groups", "other")
    assert [groups.enter(wanted("h")).standing(), other.enter(wanted()).standing()] == [TURN, TURN]


def test_a_newer_one_takes_the_place_of_the_one_that_waits(groups: Groups) -> None:
    line = [groups.enter(wanted()) for _ in range(3)]
    assert [each.standing() for each in line] == [TURN, CANCELLED, WAITING]
    line[0].leave()
    assert [each.standing() for each in line[1:]] == [CANCELLED, TURN]


def test_cancel_in_progress_asks_the_running_one_to_end_and_waits_for_its_end(groups: Groups) -> None:
    first, second = groups.enter(wanted()), groups.enter(wanted(cancel=True))
    assert (first.standing(), second.standing()) == (ENDING, WAITING)
    first.leave()
    assert second.standing() is TURN


def test_a_queue_of_all_keeps_its_order_and_its_bound(groups: Groups) -> None:
    line = [groups.enter(wanted(all_=True)) for _ in range(4)]
    assert [each.standing() for each in line] == [TURN, WAITING, WAITING, WAITING]
    line[0].leave()
    assert [each.standing() for each in reversed(line[1:])] == [WAITING, WAITING, TURN]
    more = [groups.enter(wanted(all_=True)) for _ in range(MOST_WAITING - 1)]
    assert [more[-2].standing(), more[-1].standing()] == [WAITING, CANCELLED]
    for each in [*line[1:], *more]:
        each.leave()


def test_one_that_leaves_the_line_is_waited_for_no_more(groups: Groups) -> None:
    line = [groups.enter(wanted(all_=True)) for _ in range(3)]
    line[1].leave()
    line[0].leave()
    assert line[2].standing() is TURN


def test_the_place_of_a_process_that_died_is_nobodys(groups: Groups, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        groups.enter(wanted())
        os._exit(0)
    os.waitpid(child, 0)
    assert groups.enter(wanted()).standing() is TURN
    assert len(list((tmp_path / "groups").glob("*-*"))) == 1


def test_what_concurrency_comes_to() -> None:
    text = "concurrency:\n  group: a-${{ github.ref }}\n  cancel-in-progress: ${{ github.ref != 'x' }}\n  queue: single"
    scope = Scope("w.yml", {"github": {"ref": "main"}})
    assert wanted_of(read(job(text)).jobs[0].concurrency, scope) == Wanted("a-main", True, False)
    queue = read(job("concurrency: {group: x, queue: max}")).jobs[0].concurrency
    assert wanted_of(queue, scope) == Wanted("x", False, True)
    assert wanted_of(None, scope) is None
    with pytest.raises(WorkflowError, match=r"w\.yml:6:18: .* comes to an empty name"):
        wanted_of(read(job("concurrency: ${{ github.none }}")).jobs[0].concurrency, scope)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{grup: x}", "did you mean `group`?"), ("{cancel-in-progress: true}", "has no `group`"),
        ("{group: x, queue: all}", "`queue` cannot be `all`; there are: max, single"),
        ("{group: x, queue: max, cancel-in-progress: true}", "contradict each other"),
        ("[a]", "must be a text, not a list"), ("''", "is empty"),
        ("${{ secrets.x }}", "there is no context `secrets`"),
    ],
)  # fmt: skip
def test_a_concurrency_that_makes_no_sense_is_refused(value: str, told: str) -> None:
    with pytest.raises(WorkflowError) as raised:
        read(job(f"concurrency: {value}"))
    assert told in str(raised.value)
