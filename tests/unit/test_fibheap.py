"""The Fibonacci heap keeps the order of its keys whatever is done to it, and refuses what would break it."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from clockmesh.coordinator.fibheap import Entry, FibonacciHeap


def drain(heap: FibonacciHeap) -> list:
    return [heap.extract_min().value for _ in range(len(heap))]


def test_extraction_is_in_order_of_keys():
    heap = FibonacciHeap()
    keys = random.Random(1).sample(range(2000), 500)
    for key in keys:
        heap.insert(key, key)
    assert drain(heap) == sorted(keys)
    assert len(heap) == 0


def test_an_empty_heap_has_no_minimum():
    heap = FibonacciHeap()
    with pytest.raises(IndexError):
        heap.find_min()
    with pytest.raises(IndexError):
        heap.extract_min()


def test_values_are_never_compared():
    heap = FibonacciHeap()
    for _ in range(5):
        heap.insert(1.0, object())
    assert len({id(value) for value in drain(heap)}) == 5


def test_equal_keys_and_equal_values_are_separate_entries():
    heap = FibonacciHeap()
    for _ in range(4):
        heap.insert(1.0, "same")
    assert drain(heap) == ["same"] * 4


def test_the_callers_tie_break_orders_equal_priorities():
    heap = FibonacciHeap()
    order = [(5.0, height, index) for height in range(6) for index in range(3)]
    for key in random.Random(2).sample(order, len(order)):
        heap.insert(key, key)
    assert drain(heap) == order


@pytest.mark.parametrize("key", [float("nan"), (1.0, float("nan")), ((0, float("nan")), 1)])
def test_nan_is_refused_before_any_change(key):
    heap = FibonacciHeap()
    entry = heap.insert((9.0,), "kept")
    with pytest.raises(ValueError, match="NaN"):
        heap.insert(key, "bad")
    with pytest.raises(ValueError, match="NaN"):
        heap.decrease_key(entry, key)
    assert drain(heap) == ["kept"]


def test_a_key_of_another_kind_leaves_the_heap_whole():
    heap = FibonacciHeap()
    heap.insert(1, "kept")
    with pytest.raises(TypeError):
        heap.insert("one", "bad")
    assert drain(heap) == ["kept"]


def test_a_key_is_never_raised():
    heap = FibonacciHeap()
    entry = heap.insert(3, "a")
    heap.decrease_key(entry, 3)
    with pytest.raises(ValueError, match="above"):
        heap.decrease_key(entry, 4)
    assert heap.find_min().key == 3


@pytest.mark.parametrize("leave", ["extract", "delete"])
def test_an_entry_that_left_is_not_revived(leave):
    heap = FibonacciHeap()
    gone = heap.insert(1, "gone")
    heap.insert(2, "kept")
    if leave == "extract":
        heap.extract_min()
    else:
        heap.delete(gone)
    with pytest.raises(ValueError, match="left"):
        heap.decrease_key(gone, 0)
    with pytest.raises(ValueError, match="left"):
        heap.delete(gone)
    assert drain(heap) == ["kept"]
    with pytest.raises(ValueError, match="left"):
        heap.decrease_key(gone, 0)


def test_an_entry_of_another_heap_is_refused():
    one, two = FibonacciHeap(), FibonacciHeap()
    entry = one.insert(1, "a")
    two.insert(2, "b")
    with pytest.raises(ValueError, match="another heap"):
        two.decrease_key(entry, 0)
    with pytest.raises(ValueError, match="another heap"):
        two.delete(entry)
    assert (len(one), len(two)) == (1, 1)


def test_a_heap_is_not_merged_with_itself():
    heap = FibonacciHeap()
    heap.insert(1, "a")
    with pytest.raises(ValueError, match="itself"):
        heap.merge(heap)
    assert drain(heap) == ["a"]


@pytest.mark.parametrize(("left", "right"), [(3, 8), (8, 3), (0, 4), (4, 0), (0, 0)])
def test_merging_empties_the_other_heap_and_keeps_its_entries_good(left, right):
    one, two = FibonacciHeap(), FibonacciHeap()
    for n in range(left):
        one.insert(2 * n, ("one", n))
    entries = [two.insert(2 * n + 1, ("two", n)) for n in range(right)]
    one.merge(two)
    assert (len(one), len(two)) == (left + right, 0)
    late = two.insert(0, "late")
    for n, entry in enumerate(entries):
        with pytest.raises(ValueError, match="another heap"):
            two.decrease_key(entry, -1)
        one.decrease_key(entry, -right + n)
    with pytest.raises(ValueError, match="another heap"):
        one.delete(late)
    assert drain(one) == [("two", n) for n in range(right)] + [("one", n) for n in range(left)]


def test_entries_survive_a_chain_of_merges():
    heaps = [FibonacciHeap() for _ in range(6)]
    entries = [heap.insert(n, n) for n, heap in enumerate(heaps)]
    for n in range(5):
        heaps[n + 1].merge(heaps[n])
    for n, entry in enumerate(entries):
        heaps[5].decrease_key(entry, -n)
    assert drain(heaps[5]) == [5, 4, 3, 2, 1, 0]


def roots(heap: FibonacciHeap) -> list[Entry]:
    return [*heap._loose, *(root for root in heap._table if root is not None)]


def highest_degree(heap: FibonacciHeap) -> int:
    pending, highest = roots(heap), 0
    while pending:
        entry = pending.pop()
        highest = max(highest, len(entry._children))
        pending.extend(entry._children)
    return highest


def make_thin_tree(heap: FibonacciHeap, degree: int) -> Entry:
    """A root of this degree with as few entries beneath as the rules allow (a Fibonacci number of them): build a
    full binomial tree of 2^degree entries, then cut from every entry the one child that cutting is free for."""
    for n in range(2**degree + 1):
        heap.insert(n, n)
    heap.extract_min()
    (root,) = (entry for entry in roots(heap) if len(entry._children) == degree)
    stack = [root]
    while stack:
        entry = stack.pop()
        if entry is not root and entry._children:
            heap.delete(max(entry._children, key=lambda child: len(child._children)))
        stack.extend(entry._children)
    return root


def test_degrees_above_twice_the_natural_logarithm_do_no_harm():
    """512 items, of which so many go that the one tree of degree 9 holds about 90: more degrees than a table of
    int(2 ln n) + 1 places has."""
    heap = FibonacciHeap()
    root = make_thin_tree(heap, 9)
    while roots(heap) != [root]:
        heap.delete(next(entry for entry in roots(heap) if entry is not root))
    left = len(heap)
    assert left <= 90
    assert highest_degree(heap) == 9
    heap.insert(-1, -1)
    assert heap.extract_min().value == -1
    assert highest_degree(heap) == 9
    values = drain(heap)
    assert values == sorted(values)
    assert len(values) == left


class HeapAgainstDictionary(RuleBasedStateMachine):
    """Two heaps against two plain dictionaries of the same entries."""

    entries = Bundle("entries")

    def __init__(self):
        super().__init__()
        self.heaps = (FibonacciHeap(), FibonacciHeap())
        self.models = ({}, {})
        self.count = 0

    def place(self, entry):
        return next((n for n in (0, 1) if entry in self.models[n]), None)

    @rule(target=entries, which=st.sampled_from([0, 1]), key=st.integers(0, 30))
    def insert(self, which, key):
        self.count += 1
        entry = self.heaps[which].insert(key, self.count)
        self.models[which][entry] = key
        return entry

    @rule(which=st.sampled_from([0, 1]))
    def extract_min(self, which):
        model = self.models[which]
        if not model:
            with pytest.raises(IndexError):
                self.heaps[which].extract_min()
            return
        entry = self.heaps[which].extract_min()
        assert model.pop(entry) == min([entry.key, *model.values()])

    @rule(which=st.sampled_from([0, 1]), entry=entries, by=st.integers(0, 20))
    def decrease_key(self, which, entry, by):
        if self.place(entry) != which:
            with pytest.raises(ValueError):
                self.heaps[which].decrease_key(entry, entry.key - by)
            return
        self.heaps[which].decrease_key(entry, entry.key - by)
        self.models[which][entry] -= by

    @rule(which=st.sampled_from([0, 1]), entry=consumes(entries))
    def delete(self, which, entry):
        if self.place(entry) != which:
            with pytest.raises(ValueError):
                self.heaps[which].delete(entry)
            return
        self.heaps[which].delete(entry)
        del self.models[which][entry]

    @precondition(lambda self: self.count > 6)
    @rule(into=st.sampled_from([0, 1]))
    def merge(self, into):
        self.heaps[into].merge(self.heaps[1 - into])
        self.models[into].update(self.models[1 - into])
        self.models[1 - into].clear()

    @invariant()
    def sizes_and_minima_agree(self):
        for heap, model in zip(self.heaps, self.models, strict=True):
            assert len(heap) == len(model)
            if model:
                assert heap.find_min() in model
                assert heap.find_min().key == min(model.values())


HeapAgainstDictionary.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestHeapAgainstDictionary = HeapAgainstDictionary.TestCase


@pytest.mark.parametrize("seed", range(5))
def test_long_random_use_agrees_with_a_sorted_list(seed):
    rng = random.Random(seed)
    heap, inside = FibonacciHeap(), {}
    for n in range(6000):
        action = rng.random()
        if action < 0.4 or not inside:
            inside[n] = heap.insert((rng.random(), n), n)
        elif action < 0.6:
            assert heap.find_min().key == min(entry.key for entry in inside.values())
            del inside[heap.extract_min().value]
        else:
            number = rng.choice(list(inside))
            if action < 0.9:
                heap.decrease_key(inside[number], (inside[number].key[0] * rng.random(), number))
            else:
                heap.delete(inside.pop(number))
    assert drain(heap) == sorted(inside, key=lambda number: inside[number].key)
