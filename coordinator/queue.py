"""The heap as programs of the reference know it: values in and out, None where it is empty; and a queue of workflows.

Both stand on `fibheap`, which the machine uses too. Smallest key first; equal keys in no promised order in the heap,
in the order in which they came in the queue.
"""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import count
from typing import Any

from clockmesh.coordinator import fibheap
from clockmesh.coordinator.errors import WrongValue

FibonacciNode = fibheap.Entry
"""What `FibonacciHeap.insert` gives: it has a `key` and a `value`."""


class FibonacciHeap:
    """Values by smallest key."""

    def __init__(self) -> None:
        self._heap: fibheap.FibonacciHeap[float, Any] = fibheap.FibonacciHeap()

    def insert(self, key: float, value: Any) -> FibonacciNode[float, Any]:
        """Put a value in. WrongValue (a ValueError) for a key that is no number, NaN among them."""
        return self._heap.insert(_number(key, "a key"), value)

    def find_min(self) -> Any:
        """The value with the smallest key, left in place; None when there is none."""
        return self._heap.find_min().value if len(self._heap) else None

    def extract_min(self) -> Any:
        """Take out the value with the smallest key; None when there is none."""
        return self._heap.extract_min().value if len(self._heap) else None

    def decrease_key(self, node: FibonacciNode[float, Any], new_key: float) -> None:
        """Lower a key. ValueError for a larger one, and for a node that is not (or no longer) in this heap."""
        if not isinstance(node, FibonacciNode):
            raise WrongValue("a node is what `insert` gave")
        self._heap.decrease_key(node, _number(new_key, "a key"))

    def merge(self, other: FibonacciHeap) -> None:
        """Take over all that `other` holds; its nodes stay good, here. ValueError for merging with itself."""
        if not isinstance(other, FibonacciHeap):
            raise WrongValue("only a FibonacciHeap can be merged into another")
        self._heap.merge(other._heap)

    def is_empty(self) -> bool:
        return not len(self._heap)

    def size(self) -> int:
        return len(self._heap)

    def to_list(self) -> list[Any]:
        """All values by ascending key, every None among them; the heap is empty afterwards."""
        return [self._heap.extract_min().value for _ in range(len(self._heap))]

    def __len__(self) -> int:
        return len(self._heap)


class WorkflowPriorityQueue:
    """Workflows, each once, the smallest priority value first and equal ones in the order in which they came."""

    def __init__(self) -> None:
        self._heap: fibheap.FibonacciHeap[tuple[float, int], dict[str, Any]] = fibheap.FibonacciHeap()
        self._entries: dict[str, fibheap.Entry[tuple[float, int], dict[str, Any]]] = {}
        self._arrivals = count()

    def add_workflow(self, workflow_id: str, priority: float, workflow_data: dict[str, Any]) -> None:
        """Queue a copy of the data. ValueError for an id that is queued already, or a priority that is no finite
        number: nothing has changed then."""
        if workflow_id in self._entries:
            raise ValueError(f"workflow {workflow_id!r} is in the queue already; update_priority makes it more urgent")
        data = deepcopy(dict(workflow_data)) | {"workflow_id": workflow_id}
        key = (check_priority(priority), next(self._arrivals))
        self._entries[workflow_id] = self._heap.insert(key, data)

    def get_next_workflow(self) -> dict[str, Any] | None:
        """Take out the most urgent: its data and its `workflow_id`; None when the queue is empty."""
        if not self._entries:
            return None
        data = self._heap.extract_min().value
        del self._entries[data["workflow_id"]]
        return data

    def peek_next(self) -> dict[str, Any] | None:
        """A copy of what `get_next_workflow` would take."""
        return deepcopy(self._heap.find_min().value) if self._entries else None

    def update_priority(self, workflow_id: str, new_priority: float) -> None:
        """Make a workflow more urgent. ValueError for an id that is not queued, and for a larger value."""
        if workflow_id not in self._entries:
            raise ValueError(f"workflow {workflow_id!r} is not in the queue")
        entry = self._entries[workflow_id]
        priority = check_priority(new_priority)
        if priority > entry.key[0]:
            raise ValueError(f"priority {priority:g} is above {entry.key[0]:g}: a priority can only be lowered")
        self._heap.decrease_key(entry, (priority, entry.key[1]))

    def discard(self, workflow_id: str) -> None:
        """Take a workflow out wherever it stands; nothing happens when it is not there."""
        if entry := self._entries.pop(workflow_id, None):
            self._heap.delete(entry)

    def is_empty(self) -> bool:
        return not self._entries

    def size(self) -> int:
        return len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, workflow_id: object) -> bool:
        return workflow_id in self._entries


def check_priority(value: object) -> float:
    """A priority as a float; WrongValue for NaN, infinities, text and booleans. 0 and negative numbers are fine."""
    number = _number(value, "a priority")
    if not math.isfinite(number):
        raise WrongValue(f"a priority must be a finite number, not {number}")
    return number


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongValue(f"{what} must be a number, not {value!r:.60}")
    try:
        number = float(value)
    except OverflowError:
        raise WrongValue(f"{what} above 1.8e308 is too large") from None
    if math.isnan(number):
        raise WrongValue(f"{what} must be a number, and NaN is none: it has no place in any order")
    return number
