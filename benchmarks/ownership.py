"""Owners of many jobs at once against the plain loop: `python -m benchmarks.ownership`.

The loop is timed on a sample, whose answers must agree, and its time for all is reckoned from that.
"""

from __future__ import annotations

import argparse
import random
import time

from clockmesh.coordinator.bulk import owners
from clockmesh.coordinator.ownership import peer_digests, rank
from clockmesh.protocol.ids import PeerId, RunId


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    members = [(PeerId(rng.randbytes(32)), 1) for _ in range(options.peers)]
    tasks = [(RunId(rng.randbytes(32)), rng.randbytes(32)) for _ in range(options.jobs)]
    owners(tasks[:1], members)  # imports numpy, hashes the peers
    start = time.perf_counter()
    found = owners(tasks, members)
    bulk = time.perf_counter() - start
    sample = rng.sample(range(options.jobs), min(options.sample, options.jobs))
    assert peer_digests.cache_info().maxsize >= options.peers
    start = time.perf_counter()
    for index in sample:
        if rank(*tasks[index], members)[0] != found[index]:
            raise SystemExit(f"job {index}: the loop finds another owner")
    loop = (time.perf_counter() - start) / len(sample) * options.jobs
    print(f"{options.jobs} jobs x {options.peers} peers: {bulk:.2f} s; the plain loop: {loop:.0f} s")
    print(f"ratio {bulk / loop:.4f}; {len(sample)} owners compared, all equal")


if __name__ == "__main__":
    main()
