"""The embedded coordinator in processes that are killed: what was answered is there, and the clock verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clockmesh import P2PWorkflowCoordinator, WorkflowStatus

WORKER = """
import sys
from clockmesh import P2PWorkflowCoordinator, WorkflowStatus
folder, file, journal, who, updates = sys.argv[1:]
mine = P2PWorkflowCoordinator("shared", folder)
with open(journal, "a") as answered:
    for number in range(int(updates) // 2):
        workflow_id = mine.submit_workflow(file, name=who)
        print("submitted", workflow_id, file=answered, flush=True)
        if not mine.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED, result={"n": number}):
            sys.exit("an own workflow is unknown")
        print("completed", workflow_id, number, file=answered, flush=True)
"""


class Worker:
    """One process at a time that makes so many changes, whatever becomes of its predecessors."""

    def __init__(self, folder: Path, name: str, updates: int) -> None:
        self.journal = folder / f"{name}.txt"
        self.journal.touch()
        self._arguments = [str(folder / "state"), str(folder / "w.yml"), str(self.journal), name]
        self._updates = updates
        self.process: subprocess.Popen[bytes] | None = None

    def answered(self) -> list[list[str]]:
        """What the journal says; a last line that was cut off counts for nothing."""
        return [line.split() for line in self.journal.read_text().split("\n")[:-1]]

    def start(self) -> None:
        left = self._updates - len(self.answered())
        command = [sys.executable, "-c", WORKER, *self._arguments, str(max(left + left % 2, 0))]
        self.process = subprocess.Popen(command)

    def kill(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        assert self.process
        assert self.process.wait(120) == 0


def torment(folder: Path, *, updates: int, kills: int, seed: int) -> None:
    """Two processes on one state, one of them killed every while; then look."""
    (folder / "w.yml").write_text("name: p2p-workflow\n")
    rng = random.Random(seed)
    workers = [Worker(folder, name, updates) for name in ("one", "two")]
    for worker in workers:
        worker.start()
    for _ in range(kills):
        victim = rng.choice(workers)
        goal = len(victim.answered()) + rng.randrange(1, max(2, 2 * updates // kills))
        until = time.monotonic() + 60
        while len(victim.answered()) < min(goal, updates - 4) and time.monotonic() < until:
            time.sleep(rng.random() * 0.01)
        victim.kill()
        victim.start()
    for worker in workers:
        worker.finish()
    _check(folder, workers, updates)


def _check(folder: Path, workers: list[Worker], updates: int) -> None:
    found = P2PWorkflowCoordinator("shared", folder / "state")
    for worker in workers:
        answered = worker.answered()
        assert len(answered) >= updates
        for what, workflow_id, *number in answered:
            told = found.get_workflow_status(workflow_id)
            assert told is not None, f"{workflow_id} was {what}, and is not there"
            if what == "completed":
                assert (told["status"], told["result"]) == ("completed", {"n": int(number[0])})
    assert found.merkle_clock.verify_chain()
    assert len(found.merkle_clock.nodes) == found.merkle_clock.logical_clock, "one author, one chain"
    done = found.list_workflows(status=WorkflowStatus.COMPLETED)
    assert found.get_stats()["queue_size"] == found.get_stats()["total_workflows"] - len(done)


def test_two_processes_that_are_killed_lose_nothing_they_answered(tmp_path):
    torment(tmp_path, updates=300, kills=6, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3])
def test_two_processes_with_a_thousand_updates_each_killed_twenty_times_lose_nothing(tmp_path, seed):
    torment(tmp_path, updates=1000, kills=20, seed=seed)
