"""External jobs on a mesh of three: programs of their owner execute them, under the mesh's claims."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clockmesh import P2PWorkflowCoordinator, WorkflowStatus
from clockmesh.daemon.demo.peers import Mesh, wait_until

pytestmark = pytest.mark.long
"""`tests/integration/test_external.py` has the same in one process."""

SCRAPE = """\
name: Scrape
labels: [p2p-workflow, external]
on:
  workflow_dispatch:
    inputs:
      url: {type: string}
jobs:
  scrape: {runs-on: ubuntu-latest}
"""

# The whole program of somebody who has moved from the reference: 15 lines.
WORKER = """\
import sys
import time
from clockmesh import P2PWorkflowCoordinator, WorkflowStatus

home, folder, seconds = sys.argv[1:]
coordinator = P2PWorkflowCoordinator.attach(home=home)
while True:
    for task in coordinator.get_my_workflows():
        with open(f"{folder}/begun.txt", "a") as begun:
            print(task.workflow_id, coordinator.peer_id, task.attempt, file=begun)
        time.sleep(float(seconds))
        result = {"url": task.inputs["url"], "items": 100}
        coordinator.update_workflow_status(task.workflow_id, WorkflowStatus.COMPLETED, result=result)
    time.sleep(0.1)
"""


Programs = dict[str, subprocess.Popen[bytes]]


@contextmanager
def working(mesh: Mesh, folder: Path, *names: str, seconds: float = 0.0) -> Iterator[Programs]:
    """A program at each of these peers."""
    (folder / "begun.txt").touch()
    programs = {name: subprocess.Popen([sys.executable, "-c", WORKER, str(mesh[name].home), str(folder), str(seconds)])
                for name in names}
    try:
        for name in names:
            wait_until(lambda name=name: offers(mesh, name), f"{name} offers the label", 30)  # type: ignore[misc]
        yield programs
    finally:
        for program in programs.values():
            program.kill()
            program.wait()


def offers(mesh: Mesh, name: str) -> bool:
    lists = [peer.json("peer", "list")["peers"] for peer in mesh.living]
    return all("external" in peer["labels"] for peers in lists for peer in peers if peer["name"] == name)


def submitted(mesh: Mesh, folder: Path, name: str, url: str) -> str:
    file = folder / "scrape.yml"
    file.write_text(SCRAPE)
    return P2PWorkflowCoordinator.attach(mesh[name].home).submit_workflow(file, inputs={"url": url})


def told(mesh: Mesh, name: str, workflow_id: str) -> dict[str, Any]:
    found = P2PWorkflowCoordinator.attach(mesh[name].home).get_workflow_status(workflow_id)
    return found or {"status": "unknown"}


def ended(mesh: Mesh, workflow_id: str) -> bool:
    return all(told(mesh, peer.name, workflow_id)["status"] == "completed" for peer in mesh.living)


def begun(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "begun.txt").read_text().splitlines()]


def test_a_program_of_15_lines_executes_20_runs_on_three_peers(mesh: Mesh, tmp_path: Path) -> None:
    assert len(WORKER.splitlines()) <= 16
    with working(mesh, tmp_path, "alpha", "beta", "gamma"):
        urls = {submitted(mesh, tmp_path, ("alpha", "beta", "gamma")[number % 3], f"site-{number}"): f"site-{number}"
                for number in range(20)}
        for workflow_id, url in urls.items():
            wait_until(lambda workflow_id=workflow_id: ended(mesh, workflow_id),  # type: ignore[misc]
                       f"{url} is done", 60)
            assert told(mesh, "beta", workflow_id)["result"] == {"scrape": {"url": url, "items": "100"}}
        starts = begun(tmp_path)
        assert Counter(workflow_id for workflow_id, _, _ in starts) == Counter(list(urls)), "each once"
        assert len({peer for _, peer, _ in starts}) > 1
    wait_until(lambda: not any(offers(mesh, peer.name) for peer in mesh), "nobody offers it any more", 30)


def test_without_a_program_an_external_run_waits_and_says_for_what(mesh: Mesh, tmp_path: Path) -> None:
    workflow_id = submitted(mesh, tmp_path, "alpha", "x")
    attached = P2PWorkflowCoordinator.attach(mesh["alpha"].home)
    assert "external" in " ".join(attached.explain_workflow(workflow_id) or [])
    with pytest.raises(ValueError, match="executed by the mesh"):
        attached.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    assert attached.update_workflow_status(workflow_id, WorkflowStatus.CANCELLED)
    wait_until(lambda: told(mesh, "gamma", workflow_id)["status"] == "cancelled", "it is cancelled", 30)


def test_a_killed_programs_run_is_done_by_another(mesh: Mesh, tmp_path: Path) -> None:
    with working(mesh, tmp_path, "alpha", "beta", seconds=3.0) as programs:
        workflow_id = submitted(mesh, tmp_path, "gamma", "site")
        wait_until(lambda: bool(begun(tmp_path)), "a program has begun", 30)
        (_, first, attempt), = begun(tmp_path)
        os.kill(programs[first].pid, signal.SIGKILL)
        wait_until(lambda: ended(mesh, workflow_id), "another has done it", 60)
        _, second = begun(tmp_path)
        assert second[1] == {"alpha": "beta", "beta": "alpha"}[first]
        assert int(second[2]) > int(attempt)
        assert told(mesh, "gamma", workflow_id)["assigned_peer"] == second[1]
