"""Virtual time: a queue of calls to come, one source of chance, and the trace of what happened.

A `Lane` is the flow of calls into one process. It can be paused (its process is frozen: calls wait) and cut (its
process died: calls are lost).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

Call = Callable[..., None]


class Violation(Exception):
    """A promise of DESIGN 5 was broken."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class World:
    """The clock on nobody's wall, in seconds, and what is to happen next."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.tracing = trace
        self.lines: list[str] = []
        self._queue: list[tuple[float, int, Call, tuple[Any, ...]]] = []
        self._serial = 0

    def after(self, delay: float, call: Call, *args: object) -> None:
        """Call once `delay` seconds have passed; calls due at the same time keep their order."""
        self._serial += 1
        heapq.heappush(self._queue, (self.now + delay, self._serial, call, args))

    def run_until(self, end: float) -> None:
        """Let time pass up to `end`; a Violation comes out as it is found."""
        queue = self._queue
        while queue and queue[0][0] <= end:
            self.now, _, call, args = heapq.heappop(queue)
            call(*args)
        self.now = max(self.now, end)

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    def note(self, text: str) -> None:
        """A line of the trace. Callers on a hot path look at `tracing` first."""
        if self.tracing:
            self.lines.append(f"t={self.now:6.1f} {text}")


class Lane:
    """Calls into one process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._life = 0
        self._waiting: list[tuple[Call, tuple[Any, ...]]] = []
        self.paused = False

    def after(self, delay: float, call: Call, *args: object) -> None:
        """Call later, if the process then still is the same; once it is awake."""
        self._world.after(delay, self._arrive, self._life, call, args)

    def _arrive(self, life: int, call: Call, args: tuple[Any, ...]) -> None:
        if life != self._life:
            return
        if self.paused:
            self._waiting.append((call, args))
        else:
            call(*args)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """What came due meanwhile happens now, in the order in which it came."""
        self.paused = False
        waiting, self._waiting = self._waiting, []
        life = self._life
        for call, args in waiting:
            if life == self._life:
                call(*args)

    def cut(self) -> None:
        """The process died."""
        self._life += 1
        self._waiting.clear()
        self.paused = False
