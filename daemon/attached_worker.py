"""A program's part in external jobs: it takes them, says that it lives while it does, and tells what came of them."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clockmesh.daemon.client import Client
from clockmesh.daemon.embedded_task import ENDED, WorkflowStatus, WorkflowTask
from clockmesh.daemon.exits import Exit, Trouble

BEAT_S = 2.0
"""Between two words to the daemon; after four of them in silence the program counts as gone."""
_BEAT_WITHIN_S = 5.0


@dataclass
class ExternalTask(WorkflowTask):
    """A job that this program is to execute. Where its run has several, its id is that of the run, a colon and the
    job's key; `inputs` then hold `needs` and `matrix` too, where there are any."""

    run: str = ""
    job: str = ""
    attempt: int = 0
    """Only grows: the fencing token for effects outside (CLOCKMESH_ATTEMPT of other jobs)."""


class Worker:
    """One program's tasks. Its thread beats as long as the process lives."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._name = secrets.token_hex(16)
        self._tasks: dict[str, ExternalTask] = {}
        self._mine: set[tuple[str, str, int]] = set()
        self._cancelled: set[tuple[str, str, int]] = set()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self) -> list[ExternalTask]:
        """What is there to execute: what was taken and has not ended, and what is new."""
        told = self._client.post("/v1/external", {"worker": self._name})
        with self._guard:
            self._tasks = {task.workflow_id: task for task in map(_task, told["jobs"])}
            self._mine = {_key(task) for task in self._tasks.values()}
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="clockmesh-external", daemon=True)
                self._thread.start()
        return list(self._tasks.values())

    def knows(self, workflow_id: str) -> bool:
        return workflow_id in self._tasks

    def is_mine(self, workflow_id: str) -> bool:
        """As of the last beat: it is still this program's, and nobody asked for its end."""
        task = self._tasks.get(workflow_id)
        return task is not None and _key(task) in self._mine - self._cancelled

    def update(self, workflow_id: str, status: WorkflowStatus, result: Mapping[str, Any] | None,
               error: str | None) -> bool:
        """Tell the daemon what came of a task; durable when it returns. ValueError when it is not this program's any
        more: then somebody else executes it."""
        task = self._tasks[workflow_id]
        if status not in ENDED:
            return True
        body = {"worker": self._name, "run": task.run, "job": task.job, "attempt": task.attempt,
                "status": status.value, "result": None if result is None else dict(result), "error": error}
        try:
            self._client.post("/v1/external/end", body)
        except Trouble as trouble:
            if trouble.exit in (Exit.CONFLICT, Exit.USAGE, Exit.NOT_FOUND):
                raise ValueError(trouble.message) from None
            raise
        with self._guard:
            self._tasks.pop(workflow_id, None)
        return True

    def _beat(self) -> None:
        stop = threading.Event()
        while not stop.wait(BEAT_S):
            try:
                told = self._client.post("/v1/external/beat", {"worker": self._name}, timeout=_BEAT_WITHIN_S)
            except Trouble:
                continue  # the daemon restarts, perhaps; an update will say so if it does not come back
            with self._guard:
                self._mine = {(job["run"], job["job"], job["attempt"]) for job in told["jobs"]}
                self._cancelled = {(job["run"], job["job"], job["attempt"]) for job in told["cancelled"]}


def _task(told: Mapping[str, Any]) -> ExternalTask:
    values = dict(told["workflow"])
    run: str = told["run"]
    several = told["jobs"] > 1
    more = {"needs": told["needs"]} if told["needs"] else {}
    if told["matrix"]:
        more["matrix"] = json.loads(told["matrix"])
    base = WorkflowTask.from_dict(values)
    return ExternalTask(
        workflow_id=f"{base.workflow_id}:{told['job']}" if several else base.workflow_id,
        name=base.name, workflow_file=base.workflow_file, inputs=base.inputs | more, priority=base.priority,
        tags=base.tags, status=WorkflowStatus.IN_PROGRESS, assigned_peer=base.assigned_peer,
        created_at=base.created_at, started_at=base.started_at, run=run, job=told["job"], attempt=told["attempt"],
    )


def _key(task: ExternalTask) -> tuple[str, str, int]:
    return task.run, task.job, task.attempt
