"""The clock against raw PyNaCl in the same run: `python -m benchmarks.protocol`.

Times are CPU time and, where short, the best of several rounds, because other programs share the machine. A ratio is
the time of the raw operation on the same bytes divided by ours: 1 would mean that all the rest costs nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from hashlib import sha256

from nacl.signing import SigningKey as RawKey

from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.codec import NODE_DOMAIN, decode_node, mesh_id, unsigned_node
from clockmesh.protocol.events import (
    ClaimGranted,
    Description,
    Event,
    JobClaimed,
    MeshFounded,
    PeerAdmitted,
    ResultAccepted,
)
from clockmesh.protocol.ids import JobKey, MeshId, ResultHash, RunId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.node import Node

SEED = bytes(range(32))
KEY = SigningKey.from_seed(SEED)
OTHER = SigningKey.from_seed(bytes(range(32, 64)))
NONCE = bytes(16)
MESH: MeshId = mesh_id(KEY.peer, NONCE)
WALL_MS = 1_750_000_000_000
RUN = RunId(sha256(b"run").digest())
BUILD = JobKey("build")
CLAIM = JobClaimed(RUN, BUILD, 1, 3)


def founded() -> Clock:
    """A clock with two members."""
    clock = Clock(MESH)
    admission = PeerAdmitted(OTHER.peer, Description("other", 1))
    append(clock, KEY, wall_ms=WALL_MS, events=[MeshFounded(NONCE, Description("one", 1)), admission])
    return clock


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def best(rounds: int, work: Callable[[], object], count: int) -> float:
    """Seconds for each of `count` operations that one call of `work` makes."""
    return min(seconds(work) for _ in range(rounds)) / count


def append_many(clock: Clock, key: SigningKey, count: int) -> None:
    for _ in range(count):
        append(clock, key, wall_ms=WALL_MS, events=[CLAIM])


def decode_many(data: Iterable[bytes], *, verify: bool = True) -> list[Node]:
    return [decode_node(MESH, one, verify=verify) for one in data]


def ingest(clock: Clock, data: Iterable[bytes], *, verify: bool = True) -> Clock:
    for one in data:
        clock.add(decode_node(MESH, one, verify=verify))
    return clock


def per_operation(rounds: int, count: int) -> list[tuple[str, float, float]]:
    """What, seconds of the raw operation, seconds of ours."""
    clock = founded()
    append_many(clock, KEY, count)
    data = [node.data for node in list(clock)[-count:]]
    raw_key = RawKey(SEED)
    public = raw_key.verify_key
    signed = [(NODE_DOMAIN + MESH + one[:-64], one[-64:]) for one in data]
    sign = best(rounds, lambda: [raw_key.sign(message) for message, _ in signed], count)
    verify = best(rounds, lambda: [public.verify(message, signature) for message, signature in signed], count)
    return [
        ("signed append in memory", sign, best(rounds, lambda: append_many(founded(), KEY, count), count)),
        ("verified decode", verify, best(rounds, lambda: decode_many(data), count)),
        ("verified ingest into the clock", verify, best(rounds, lambda: ingest(founded(), data), count)),
    ]


def merge_time(count: int) -> float:
    """Seconds to take `count` foreign nodes, verified, into a clock of as many own ones."""
    ours, theirs = founded(), founded()
    append_many(ours, KEY, count)
    append_many(theirs, OTHER, count)
    return seconds(lambda: ingest(ours, (node.data for node in theirs.missing_for(ours.vector()))))


def reload_time(count: int) -> float:
    """Seconds to read `count` nodes of one's own store into a clock, hash-checked."""
    clock = founded()
    while len(clock) < count:
        place = clock.place_for(KEY.peer)
        clock.add(
            unsigned_node(
                KEY.peer,
                seq=place.seq,
                parents=place.parents,
                previous=place.previous,
                height=place.height,
                wall_ms=WALL_MS,
                events=[CLAIM],
            )
        )
    data = [node.data for node in clock]
    del clock
    return seconds(lambda: ingest(Clock(MESH), data, verify=False))


def digest_time(count: int) -> float:
    """Seconds for each digest of an unchanged clock: what a beacon costs."""
    clock = founded()
    return best(3, lambda: [clock.vector_digest() for _ in range(count)], count)


def sizes() -> list[tuple[str, int]]:
    """Bytes of a node of one event, deep in a clock, with one parent."""
    events: dict[str, Event] = {
        "claim": CLAIM,
        "grant": ClaimGranted(RUN, BUILD, 1, OTHER.peer),
        "accept": ResultAccepted(RUN, BUILD, 1, ResultHash(bytes(32))),
    }
    parent = {"seq": 70_000, "height": 200_000, "parents": (RUN,), "previous": RUN, "wall_ms": WALL_MS}
    return [(name, len(unsigned_node(KEY.peer, events=[event], **parent).data)) for name, event in events.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000, help="operations in each round")
    options = parser.parse_args()
    print(f"{'':34}{'raw us':>10}{'ours us':>10}{'ratio':>8}   at least")
    for name, raw, ours in per_operation(options.rounds, options.count):
        print(f"{name:34}{raw * 1e6:10.1f}{ours * 1e6:10.1f}{raw / ours:8.2f}   0.60")
    print()
    print(f"{'merge 10k nodes into 10k':34}{merge_time(10_000):10.2f} s            at most 0.90 s")
    print(f"{'reload 100k nodes':34}{reload_time(100_000):10.2f} s            aim 0.60 s")
    print(f"{'digest for a beacon':34}{digest_time(10_000) * 1e6:10.2f} us")
    for name, size in sizes():
        print(f"{'node of one ' + name:34}{size:10} bytes        at most 260")


if __name__ == "__main__":
    main()
