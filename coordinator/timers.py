"""When to look at which job again."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from clockmesh.protocol.ids import JobRef


@dataclass(slots=True)
class Timers:
    """At most one time for each job; the earliest first, equal times in the order they were set."""

    _at: dict[JobRef, float] = field(default_factory=dict)
    _queue: list[tuple[float, int, JobRef]] = field(default_factory=list)
    _count: int = 0

    def set(self, ref: JobRef, at: float) -> None:
        """Look at `ref` at this time, and at no other set before."""
        if self._at.get(ref) == at:
            return
        self._at[ref] = at
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, ref))
        if len(self._queue) > 4 * len(self._at) + 64:
            self._tidy()

    def drop(self, ref: JobRef) -> None:
        self._at.pop(ref, None)

    def due(self, now: float) -> list[JobRef]:
        """Take out the jobs whose time has come."""
        refs = []
        while self._queue and self._queue[0][0] <= now:
            at, _, ref = heapq.heappop(self._queue)
            if self._at.get(ref) == at:
                del self._at[ref]
                refs.append(ref)
        return refs

    def next(self) -> float | None:
        """The earliest time set."""
        while self._queue and self._at.get(self._queue[0][2]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def _tidy(self) -> None:
        """Leave out times that were set anew or dropped."""
        self._queue = [entry for entry in self._queue if self._at.get(entry[2]) == entry[0]]
        heapq.heapify(self._queue)
