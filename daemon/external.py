"""Jobs with the label `external`: held by this peer under the claim rules, executed by programs of its owner.

A program says every few seconds that it lives (`beat`). While one does, this peer offers the label; what it holds goes
to whoever asks first (`take`) and ends with what that one says (`end`). An attempt whose program is gone, or whose
deadline D has passed, is declared lost at once: another peer's program gets it. The daemon cannot stop a program, as
it stops a job of its own; it refuses its result, and tells it when it asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from clockmesh.coordinator import view
from clockmesh.coordinator.effects import StopReason
from clockmesh.coordinator.machine import Machine
from clockmesh.daemon.errors import Conflict
from clockmesh.protocol.ids import AttemptRef, PeerId
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner.eligibility import EXTERNAL

log = structlog.get_logger()
SILENT_S = 8.0
"""After its last beat a program counts as gone; it beats every two seconds."""
_LINGER_S = 4.0
"""For which the label is offered on: a program that restarts must not change what all peers know of this one."""
_GRACE_S = 10.0
"""From the wish for a run's end to the end of an attempt whose program does not heed it."""
_LOOK_S = 0.25


@dataclass(slots=True)
class _Held:
    """One attempt on the desk."""

    began_at: float
    timeout_s: int
    worker: str = ""
    """Who executes it; '' while nobody has taken it."""
    started_ms: int = 0
    cancelled_at: float | None = None
    outranked: bool = False


class ExternalDesk:
    """The external attempts of one peer. Times are seconds of CLOCK_BOOTTIME."""

    def __init__(self, machine: Machine, me: PeerId, end: Callable[[AttemptRef, Result | None], None],
                 now: Callable[[], float]) -> None:
        """`end` is told of each attempt's end, once."""
        self._machine = machine
        self._me = me
        self._end = end
        self._now = now
        self._held: dict[AttemptRef, _Held] = {}
        self._beats: dict[str, float] = {}
        """When each program last said that it lives."""

    # ---- what this peer holds ----

    def is_for(self, ref: AttemptRef) -> bool:
        planned = self._machine.runs[ref.run].planned.get(ref.key)
        return planned is not None and EXTERNAL in planned.labels

    def holds(self, ref: AttemptRef) -> bool:
        return ref in self._held

    def begin(self, ref: AttemptRef) -> None:
        """This peer may start it: it waits for a program, unless it has ended already."""
        planned = self._machine.runs[ref.run].planned[ref.key]
        needs = view.needs_of(self._machine, ref.job)
        if view.cancel_wanted(self._machine, ref.job):
            self._end(ref, Result(Conclusion.CANCELLED))
        elif any(name not in needs or needs[name].result is not Conclusion.SUCCESS for name in planned.needs):
            self._end(ref, Result(Conclusion.SKIPPED))
        else:
            self._held.setdefault(ref, _Held(self._now(), planned.timeout_s))

    def stop(self, ref: AttemptRef, reason: StopReason) -> None:
        """Its end is wanted. It comes with the next look, never from within a step of the machine."""
        held = self._held[ref]
        if reason is StopReason.OUTRANKED:
            held.outranked = True
        else:
            held.cancelled_at = self._now()

    # ---- what programs say ----

    def take(self, worker: str) -> list[AttemptRef]:
        """What this program is to execute: what it has taken before, and what nobody has."""
        self.beat(worker)
        for ref, held in self._held.items():
            if not held.worker:
                held.worker, held.started_ms = worker, time.time_ns() // 1_000_000
                log.info("attempt_taken", run=ref.run.hex(), job=ref.key, attempt=ref.attempt, worker=worker[:12])
        return [ref for ref in self._held if self._is_of(ref, worker)]

    def beat(self, worker: str) -> tuple[list[AttemptRef], list[AttemptRef]]:
        """This program lives. Which attempts are still its own, and which of them shall end."""
        self._beats[worker] = self._now()
        mine = [ref for ref in self._held if self._is_of(ref, worker)]
        return mine, [ref for ref in mine if self._held[ref].cancelled_at is not None]

    def end(self, worker: str, ref: AttemptRef, conclusion: Conclusion, outputs: tuple[tuple[str, str], ...],
            error: str) -> None:
        """What came of an attempt. Conflict when it is not this program's, or not any more."""
        if not self._is_of(ref, worker):
            raise Conflict(f"job {ref.key} of run {ref.run.hex()[:12]} is not this program's (any more): its attempt "
                           f"{ref.attempt} has ended, is held elsewhere or was never taken; the result is not kept")
        started_ms = self._held[ref].started_ms
        finished_ms = max(started_ms, time.time_ns() // 1_000_000)
        self._finish(ref, Result(conclusion, outputs, error, started_ms=started_ms, finished_ms=finished_ms))

    def _is_of(self, ref: AttemptRef, worker: str) -> bool:
        return ref in self._held and self._held[ref].worker == worker

    # ---- as time goes by ----

    async def run(self, offer: Callable[[bool], None]) -> None:
        """Watch deadlines and programs until cancelled; `offer` is told whether this peer shall offer the label."""
        offered = False
        while True:
            wanted = bool(self._living(SILENT_S + (_LINGER_S if offered else 0.0)))
            if wanted != offered:
                offered = wanted
                offer(offered)
            self.look()
            await trio.sleep(_LOOK_S)

    def look(self) -> None:
        """End what must end now."""
        for ref in list(self._held):
            self._look(ref)

    def _living(self, within: float) -> list[str]:
        self._beats = {worker: at for worker, at in self._beats.items() if self._now() - at < SILENT_S + _LINGER_S}
        return [worker for worker, at in self._beats.items() if self._now() - at < within]

    def _look(self, ref: AttemptRef) -> None:
        held, now = self._held[ref], self._now()
        living = self._living(SILENT_S)
        gone = not living or (held.worker and held.worker not in living)
        deadline = self._machine.deadline(ref, now)
        if held.cancelled_at is not None and not held.worker:
            self._finish(ref, Result(Conclusion.CANCELLED))
        elif held.outranked or deadline is None or deadline <= now or gone:
            self._finish(ref, None)
        elif held.cancelled_at is not None and now > held.cancelled_at + _GRACE_S:
            self._finish(ref, Result(Conclusion.CANCELLED, error="its program did not end it when asked to"))
        elif now > held.began_at + held.timeout_s:
            self._finish(ref, Result(Conclusion.FAILURE, error=f"it took longer than {held.timeout_s} s"))

    def _finish(self, ref: AttemptRef, result: Result | None) -> None:
        held = self._held.pop(ref)
        log.info("attempt_ended", run=ref.run.hex(), job=ref.key, attempt=ref.attempt,
                 conclusion=result.conclusion.value if result else None, why=None if result else "its program is gone",
                 worker=held.worker[:12] or None)
        self._end(ref, result)
