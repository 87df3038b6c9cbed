"""A workflow in the books of an embedded coordinator: what is known of it, and which way it can go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from clockmesh.coordinator.errors import WrongValue


class WorkflowStatus(Enum):
    PENDING = "pending"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED})
_RANK = {WorkflowStatus.PENDING: 0, WorkflowStatus.ASSIGNED: 1, WorkflowStatus.IN_PROGRESS: 2}


def check_status(value: object) -> WorkflowStatus:
    """WrongValue for anything but a member, a plain text among it."""
    if not isinstance(value, WorkflowStatus):
        raise WrongValue(f"a status is a WorkflowStatus, such as WorkflowStatus.COMPLETED, not {value!r:.60}")
    return value


def check_change(workflow_id: str, old: WorkflowStatus, new: WorkflowStatus) -> None:
    """ValueError for a step back, and for any change of what has ended."""
    if old in ENDED:
        raise ValueError(f"workflow {workflow_id} is {old.value}, and stays so; submit it again to run it again")
    if new not in ENDED and _RANK[new] < _RANK[old]:
        raise ValueError(f"workflow {workflow_id} is {old.value}; it cannot go back to {new.value}")


@dataclass
class WorkflowTask:
    """One workflow. Times are seconds since 1970."""

    workflow_id: str
    name: str
    workflow_file: str
    inputs: dict[str, Any] = field(default_factory=dict)
    priority: float = 5.0
    tags: set[str] = field(default_factory=set)
    status: WorkflowStatus = WorkflowStatus.PENDING
    assigned_peer: str | None = None
    created_at: float = field(default_factory=time.time)
    started_at: float | None = None
    completed_at: float | None = None
    result: dict[str, Any] | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Its thirteen values as JSON has them, sharing nothing with the task; tags are sorted."""
        told = {name: getattr(self, name) for name in _NAMES}
        inputs, result = deepcopy(self.inputs), deepcopy(self.result)
        return told | {"tags": sorted(self.tags), "status": self.status.value, "inputs": inputs, "result": result}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> WorkflowTask:
        """What `to_dict` wrote. KeyError without `workflow_id`, `name` or `workflow_file`; what else is missing gets
        its default; ValueError for a status that is none."""
        for name in ("workflow_id", "name", "workflow_file"):
            d[name]  # a KeyError names the key
        values = {name: deepcopy(d[name]) for name in _NAMES if name in d}
        if "tags" in values:
            values["tags"] = set(values["tags"] or ())
        if "status" in values:
            values["status"] = WorkflowStatus(values["status"])
        return cls(**values)


_NAMES = tuple(one.name for one in fields(WorkflowTask))
