"""What one schedule is like: drawn from its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

from clockmesh.protocol.plan import Guard

LEASE = 15.0
"""L, seconds."""

BEACON_PERIOD = 1.5
"""L is ten of them, the fewest that the rules allow: what is tight is tested."""

MOMENT = LEASE / 20
"""Seconds between two times at which a fault may strike."""

CHAOS = 6.5 * LEASE
"""Seconds of faults, after which all is well (but for the dead) until every job is done."""

PATIENCE = 15 * LEASE
"""Seconds of health within which everything must have come to its end."""


@dataclass(frozen=True, slots=True)
class Scenario:
    peers: int
    guard: Guard
    faults: bool
    rates: tuple[float, ...]
    """Each peer's clock against the world's."""
    slots: tuple[int, ...]
    """At most one peer has none: it votes and runs nothing."""
    tooled: frozenset[int]
    """Peers that offer the label `tool:x`: so many that not all of them die."""
    loss: float
    delayed: float
    cuts: str
    """How links change: all at once, in pairs, or one way."""
    cut_rate: float
    crash_rate: float
    machine_share: float
    """Of crashes that take the whole machine."""
    restart_rate: float
    freeze_rate: float
    slow_commits: float
    failing: float
    """Share of jobs that fail."""
    eager: float
    """How often a peer claims out of turn: ranks and delays are hints, so safety must not rest on them."""
    minority_dies: bool


def minority(peers: int) -> int:
    """So many may die for good."""
    return (peers - 1) // 2


def draw(seed: int, peers: int, guard: Guard, *, faults: bool = True, drift: float | None = None) -> Scenario:
    rng = random.Random(f"scenario {seed} {peers}")
    drifts = rng.choice((0.05, 0.05, 0.10)) if drift is None else drift
    cuts = ("all", "pairs", "one way")[seed % 3]
    hard = cuts == "one way"
    slots = [rng.choice((1, 2, 2, 4)) for _ in range(peers)]
    idle = rng.randrange(peers) if peers > 1 and rng.random() < 0.1 else None
    if idle is not None:
        slots[idle] = 0
    able = [peer for peer in range(peers) if slots[peer]]
    return Scenario(
        peers=peers,
        guard=guard,
        faults=faults,
        rates=tuple(1 + drifts * rng.choice((-1, 0, 1)) for _ in range(peers)),
        slots=tuple(slots),
        tooled=frozenset(rng.sample(able, min(len(able), minority(peers) + 1))),
        loss=rng.choice((0, 0, 0.1, 0.3)) if faults else 0.0,
        delayed=rng.choice((0, 0.05, 0.3)) if faults else 0.0,
        cuts=cuts,
        cut_rate=rng.choice((0.01, 0.03, 0.06)),
        crash_rate=rng.choice((0.0, 0.02, 0.05 if hard else 0.02)),
        machine_share=0.2 if hard else 0.5,
        restart_rate=0.35 if hard else 0.12,
        freeze_rate=rng.choice((0.0, 0.01, 0.02)),
        slow_commits=rng.choice((0.0, 0.0, 0.05, 0.2)),
        failing=0.15,
        eager=rng.choice((0.0, 0.03, 0.2)) if faults else 0.0,
        minority_dies=rng.random() < 0.5,
    )
