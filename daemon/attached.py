"""`AttachedCoordinator`: the methods of `P2PWorkflowCoordinator` on a daemon, over its socket.

The mesh assigns and runs workflows by itself. What each method means there, `MEANING` says; what only an embedded
coordinator can do is refused in words.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clockmesh.coordinator.queue import WorkflowPriorityQueue, check_priority
from clockmesh.daemon.attached_worker import Worker
from clockmesh.daemon.cli_submit import path_in_repository, read_workflow_file
from clockmesh.daemon.client import Client, quoted
from clockmesh.daemon.embedded_files import file_text, metadata_of
from clockmesh.daemon.embedded_import import write_state
from clockmesh.daemon.embedded_task import WorkflowStatus, WorkflowTask, check_status
from clockmesh.daemon.embedded_values import check_peer_id, json_object, json_text, text_or_none
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.runner.eligibility import TAGS


@dataclass(frozen=True, slots=True)
class MeshClock:
    """How high the mesh's clock is. Its nodes are the daemon's."""

    peer_id: str
    logical_clock: int
    head_hash: str | None


class AttachedCoordinator:
    """A daemon's mesh. Every call asks the daemon, so that it always tells the present."""

    P2P_TAG, OFFLINE_TAG = TAGS

    def __init__(self, client: Client, *, works: bool = True) -> None:
        """`works`: this program executes external jobs, should it ask for its workflows. Trouble when no daemon
        answers, or when it belongs to no mesh."""
        self.enable_auto_sync = True
        self._client = client
        self._worker = Worker(client) if works else None
        self._id: str = self._told()["peer"]

    # ---- what there is ----

    @property
    def peer_id(self) -> str:
        """The name of the daemon's peer."""
        return self._id

    @property
    def peer_list(self) -> list[str]:
        """The members' names, this peer first."""
        return sorted(self._told()["peers"], key=lambda name: (name != self._id, name))

    @property
    def merkle_clock(self) -> MeshClock:
        told = self._told()
        return MeshClock(self._id, told["height"], told["heads"][-1] if told["heads"] else None)

    @property
    def workflow_queue(self) -> WorkflowPriorityQueue:
        """The runs that nobody has claimed, as they are now."""
        queue = WorkflowPriorityQueue()
        for told in self.list_workflows(status=WorkflowStatus.PENDING):
            queue.add_workflow(told["workflow_id"], told["priority"],
                               {"name": told["name"], "workflow_file": told["workflow_file"]})
        return queue

    @property
    def data_dir(self) -> Path:
        """The daemon's home."""
        return Path(self._client.home)

    @property
    def workflows(self) -> dict[str, WorkflowTask]:
        """All runs by id, oldest first."""
        return {told["workflow_id"]: WorkflowTask.from_dict(told) for told in self._told()["workflows"]}

    def get_workflow_status(self, workflow_id: str) -> dict[str, Any] | None:
        """The run as a workflow's dict; None for an unknown id."""
        told = self._of(workflow_id)
        return None if told is None else told["workflow"]

    def list_workflows(self, status: WorkflowStatus | None = None, peer_id: str | None = None) -> list[dict[str, Any]]:
        """The runs of this status and owner, oldest first."""
        wanted = None if status is None else check_status(status).value
        return [
            told
            for told in self._told()["workflows"]
            if (wanted is None or told["status"] == wanted) and (peer_id is None or told["assigned_peer"] == peer_id)
        ]

    def get_my_workflows(self) -> list[WorkflowTask]:
        """The external jobs that this program is to execute; from the first call on the daemon counts it as at work,
        until the process ends. For one that does not work: the runs that this peer owns."""
        if self._worker is not None:
            return [*self._worker.take()]
        return [WorkflowTask.from_dict(told) for told in self.list_workflows(peer_id=self._id)]

    def get_stats(self) -> dict[str, Any]:
        told = self._told()
        statuses = [workflow["status"] for workflow in told["workflows"]]
        return {
            "peer_id": self._id,
            "total_workflows": len(statuses),
            "queue_size": statuses.count("pending"),
            "peer_count": len(told["peers"]),
            "merkle_clock_height": told["height"],
            "status_counts": {status.value: statuses.count(status.value) for status in WorkflowStatus
                              if status.value in statuses},
            "my_workflows": sum(workflow["assigned_peer"] == self._id for workflow in told["workflows"]),
        }

    def is_mine(self, workflow_id: str) -> bool:
        """Whether a task of `get_my_workflows` is still this program's, and its end not asked for; as of the last two
        seconds. To be asked in the midst of long work."""
        return self._worker is not None and self._worker.is_mine(workflow_id)

    def explain_workflow(self, workflow_id: str) -> list[str] | None:
        told = self._asked("GET", workflow_id, "/why")
        return None if told is None else told["why"]

    def get_workflow_logs(self, workflow_id: str, job: str | None = None) -> list[dict[str, Any]] | None:
        """The lines of its jobs' logs, from whichever peer has them, those left out that no peer gives; None for an
        unknown id."""
        run = self._run(workflow_id)
        if run is None:
            return None
        lines = self._client.lines(f"/v1/runs/{run}/logs" + (f"?job={quoted(job)}" if job else ""))
        return [line for line in lines if "missing" not in line]

    # ---- changes ----

    def submit_workflow(self, workflow_file: str | os.PathLike[str], name: str | None = None,
                        inputs: Mapping[str, Any] | None = None, priority: float | None = None,
                        force: bool = False) -> str:
        """Submit a run; the first 16 digits of its id. Inputs that are not text become JSON. FileNotFoundError, and
        ValueError for what the daemon refuses."""
        file = file_text(workflow_file)
        whole = os.path.expanduser(file)
        if not os.path.exists(whole):
            raise FileNotFoundError(f"Workflow file not found: {file}")
        body: dict[str, Any] = {
            "path": path_in_repository(whole),
            "name": text_or_none(name, "a name"),
            "inputs": {key: _text(value) for key, value in json_object(inputs or {}, "inputs").items()},
            "priority": 5.0 if priority is None else check_priority(priority),
            "force": force,
        }
        try:
            body["workflow_b64"] = base64.b64encode(read_workflow_file(whole)).decode("ascii")
            return self._submitted(body, whole)
        except Trouble as trouble:
            if trouble.exit is Exit.USAGE:
                raise ValueError(trouble.message.replace(body["path"], file, 1)) from None
            raise

    def _submitted(self, body: dict[str, Any], file: str) -> str:
        try:
            told = self._client.post("/v1/runs", body)
        except Trouble as trouble:
            if trouble.code != "needs_snapshot":
                raise
            from clockmesh.daemon.cli_snapshot import upload_snapshot

            body["path"], body["snapshot"] = upload_snapshot(self._client, file)
            told = self._client.post("/v1/runs", body)
        return str(told["run"])[:16]

    def assign_workflows(self) -> list[str]:
        """The runs that a peer has claimed or runs now: peers assign by themselves."""
        going = {WorkflowStatus.ASSIGNED.value, WorkflowStatus.IN_PROGRESS.value}
        return [told["workflow_id"] for told in self._told()["workflows"] if told["status"] in going]

    def update_workflow_status(self, workflow_id: str, status: WorkflowStatus, result: Mapping[str, Any] | None = None,
                               error: str | None = None) -> bool:
        """Of an external job that this program has taken: what came of it, proposed as its result under the claim rules
        and durable; ValueError when it is not this program's any more. Of any other run CANCELLED asks for its end;
        ValueError for another status, since the mesh says itself how far its runs are. False for an unknown id."""
        new = check_status(status)
        if self._worker is not None and self._worker.knows(workflow_id):
            outcome = None if result is None else json_object(result, "a result")
            return self._worker.update(workflow_id, new, outcome, text_or_none(error, "an error"))
        if new is not WorkflowStatus.CANCELLED:
            if self._run(workflow_id) is None:
                return False
            raise ValueError(f"workflow {workflow_id} is executed by the mesh, which says itself how far it is; only "
                             "its end can be asked for (cancelled)")
        return self._asked("POST", workflow_id, "/cancel") is not None

    def add_peer(self, peer_id: str) -> str | None:
        """The command by which one machine can join within an hour; None for a name that is a member already."""
        name = check_peer_id(peer_id)
        if name in self.peer_list:
            return None
        line = self._client.post("/v1/invitations", {})["line"]
        return f"clockmesh join {line} --name {name}"

    def remove_peer(self, peer_id: str) -> None:
        """ValueError for a member; an unknown one changes nothing."""
        if check_peer_id(peer_id) in self.peer_list:
            raise ValueError(f"{peer_id} is a member of the mesh; members are removed with `clockmesh peer remove`, "
                             "where this version has it")

    # ---- files ----

    def parse_workflow_file(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """As the embedded coordinator's."""
        return metadata_of(path)

    def is_p2p_workflow(self, metadata: Mapping[str, Any]) -> bool:
        return not {*TAGS}.isdisjoint(metadata.get("tags") or ())

    def export_state(self, path: str | os.PathLike[str]) -> Path:
        """Write members and runs in the layout of the reference's state file. Its clock is empty: the mesh's nodes are
        no notes of programs, and stay with the daemons."""
        empty: dict[str, object] = {"peer_id": self._id, "head_hash": None, "logical_clock": 0, "nodes": []}
        workflows = {told["workflow_id"]: told for told in self._told()["workflows"]}
        target = Path(path).expanduser()
        write_state(target, {"peer_id": self._id, "peer_list": self.peer_list, "merkle_clock": empty,
                             "workflows": workflows, "saved_at": time.time()})
        return target

    def close(self) -> None:
        """Nothing is open between two calls."""

    def __enter__(self) -> AttachedCoordinator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- inside ----

    def _told(self) -> dict[str, Any]:
        return self._client.get("/v1/workflows")

    def _of(self, workflow_id: str) -> dict[str, Any] | None:
        if not isinstance(workflow_id, str) or not workflow_id.isalnum():
            return None
        try:
            return self._client.get(f"/v1/workflows/{quoted(workflow_id)}")
        except Trouble as trouble:
            if trouble.exit in (Exit.NOT_FOUND, Exit.USAGE):
                return None
            raise

    def _run(self, workflow_id: str) -> str | None:
        told = self._of(workflow_id)
        return None if told is None else str(told["run"])

    def _asked(self, method: str, workflow_id: str, what: str) -> dict[str, Any] | None:
        run = self._run(workflow_id)
        if run is None:
            return None
        path = f"/v1/runs/{run}{what}"
        try:
            return self._client.get(path) if method == "GET" else self._client.post(path)
        except Trouble as trouble:
            if trouble.exit is Exit.CONFLICT:
                raise ValueError(trouble.message) from None
            raise


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value, "an input")
