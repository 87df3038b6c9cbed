"""What the machine wants done, as values. The daemon commits the `Append`s of a batch durably, then performs the rest;
`Extend`, `Stop` and `Kill` need no commit and are performed at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.events import Event
from clockmesh.protocol.ids import AttemptRef, RunId


@dataclass(frozen=True, slots=True)
class Append:
    """Write this event into this peer's next node. The machine has already counted it."""

    event: Event


@dataclass(frozen=True, slots=True)
class Answer:
    """What the request `token` asked for is durable."""

    token: int
    run: RunId | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Prepare and start this attempt; ask `machine.deadline` for D when handing it to the host."""

    ref: AttemptRef


@dataclass(frozen=True, slots=True)
class Extend:
    ref: AttemptRef
    deadline: float
    """Seconds of CLOCK_BOOTTIME."""


class StopReason(StrEnum):
    CANCEL = "cancel"
    """A person's cancel or fail-fast: the polite sequence, `if: always()` steps still run."""
    OUTRANKED = "outranked"
    """A final result stands, or (lease) another holder does: end it now."""


@dataclass(frozen=True, slots=True)
class Stop:
    ref: AttemptRef
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Forget:
    """The attempt's end is in the clock: the host may drop its record."""

    ref: AttemptRef


@dataclass(frozen=True, slots=True)
class Wake:
    """Step with `Ticked` at this time at the latest (seconds of CLOCK_BOOTTIME)."""

    at: float


@dataclass(frozen=True, slots=True)
class RunChanged:
    """Something to see about this run changed (for followers and waiters)."""

    run: RunId


Effect = Append | Answer | Start | Extend | Stop | Forget | Wake | RunChanged
