"""The Fibonacci heap against heapq with lazy deletion, on the same operations: `python -m benchmarks.heap`.

Prints, for each mix, both times and their ratio (ours / heapq; below 1 ours is faster). Lazy deletion is what one
does with heapq to lower or drop a key: push anew, mark the old entry dead, skip the dead when they come up.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import random
import time
from collections.abc import Callable

from clockmesh.coordinator.fibheap import FibonacciHeap

Operation = tuple[str, int, float]
"""What, the number of the item, and the key."""

MIXES: dict[str, dict[str, float]] = {
    "mixed": {"insert": 2, "decrease": 2, "extract": 1, "delete": 1},
    "daemon": {"insert": 7, "decrease": 6, "extract": 3, "delete": 4},
    "queue": {"insert": 1, "extract": 1},
    "decrease_key": {"insert": 5, "decrease": 94, "extract": 1},
}
"""Shares of each operation. mixed: as many items leave as come, each lowered once in the mean; daemon: like the jobs
on offer at one of three peers, of which others claim more than it does; queue: no keys change, heapq's own ground."""


def make_operations(mix: dict[str, float], count: int, seed: int) -> list[Operation]:
    """Legal operations: only items inside are lowered or deleted. Keys are distinct with near certainty."""
    rng = random.Random(seed)
    names, weights = list(mix), list(mix.values())
    keys: dict[int, float] = {}
    heap: list[tuple[float, int]] = []
    operations: list[Operation] = []
    inside: list[int] = []
    while len(operations) < count:
        name = rng.choices(names, weights)[0]
        if name == "insert":
            item = len(operations)
            keys[item] = rng.random()
            heapq.heappush(heap, (keys[item], item))
            inside.append(item)
            operations.append((name, item, keys[item]))
        elif keys:
            _add_change(name, rng, keys, heap, inside, operations)
    return operations


def _add_change(
    name: str,
    rng: random.Random,
    keys: dict[int, float],
    heap: list[tuple[float, int]],
    inside: list[int],
    operations: list[Operation],
) -> None:
    if name == "extract":
        while True:
            key, item = heapq.heappop(heap)
            if keys.get(item) == key:
                break
        del keys[item]
        operations.append((name, item, key))
        return
    place = rng.randrange(len(inside))
    while inside[place] not in keys:
        inside[place] = inside[-1]
        inside.pop()
        place = rng.randrange(len(inside))
    item = inside[place]
    if name == "delete":
        del keys[item]
        operations.append((name, item, 0.0))
        return
    keys[item] *= rng.uniform(0.5, 1.0)
    heapq.heappush(heap, (keys[item], item))
    operations.append((name, item, keys[item]))


def run_fibonacci(operations: list[Operation]) -> list[int]:
    """The items in the order of their extraction."""
    heap: FibonacciHeap[float, int] = FibonacciHeap()
    entries = {}
    out = []
    for name, item, key in operations:
        if name == "insert":
            entries[item] = heap.insert(key, item)
        elif name == "decrease":
            heap.decrease_key(entries[item], key)
        elif name == "extract":
            value = heap.extract_min().value
            del entries[value]
            out.append(value)
        else:
            heap.delete(entries.pop(item))
    return out


def run_heapq(operations: list[Operation]) -> list[int]:
    """The same with heapq's documented recipe: an entry list whose item is replaced by a mark when it is dead."""
    heap: list[list[object]] = []
    entries: dict[int, list[object]] = {}
    out: list[int] = []
    serial = 0
    for name, item, key in operations:
        if name == "insert":
            serial += 1
            entries[item] = entry = [key, serial, item]
            heapq.heappush(heap, entry)
        elif name == "decrease":
            entries[item][-1] = None
            serial += 1
            entries[item] = entry = [key, serial, item]
            heapq.heappush(heap, entry)
        elif name == "extract":
            value = heapq.heappop(heap)[-1]
            while value is None:
                value = heapq.heappop(heap)[-1]
            del entries[value]  # type: ignore[arg-type]
            out.append(value)  # type: ignore[arg-type]
        else:
            entries.pop(item)[-1] = None
    return out


def best_of(function: Callable[[list[Operation]], list[int]], operations: list[Operation], times: int) -> float:
    """CPU seconds of the fastest run."""
    best = float("inf")
    for _ in range(times):
        gc.collect()
        start = time.process_time()
        function(operations)
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.operations} operations, best of {options.repeat}")
    print(f"{'mix':14}{'ours':>10}{'heapq':>10}{'ratio':>8}")
    for name, mix in MIXES.items():
        operations = make_operations(mix, options.operations, options.seed)
        if run_fibonacci(operations) != run_heapq(operations):
            raise SystemExit(f"{name}: the two heaps disagree")
        ours = best_of(run_fibonacci, operations, options.repeat)
        theirs = best_of(run_heapq, operations, options.repeat)
        print(f"{name:14}{ours * 1e3:8.1f}ms{theirs * 1e3:8.1f}ms{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
