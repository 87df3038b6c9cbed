"""Why a workflow in the embedded books is where it is, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from clockmesh.daemon.embedded_task import WorkflowStatus, WorkflowTask


def told_standing(task: WorkflowTask) -> list[str]:
    owner = task.assigned_peer or "nobody"
    if task.status is WorkflowStatus.PENDING:
        return [f"workflow {task.workflow_id} waits for an owner: assign_workflows (`clockmesh p2p workflow assign`) "
                f"gives it one, by priority ({task.priority:g})"]
    if task.status is WorkflowStatus.ASSIGNED:
        return [f"workflow {task.workflow_id} is assigned to {owner}, who has not said that it begins"]
    if task.status is WorkflowStatus.IN_PROGRESS:
        return [f"workflow {task.workflow_id} is in progress at {owner}, who has not said how it ended"]
    return [f"workflow {task.workflow_id} has ended: {task.status.value}" + (f" ({task.error})" if task.error else "")]


def told_distances(ranked: Sequence[tuple[str, int]]) -> str:
    return "the nearest peer owns it (distances: " + ", ".join(f"{peer} {bits}" for peer, bits in ranked) + ")"
