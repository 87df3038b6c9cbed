"""`P2PWorkflowTools`: what each tool does and how it answers, on any coordinator. `mcp_server` serves them.

No method raises: whatever goes wrong is answered with `success` false and one line. The method of a tool has its name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from clockmesh.daemon.embedded_choice import Coordinator, chosen_coordinator
from clockmesh.daemon.embedded_files import read_workflow_tags, stem
from clockmesh.daemon.embedded_task import WorkflowStatus
from clockmesh.daemon.exits import Trouble
from clockmesh.daemon.mcp_tools import MCP_TOOLS, MORE_TOOLS, STATUSES, problem_of

__all__ = ["MCP_TOOLS", "MORE_TOOLS", "P2PWorkflowTools", "problem_of"]

Answer = dict[str, Any]
_Method = TypeVar("_Method", bound=Callable[..., Answer])
_LINES = 500


def _answers(failing: str = "", echo: tuple[str, ...] = ()) -> Callable[[_Method], _Method]:
    """The method's answer with `success`; what it raises as an error, beside the arguments named in `echo`, or with
    the message `failing`."""

    def decorate(method: _Method) -> _Method:
        @wraps(method)
        def answering(self: P2PWorkflowTools, *values: Any, **named: Any) -> Answer:
            try:
                return {"success": True, **method(self, *values, **named)}
            except _Failed as failed:
                return {"success": False, **failed.answer}
            except Exception as error:  # the border to a program that must never see one of our exceptions
                message = error.message if isinstance(error, Trouble) else str(error) or type(error).__name__
                given = dict(zip(method.__code__.co_varnames[1:], values, strict=False)) | named
                more = {"message": failing} if failing else {name: given.get(name) for name in echo}
                return {"success": False, "error": message, **more}

        return answering  # type: ignore[return-value]

    return decorate


class _Failed(Exception):
    """An answer with `success` false."""

    def __init__(self, **answer: Any) -> None:
        super().__init__(answer["error"])
        self.answer = answer


class P2PWorkflowTools:
    """The tools on one coordinator; without one, on the daemon that runs here, else on the embedded coordinator that
    `clockmesh p2p` uses too (chosen at the first call)."""

    def __init__(self, coordinator: Coordinator | None = None, *, home: str | None = None) -> None:
        self._coordinator = coordinator
        self._home = home

    @property
    def coordinator(self) -> Coordinator:
        if self._coordinator is None:
            self._coordinator = chosen_coordinator(self._home)
        return self._coordinator

    @_answers("Failed to submit the workflow")
    def submit_p2p_workflow(self, workflow_file: str, name: str | None = None, inputs: dict[str, Any] | None = None,
                            priority: float | None = None) -> Answer:
        workflow_id = self.coordinator.submit_workflow(workflow_file, name=name, inputs=inputs, priority=priority)
        return {"workflow_id": workflow_id, "message": f"Workflow submitted: {workflow_id}", "status": "pending"}

    @_answers("Failed to assign workflows")
    def assign_p2p_workflows(self) -> Answer:
        ids = self.coordinator.assign_workflows()
        return {"assigned_count": len(ids), "workflow_ids": ids, "message": f"Assigned {len(ids)} workflows"}

    @_answers(echo=("workflow_id",))
    def get_p2p_workflow_status(self, workflow_id: str) -> Answer:
        told = self.coordinator.get_workflow_status(workflow_id)
        if told is None:
            raise _unknown(workflow_id)
        return told

    @_answers("Failed to list workflows")
    def list_p2p_workflows(self, status: str | None = None, peer_id: str | None = None) -> Answer:
        wanted = None if status is None else _status(status)
        workflows = self.coordinator.list_workflows(status=wanted, peer_id=peer_id)
        return {"count": len(workflows), "workflows": workflows, "filters": {"status": status, "peer_id": peer_id}}

    @_answers(echo=("workflow_id",))
    def update_p2p_workflow_status(self, workflow_id: str, status: str, result: dict[str, Any] | None = None,
                                   error: str | None = None) -> Answer:
        new = _status(status)
        if not self.coordinator.update_workflow_status(workflow_id, new, result=result, error=error):
            raise _unknown(workflow_id)
        return {"workflow_id": workflow_id, "new_status": new.value, "message": f"Workflow status updated: {new.value}"}

    @_answers(echo=("peer_id",))
    def add_p2p_peer(self, peer_id: str) -> Answer:
        known = peer_id in self.coordinator.peer_list
        line = self.coordinator.add_peer(peer_id)
        said = f"Peer {peer_id} is there already" if known else f"Peer added: {peer_id}"
        return {"peer_id": peer_id, "message": said if line is None else f"To let {peer_id} join, type there: {line}"}

    @_answers(echo=("peer_id",))
    def remove_p2p_peer(self, peer_id: str) -> Answer:
        known = peer_id in self.coordinator.peer_list
        self.coordinator.remove_peer(peer_id)
        said = f"Peer removed: {peer_id}" if known else f"There was no peer {peer_id}; nothing changed"
        return {"peer_id": peer_id, "message": said}

    @_answers("Failed to get statistics")
    def get_p2p_stats(self) -> Answer:
        return self.coordinator.get_stats()

    @_answers(echo=("workflow_file",))
    def parse_workflow_tags(self, workflow_file: str) -> Answer:
        try:
            tagged = read_workflow_tags(workflow_file)
        except FileNotFoundError as error:
            raise _Failed(error=str(error), is_p2p=False) from None
        except ValueError as error:
            raise _Failed(error=str(error), workflow_file=workflow_file, is_p2p=False) from None
        metadata = {"name": tagged.name or stem(workflow_file), "tags": sorted(tagged.tags), "jobs": list(tagged.jobs)}
        return {"workflow_file": str(workflow_file), "is_p2p": tagged.is_tagged, "metadata": metadata}

    @_answers("Failed to get this peer's workflows")
    def get_my_p2p_workflows(self) -> Answer:
        mine = [task.to_dict() for task in self.coordinator.get_my_workflows()]
        return {"count": len(mine), "peer_id": self.coordinator.peer_id, "workflows": mine}

    # ---- more than the reference has ----

    @_answers(echo=("workflow_id",))
    def get_p2p_run_logs(self, workflow_id: str, job: str | None = None, limit: int = _LINES) -> Answer:
        lines = self.coordinator.get_workflow_logs(workflow_id, job)
        if lines is None:
            raise _unknown(workflow_id)
        return {"workflow_id": workflow_id, "count": len(lines), "lines": lines[-max(limit or _LINES, 1) :]}

    @_answers(echo=("workflow_id",))
    def explain_p2p_workflow(self, workflow_id: str) -> Answer:
        why = self.coordinator.explain_workflow(workflow_id)
        if why is None:
            raise _unknown(workflow_id)
        return {"workflow_id": workflow_id, "why": why}

    @_answers(echo=("workflow_id",))
    def cancel_p2p_workflow(self, workflow_id: str) -> Answer:
        if not self.coordinator.update_workflow_status(workflow_id, WorkflowStatus.CANCELLED):
            raise _unknown(workflow_id)
        return {"workflow_id": workflow_id, "message": f"Workflow {workflow_id} is asked to end"}


def _status(word: object) -> WorkflowStatus:
    if word not in STATUSES:
        raise _Failed(error=f"Invalid status: {word}", valid_statuses=list(STATUSES))
    return WorkflowStatus(word)


def _unknown(workflow_id: str) -> _Failed:
    return _Failed(error="Workflow not found", workflow_id=workflow_id)
