"""A schedule among the faults: added by somebody, removed when all is well, and every tick of it accounted for.

Wall clocks are off by a little, and one peer's by up to a minute: it may submit early, but nothing may start early.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clockmesh.coordinator.inputs import Change, ScheduleChangeWanted, ScheduleWanted
from clockmesh.coordinator.schedules import ScheduleState
from clockmesh.coordinator.ticks import TOLERANCE_MS
from clockmesh.protocol.ids import RunId
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.schedules import CatchUp, CronLine, Overlap
from tests.simulation.scenario import Scenario
from tests.simulation.workload import AGAIN, CHAIN, ONE, plan
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine
    from tests.simulation.peer import Peer

EPOCH_MS = 1_800_000_000_000
PERIOD_MS = 20_000
"""Between two ticks: as many as fit, so that one is always near a fault."""
SMALL_SKEW = 0.2
"""Seconds by which clocks that are kept right differ."""
TOKEN = 1_000_000
"""From here on tokens are of schedules."""


class EveryPeriod:
    """A calendar of one line: due at each multiple of the period."""

    def after(self, line: CronLine, ms: int) -> int | None:
        return (ms // PERIOD_MS + 1) * PERIOD_MS

    def before(self, line: CronLine, ms: int) -> int | None:
        return (ms - 1) // PERIOD_MS * PERIOD_MS


@dataclass(frozen=True, slots=True)
class Ticking:
    """What the schedule of one seed is like."""

    skews: tuple[float, ...]
    """Seconds by which each peer's wall clock is ahead."""
    catch_up: CatchUp
    overlap: Overlap
    jitter_s: int

    @property
    def misses_nothing(self) -> bool:
        return self.catch_up is CatchUp.ALL and self.overlap is Overlap.ALLOW


def draw_ticking(seed: int, peers: int) -> Ticking:
    """By chance of its own, so that the rest of the seed stays what it is."""
    rng = random.Random(f"ticking {seed} {peers}")
    skews = [rng.uniform(-SMALL_SKEW, SMALL_SKEW) for _ in range(peers)]
    if peers > 2:
        skews[rng.randrange(peers)] = rng.choice((-60.0, -5.0, 0.0, 5.0, 60.0))
    if rng.random() < 0.5:
        return Ticking(tuple(skews), CatchUp.ALL, Overlap.ALLOW, rng.choice((0, 0, 5)))
    return Ticking(tuple(skews), rng.choice(list(CatchUp)), rng.choice(list(Overlap)), rng.choice((0, 0, 5)))


class Ticks:
    def __init__(self, world: World, scenario: Scenario, ticking: Ticking) -> None:
        self._world = world
        self._guard = scenario.guard
        self._faults = scenario.faults
        self.ticking = ticking
        self._rng = random.Random(f"ticks {ticking}")
        self._peers: Sequence[Peer] = ()
        self._nonce = self._rng.randbytes(16)
        self._until_ms = 0
        """Ticks due up to here are all to have happened."""
        self.runs = 0

    def wall_ms(self, index: int) -> int:
        return self.true_ms() + round(self.ticking.skews[index] * 1000)

    def true_ms(self) -> int:
        return EPOCH_MS + round(self._world.now * 1000)

    # People

    def begin(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        self._world.after(self._rng.uniform(0, 10), self._add)

    def _add(self) -> None:
        """Somebody whose clock is right adds it, when there is one to ask."""
        right = [peer for peer in self._peers if abs(self.ticking.skews[peer.index]) <= SMALL_SKEW and not peer.dead]
        if not right or self._known(right[0]):
            return
        peer = self._rng.choice(right)
        wanted = ScheduleWanted(
            TOKEN,
            self._nonce,
            "s",
            (CronLine("*"),),
            plan("ticking", self._rng.choice((ONE, CHAIN))),
            self.wall_ms(peer.index),
            self._guard,
            catch_up=self.ticking.catch_up,
            overlap=self.ticking.overlap,
            jitter_s=self.ticking.jitter_s,
        )
        if not peer.ask(wanted):
            self._world.after(AGAIN, self._add)

    def end(self) -> bool:
        """All is well, and has been for a while: the schedule is removed. True once all living know that."""
        living = [peer for peer in self._peers if not peer.dead]
        if any(peer.daemon is None for peer in living):
            return False
        known = [self._known(peer) for peer in living]
        if not any(known):
            return True  # it died with who took it, or was never taken
        if all(state is not None and state.removed for state in known):
            return True
        for peer, state in zip(living, known, strict=True):
            if state is not None and not state.removed:
                self._until_ms = self.true_ms() - PERIOD_MS
                peer.ask(ScheduleChangeWanted(TOKEN, state.schedule, Change.REMOVE, 0))
                break
        return False

    def _known(self, peer: Peer) -> ScheduleState | None:
        machine = peer.daemon.machine if peer.daemon is not None else None
        return next(iter(machine.state.schedules.values()), None) if machine else None

    # What must hold

    def started(self, machine: Machine, run: RunId) -> None:
        """Under a quorum nothing starts before its time, whoever's clock is ahead."""
        state = machine.runs.get(run)
        if state is None or state.tick is None or self._guard is not Guard.QUORUM or state.cancel_asked:
            return
        early = state.tick.due_ms - self.true_ms()
        if early > TOLERANCE_MS + SMALL_SKEW * 1000:
            raise Violation("early", f"the tick due in {early} ms starts")

    def check(self, peer: Peer) -> None:
        """At the end, at any of the living."""
        known = self._known(peer)
        if known is None:
            return
        self.runs = len(known.ticks)
        first = -(-known.told.due_from_ms // PERIOD_MS) * PERIOD_MS
        due = set(range(first, self._until_ms - self.ticking.jitter_s * 1000 + 1, PERIOD_MS))
        missed = due - known.ticks.keys()
        if not self.ticking.misses_nothing:
            missed = missed - known.skipped.keys() if not self._faults else set()
        if missed:
            gone = ", ".join(f"{(tick - EPOCH_MS) / 1000:.0f}" for tick in sorted(missed))
            raise Violation("missed", f"the ticks due at t={gone} never ran")
