"""Builders of workflows for the tests of the runner's language."""

from __future__ import annotations

import pytest

from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.plan import Plan, Remote, Snapshot
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.model import Workflow
from clockmesh.runner.plan import make_plan, read_workflow

FILE = "w.yml"
BLOB = BlobHash(bytes(32))


def indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in text.splitlines())


def job(body: str = "", *, steps: str = "- run: echo hi", top: str = "") -> str:
    """A workflow of one job `a` with more keys in it; the job's keys begin in line 5, its steps after them."""
    first = top or "on: workflow_dispatch\nname: p2p-workflow"
    return f"{first}\njobs:\n  a:\n    runs-on: ubuntu-latest\n{indented(body, 4)}    steps:\n{indented(steps, 6)}"


def read(text: str) -> Workflow:
    return read_workflow(text.encode(), FILE)


def refused(text: str) -> str:
    """The one line with which a workflow is refused."""
    with pytest.raises(WorkflowError) as raised:
        read(text)
    return str(raised.value)


def planned(
    text: str,
    *,
    inputs: dict[str, str] | None = None,
    source: Snapshot | Remote | None = None,
    force: bool = True,
    event: str | None = None,
) -> Plan:
    return make_plan(
        read(text),
        path=".github/workflows/w.yml",
        workflow_blob=BLOB,
        source=source or Snapshot(),
        inputs=inputs or {},
        force=force,
        event=event,
    )
