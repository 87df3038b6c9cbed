"""The Python API at 2,500 and 10,000 workflows, and the merge of two clocks: `python -m benchmarks.embedded`.

A ratio of about 4 means linear. Beside ours stands what the reference's code costs: its merge looks each node up in a
list, n * m steps (0.04, 0.15 and 0.58 s for 500, 1000 and 2000 nodes on each side, measured elsewhere), and its state
is written whole after each submission, n * n bytes for n of them.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from clockmesh import MerkleClock, P2PWorkflowCoordinator

REFERENCE_MERGE = {500: 0.04, 1000: 0.15, 2000: 0.58}


def seconds(work: Callable[[], object]) -> float:
    """CPU time, since other programs share the machine; without the garbage of whoever else is in this process."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()


def measure(count: int) -> dict[str, float]:
    """Seconds to submit, assign, list, count and open again so many workflows."""
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as folder:
        file = Path(folder, "w.yml")
        file.write_text("name: p2p-workflow\non: push\njobs: {a: {runs-on: ubuntu-latest}}\n")
        made = P2PWorkflowCoordinator("bench", folder)
        for peer in ("b", "c", "d"):
            made.add_peer(peer)
        found = {
            "submit": seconds(lambda: [made.submit_workflow(file, priority=number % 7) for number in range(count)]),
            "assign": seconds(made.assign_workflows),
            "list": seconds(made.list_workflows),
            "stats": seconds(made.get_stats),
            "open": seconds(lambda: P2PWorkflowCoordinator("bench", folder)),
            "verify": seconds(made.merkle_clock.verify_chain),
        }
        made.close()
        return found


def merge_seconds(count: int) -> float:
    """Two clocks that never met, so many nodes each, every one verified anew."""
    one, other = MerkleClock("one"), MerkleClock("other")
    for number in range(count):
        one.append({"event": "test", "n": number})
        other.append({"event": "test", "n": number})
    foreign = MerkleClock.from_dict(other.to_dict())
    return seconds(lambda: one.merge(foreign))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="workflows of the larger run (default: 10000)")
    count = parser.parse_args().count
    small, large = measure(count // 4), measure(count)
    print(f"{'':8} {count // 4:>9} {count:>9}  ratio  each")
    for name in small:
        ratio = large[name] / small[name] if small[name] else float("nan")
        each = 1e6 * large[name] / count
        print(f"{name:8} {small[name]:8.3f}s {large[name]:8.3f}s  {ratio:5.1f}  {each:.0f} us")
    print("\nmerge of n and n nodes, signatures checked")
    for nodes, theirs in REFERENCE_MERGE.items():
        print(f"{nodes:>6}  {merge_seconds(nodes):.3f}s   reference {theirs:.2f}s, without any signature")
    print(f"{8000:>6}  {merge_seconds(8000):.3f}s")


if __name__ == "__main__":
    main()
