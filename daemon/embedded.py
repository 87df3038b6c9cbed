"""`P2PWorkflowCoordinator`: books about workflows and who shall run them, in the caller's own process, no daemon.

It shares the clock, the ownership rule, the heap and the store with the mesh, and nothing of its claims: its peers are
names that never vote, and nobody runs anything but the caller. Everything that a method answers is durable before it
answers, and other processes that use the same folder and peer id see it at once.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clockmesh.coordinator.ownership import create_task_hash, ranked_owners, select_task_owner
from clockmesh.coordinator.queue import WorkflowPriorityQueue, check_priority
from clockmesh.daemon.embedded_books import Books
from clockmesh.daemon.embedded_clock import MerkleClock
from clockmesh.daemon.embedded_files import file_text, metadata_of, read_workflow_tags, stem, untagged
from clockmesh.daemon.embedded_import import Imported, read_state, write_state
from clockmesh.daemon.embedded_state import State
from clockmesh.daemon.embedded_task import ENDED, WorkflowStatus, WorkflowTask, check_change, check_status
from clockmesh.daemon.embedded_text import told_distances, told_standing
from clockmesh.daemon.embedded_values import check_peer_id, json_object, text_or_none

if TYPE_CHECKING:
    from clockmesh.daemon.attached import AttachedCoordinator

DEFAULT_FOLDER = "~/.ipfs_kit/p2p_workflows"
"""Where programs of the reference have always kept their state."""
_IMPORTED = "imported"


class P2PWorkflowCoordinator:
    """One peer's. Any number of threads and processes may use one folder and peer id."""

    P2P_TAG = "p2p-workflow"
    OFFLINE_TAG = "offline-workflow"

    def __init__(self, peer_id: str, data_dir: str | os.PathLike[str] | None = None,
                 enable_auto_sync: bool = True) -> None:
        """`data_dir`: $P2P_DATA_DIR by default, else ~/.ipfs_kit/p2p_workflows; made if it is not there. A state file
        of the reference in it is imported, once. `enable_auto_sync` is kept for its callers: processes that share the
        folder are always in step, and machines need a mesh (`attach`). ValueError for what cannot be used."""
        self.peer_id = check_peer_id(peer_id)
        self.enable_auto_sync = enable_auto_sync
        chosen = data_dir if data_dir is not None else os.environ.get("P2P_DATA_DIR") or DEFAULT_FOLDER
        self.data_dir = Path(chosen).expanduser()
        self._state = State(self.data_dir, self.peer_id)
        try:
            self._books = Books(self.peer_id, self._state)
            self._import_reference()
        except BaseException:
            self._state.close()
            raise

    # ---- what there is ----

    @property
    def peer_list(self) -> list[str]:
        """A copy; this peer is the first."""
        with self._books.current():
            return list(self._books.peers)

    @property
    def merkle_clock(self) -> MerkleClock:
        """What happened. What is appended to it or merged into it is durable too."""
        with self._books.current():
            return self._books.clock

    @property
    def workflow_queue(self) -> WorkflowPriorityQueue:
        """The workflows that wait for an owner. For looking: what is done to it is not kept."""
        with self._books.current():
            return self._books.queue

    @property
    def workflows(self) -> dict[str, WorkflowTask]:
        """All workflows by id, in the order of submission. For looking."""
        with self._books.current():
            return self._books.workflows

    def get_workflow_status(self, workflow_id: str) -> dict[str, Any] | None:
        """The workflow's dict; None for an unknown id."""
        with self._books.current():
            task = self._books.workflows.get(workflow_id)
            return None if task is None else task.to_dict()

    def list_workflows(self, status: WorkflowStatus | None = None, peer_id: str | None = None) -> list[dict[str, Any]]:
        """The dicts of those workflows that have this status and this owner, in the order of submission."""
        wanted = None if status is None else check_status(status)
        with self._books.current():
            return [
                task.to_dict()
                for task in self._books.workflows.values()
                if (wanted is None or task.status is wanted) and (peer_id is None or task.assigned_peer == peer_id)
            ]

    def get_my_workflows(self) -> list[WorkflowTask]:
        """Copies of the workflows that this peer owns, whatever their status."""
        with self._books.current():
            mine = [task for task in self._books.workflows.values() if task.assigned_peer == self.peer_id]
            return deepcopy(mine)

    def get_stats(self) -> dict[str, Any]:
        with self._books.current():
            books = self._books
            return {
                "peer_id": self.peer_id,
                "total_workflows": len(books.workflows),
                "queue_size": books.counts[WorkflowStatus.PENDING],
                "peer_count": len(books.peers),
                "merkle_clock_height": books.clock.logical_clock,
                "status_counts": {status.value: books.counts[status] for status in WorkflowStatus
                                  if books.counts[status]},
                "my_workflows": sum(task.assigned_peer == self.peer_id for task in books.workflows.values()),
            }

    def explain_workflow(self, workflow_id: str) -> list[str] | None:
        """Why the workflow is where it is, in sentences; None for an unknown id."""
        with self._books.current():
            task = self._books.workflows.get(workflow_id)
            if task is None:
                return None
            ranked = ranked_owners(self._books.entries[workflow_id].origin, _task_hash(task), self._books.peers)
            return [*told_standing(task), told_distances(ranked)]

    def get_workflow_logs(self, workflow_id: str, job: str | None = None) -> list[dict[str, Any]] | None:
        """None for an unknown id; ValueError for a known one: an embedded coordinator runs nothing."""
        with self._books.current():
            if workflow_id not in self._books.workflows:
                return None
        raise ValueError(f"workflow {workflow_id} has no log: an embedded coordinator keeps books and runs nothing; "
                         "a mesh runs it and keeps its log")

    # ---- workflows ----

    def submit_workflow(self, workflow_file: str | os.PathLike[str], name: str | None = None,
                        inputs: Mapping[str, Any] | None = None, priority: float | None = None,
                        force: bool = False) -> str:
        """Take on a workflow; its id, 16 hexadecimal digits. FileNotFoundError; ValueError for a file that cannot be
        read, is no YAML or carries no tag (`force` takes that one), and for a name, inputs or a priority that are
        none. A refused one leaves no trace."""
        file = file_text(workflow_file)
        title = text_or_none(name, "a name")
        kept = json_object({} if inputs is None else inputs, "inputs")
        number = 5.0 if priority is None else check_priority(priority)
        tagged = read_workflow_tags(file)
        if not (tagged.is_tagged or force):
            raise untagged(file)
        with self._books.changing():
            workflow_id = self._new_id()
            task = WorkflowTask(workflow_id, title or tagged.name or stem(file), file, kept, number, set(tagged.tags))
            node = self._note("workflow_submitted", workflow_id=workflow_id, peer_id=self.peer_id)
            self._books.set_task(task, origin=node)
        return workflow_id

    def _new_id(self) -> str:
        while (found := secrets.token_hex(8)) in self._books.workflows:
            pass
        return found

    def assign_workflows(self) -> list[str]:
        """Give each pending workflow, most urgent first, to the peer that is nearest to it; the ids of these."""
        assigned = []
        with self._books.changing():
            while (task := self._books.next_pending()) is not None:
                owner, distance = select_task_owner(self._books.entries[task.workflow_id].origin, _task_hash(task),
                                                    self._books.peers)
                self._note("workflow_assigned", workflow_id=task.workflow_id, peer_id=owner, hamming_distance=distance)
                self._books.change_task(task.workflow_id, status=WorkflowStatus.ASSIGNED, assigned_peer=owner)
                assigned.append(task.workflow_id)
        return assigned

    def update_workflow_status(self, workflow_id: str, status: WorkflowStatus, result: Mapping[str, Any] | None = None,
                               error: str | None = None) -> bool:
        """Say how far a workflow is; False for an unknown id. `result` and `error` count for what ends it. ValueError
        for a step back, for any change of one that has ended, and for what is no status, object or text."""
        new = check_status(status)
        outcome = None if result is None else json_object(result, "a result")
        why = text_or_none(error, "an error")
        with self._books.changing():
            task = self._books.workflows.get(workflow_id)
            if task is None:
                return False
            check_change(workflow_id, task.status, new)
            self._note("workflow_status_changed", workflow_id=workflow_id, old_status=task.status.value,
                       new_status=new.value, peer_id=self.peer_id)
            self._books.change_task(workflow_id, **_changes(task, new, outcome, why))
        return True

    # ---- peers ----

    def add_peer(self, peer_id: str) -> None:
        """A peer more to choose from; one that is there already changes nothing."""
        name = check_peer_id(peer_id)
        with self._books.changing():
            if name not in self._books.peers:
                self._note("peer_added", peer_id=name)
                self._books.set_peers([*self._books.peers, name])

    def remove_peer(self, peer_id: str) -> None:
        """A peer less; what it had and had not ended waits for another owner. An unknown one changes nothing;
        ValueError for this peer itself."""
        name = check_peer_id(peer_id)
        if name == self.peer_id:
            raise ValueError(f"{name} is this peer itself, which cannot be removed")
        with self._books.changing():
            if name not in self._books.peers:
                return
            self._note("peer_removed", peer_id=name)
            self._books.set_peers([peer for peer in self._books.peers if peer != name])
            for task in [task for task in self._books.workflows.values() if task.assigned_peer == name]:
                if task.status not in ENDED:
                    self._books.change_task(task.workflow_id, status=WorkflowStatus.PENDING, assigned_peer=None,
                                            started_at=None)

    # ---- files ----

    def parse_workflow_file(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """name, tags (a set), jobs, triggers and raw; of a file that cannot be read name, tags and error."""
        return metadata_of(path)

    def is_p2p_workflow(self, metadata: Mapping[str, Any]) -> bool:
        """Whether either tag is among `metadata["tags"]`."""
        return not {self.P2P_TAG, self.OFFLINE_TAG}.isdisjoint(metadata.get("tags") or ())

    def export_state(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write everything in the layout of the reference's state file; where. By default that is the reference's own
        place, or `..._exported.json` beside it where a state was imported from there."""
        with self._books.current():
            state = {
                "peer_id": self.peer_id,
                "peer_list": list(self._books.peers),
                "merkle_clock": self._books.clock.to_dict(),
                "workflows": {key: task.to_dict() for key, task in self._books.workflows.items()},
                "saved_at": time.time(),
            }
            place = self._state.reference
            if self._state.store.get(_IMPORTED):
                place = place.with_name(f"{place.stem}_exported.json")
        target = place if path is None else Path(path).expanduser()
        write_state(target, state)
        return target

    def close(self) -> None:
        """Close the files; nothing is lost without it."""
        self._state.close()

    def __enter__(self) -> P2PWorkflowCoordinator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def attach(home: str | os.PathLike[str] | None = None) -> AttachedCoordinator:
        """The same methods on the mesh of a daemon: that of `home` ($CLOCKMESH_HOME, ~/.local/state/clockmesh).
        Trouble, which says what to do, where none runs or it belongs to no mesh."""
        from clockmesh.daemon.attached import AttachedCoordinator
        from clockmesh.daemon.cli_arguments import default_home
        from clockmesh.daemon.client import Client

        chosen = default_home(os.environ) if home is None else os.path.expanduser(home)
        return AttachedCoordinator(Client(chosen))

    # ---- inside ----

    def _note(self, event: str, **values: Any) -> str:
        """Append an event; the hash of its node."""
        found = self._books.clock.append({"event": event, **values, "timestamp": time.time()}).hash
        assert found is not None
        return found

    def _import_reference(self) -> None:
        if self._state.store.get(_IMPORTED) or not self._state.reference.exists():
            return
        with self._books.changing():
            if self._state.store.get(_IMPORTED):
                return
            found = read_state(self._state.reference, self.peer_id)
            if found.clock and any(node.public_key == self._books.clock.public_key for node in found.clock.nodes):
                return  # what this very state has exported
            self._take_over(found)

    def _take_over(self, found: Imported) -> None:
        books = self._books
        origins: dict[str, str] = {}
        if found.clock:
            books.clock.merge(found.clock)
            origins = {node.data["workflow_id"]: node.hash or "" for node in found.clock.nodes
                       if node.data.get("event") == "workflow_submitted"}
        for wall_ms, event in found.events:
            node = books.clock._note(event, wall_ms)
            if event.get("event") == "workflow_submitted":
                origins[str(event.get("workflow_id"))] = node.hash.hex()
        books.set_peers(list(dict.fromkeys([*books.peers, *found.peers])))
        for task in found.tasks:
            books.set_task(task, origins.get(task.workflow_id, books.clock.head_hash or ""))
        books.keep_fact(_IMPORTED, found.digest)


def _task_hash(task: WorkflowTask) -> str:
    return create_task_hash({"workflow_id": task.workflow_id, "name": task.name, "priority": task.priority})


def _changes(task: WorkflowTask, new: WorkflowStatus, result: dict[str, Any] | None,
             error: str | None) -> dict[str, Any]:
    """What a change of status changes of a task."""
    now = time.time()
    changes: dict[str, Any] = {"status": new}
    if new is WorkflowStatus.IN_PROGRESS and task.started_at is None:
        changes["started_at"] = now
    if new in ENDED:
        changes |= {"completed_at": now, "result": result, "error": error}
    return changes
