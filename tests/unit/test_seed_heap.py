"""FibonacciHeap and WorkflowPriorityQueue as programs of the reference use them, and what was wrong with theirs."""

from __future__ import annotations

import math
import random

import pytest

from clockmesh import FibonacciHeap, FibonacciNode, WorkflowPriorityQueue

NAN = float("nan")


def filled(*keys: float) -> tuple[FibonacciHeap, list]:
    heap = FibonacciHeap()
    return heap, [heap.insert(key, f"v{key:g}") for key in keys]


# ---- the heap, row by row ----


def test_insert_gives_a_node_with_key_and_value():
    node = FibonacciHeap().insert(key=5.0, value="task-5")
    assert isinstance(node, FibonacciNode)
    assert (node.key, node.value) == (5.0, "task-5")


def test_find_min_gives_the_value_and_leaves_it():
    heap, _ = filled(5, 2, 8)
    assert heap.find_min() == "v2"
    assert heap.size() == 3


def test_an_empty_heap_gives_none():
    heap = FibonacciHeap()
    assert heap.find_min() is None
    assert heap.extract_min() is None
    assert heap.is_empty() is True
    assert heap.size() == 0


def test_extract_min_goes_by_key():
    heap, _ = filled(5, 2, 8, 1, 9)
    assert [heap.extract_min() for _ in range(6)] == ["v1", "v2", "v5", "v8", "v9", None]
    assert heap.is_empty() is True


def test_decrease_key_takes_a_smaller_or_equal_key_only():
    heap, (five, two, _) = filled(5, 2, 8)
    assert heap.decrease_key(five, new_key=1.0) is None
    assert heap.find_min() == "v5"
    heap.decrease_key(two, 2)
    with pytest.raises(ValueError, match="above"):
        heap.decrease_key(two, 3)
    assert heap.to_list() == ["v5", "v2", "v8"]


def test_merge_takes_all_of_the_other():
    heap, _ = filled(5, 2)
    other, (one, _) = filled(1, 9)
    assert heap.merge(other) is None
    assert heap.size() == 4
    heap.decrease_key(one, 0)
    assert heap.to_list() == ["v1", "v2", "v5", "v9"]


def test_to_list_gives_the_values_in_order_and_empties_the_heap():
    heap, _ = filled(3, 1, 2)
    assert heap.to_list() == ["v1", "v2", "v3"]
    assert heap.size() == 0


# ---- the heap's faults ----


def test_fault_18_equal_keys_and_values_are_no_trouble():
    heap = FibonacciHeap()
    for _ in range(50):
        heap.insert(1.0, {"same": "value"})
    assert heap.to_list() == [{"same": "value"}] * 50


def test_fault_19_an_extracted_node_stays_extracted():
    heap, (one, _) = filled(1, 2)
    heap.extract_min()
    with pytest.raises(ValueError, match="left"):
        heap.decrease_key(one, 0)
    assert heap.size() == 1
    heap.extract_min()
    with pytest.raises(ValueError, match="left"):
        heap.decrease_key(one, 0)
    assert heap.size() == 0


def test_fault_19_a_heap_is_not_merged_with_itself():
    heap, _ = filled(1, 2)
    with pytest.raises(ValueError, match="itself"):
        heap.merge(heap)
    assert heap.size() == 2


def test_fault_19_a_merged_heap_is_empty_and_may_be_used_again():
    heap, _ = filled(1)
    other, (two,) = filled(2)
    heap.merge(other)
    assert other.is_empty()
    assert other.find_min() is None
    other.insert(7, "new")
    assert (heap.size(), other.size()) == (1 + 1, 1)
    with pytest.raises(ValueError, match="another"):
        other.decrease_key(two, 0)


@pytest.mark.parametrize("key", [NAN, "1", None, True])
def test_fault_19_what_is_no_number_is_no_key(key):
    heap, (five,) = filled(5)
    with pytest.raises(ValueError):
        heap.insert(key, "x")
    with pytest.raises(ValueError):
        heap.decrease_key(five, key)
    assert heap.to_list() == ["v5"]


def test_fault_19_to_list_keeps_none():
    heap = FibonacciHeap()
    for key, value in ((2, None), (1, "a"), (3, None)):
        heap.insert(key, value)
    assert heap.to_list() == ["a", None, None]


def test_fault_20_the_degrees_of_512_items_find_their_place():
    """Cutting children from one tree makes degrees grow up to log(n) to the base 1.618."""
    for seed in range(30):
        rng = random.Random(seed)
        heap = FibonacciHeap()
        inside = {item: heap.insert(rng.random(), item) for item in range(512)}
        while inside:
            del inside[heap.extract_min()]
            for item in rng.sample(sorted(inside), min(len(inside), 8)):
                heap.decrease_key(inside[item], inside[item].key * rng.random())
        assert heap.size() == 0


def test_fault_20_a_tree_of_degree_9_among_90_items_finds_its_place():
    """One tree of 512 items, each item below the root robbed of its largest child: 89 are left, which is the fewest
    for degree 9, and 2 ln 90 is less than 9."""
    heap = FibonacciHeap()
    nodes = [heap.insert(float(item), item) for item in range(513)]
    heap.extract_min()
    root = next(node for node in nodes[1:] if node._parent is None)
    assert len(root._children) == 9
    kept, waiting = [root], list(root._children)
    while waiting:
        node = waiting.pop()
        kept.append(node)
        if node._children:
            heap.decrease_key(max(node._children, key=lambda child: len(child._children)), -1.0)
        waiting += node._children
    assert len(kept) == 89
    away = set(nodes[1:]).difference(kept)
    for node in away:
        heap.decrease_key(node, -2.0)
    for _ in away:
        heap.extract_min()
    assert heap.size() == 89
    assert len(root._children) == 9
    assert heap.to_list() == sorted(node.value for node in kept)


# ---- the queue, row by row ----


def queue_of(**priorities: float) -> WorkflowPriorityQueue:
    queue = WorkflowPriorityQueue()
    for workflow_id, priority in priorities.items():
        queue.add_workflow(workflow_id=workflow_id, priority=priority, workflow_data={"name": f"Task {workflow_id}"})
    return queue


def test_the_next_workflow_is_the_data_and_its_id():
    queue = queue_of(a=5, b=1)
    assert queue.get_next_workflow() == {"name": "Task b", "workflow_id": "b"}
    assert queue.size() == 1


def test_peek_leaves_the_workflow():
    queue = queue_of(a=5, b=1)
    assert queue.peek_next() == {"name": "Task b", "workflow_id": "b"}
    assert queue.size() == 2


def test_an_empty_queue_gives_none():
    queue = WorkflowPriorityQueue()
    assert queue.get_next_workflow() is None
    assert queue.peek_next() is None
    assert queue.is_empty() is True
    assert queue.size() == 0


def test_update_priority_makes_more_urgent():
    queue = queue_of(a=5, b=1)
    assert queue.update_priority("a", new_priority=0.5) is None
    assert queue.peek_next()["workflow_id"] == "a"
    queue.update_priority("a", 0.5)


def test_update_priority_refuses_unknown_ids_and_larger_values():
    queue = queue_of(a=5)
    with pytest.raises(ValueError, match="not in the queue"):
        queue.update_priority("b", 1)
    with pytest.raises(ValueError, match="above"):
        queue.update_priority("a", 6)
    queue.get_next_workflow()
    with pytest.raises(ValueError, match="not in the queue"):
        queue.update_priority("a", 1)


def test_equal_priorities_come_in_the_order_of_arrival():
    queue = queue_of(**{f"w{number}": 5 for number in range(40)})
    assert [queue.get_next_workflow()["workflow_id"] for _ in range(40)] == [f"w{number}" for number in range(40)]


# ---- the queue's faults ----


def test_fault_21_an_id_is_queued_once():
    queue = queue_of(a=5)
    with pytest.raises(ValueError, match="already"):
        queue.add_workflow("a", 1, {})
    assert queue.size() == 1


def test_fault_21_the_callers_data_stays_the_callers():
    data = {"name": "x", "deep": {"n": 1}}
    queue = WorkflowPriorityQueue()
    queue.add_workflow("a", 1, data)
    assert data == {"name": "x", "deep": {"n": 1}}
    queue.peek_next()["deep"]["n"] = 2
    data["deep"]["n"] = 3
    assert queue.get_next_workflow() == {"name": "x", "deep": {"n": 1}, "workflow_id": "a"}


@pytest.mark.parametrize("priority", [NAN, math.inf, -math.inf, "3", None, False, 10**400])
def test_fault_17_a_priority_is_a_finite_number(priority):
    queue = WorkflowPriorityQueue()
    with pytest.raises(ValueError):
        queue.add_workflow("a", priority, {})
    assert queue.is_empty()


def test_zero_and_negative_priorities_are_priorities():
    queue = queue_of(a=1, b=0, c=-2)
    assert [queue.get_next_workflow()["workflow_id"] for _ in range(3)] == ["c", "b", "a"]
