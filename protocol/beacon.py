"""A beacon: a peer's signed, ephemeral sign of life. Never in the clock; it carries lease renewals (DESIGN 5.5)."""

from __future__ import annotations

from dataclasses import dataclass

from clockmesh.protocol.ids import AttemptRef, PeerId


@dataclass(frozen=True, slots=True)
class Heard:
    """The highest beacon of one peer that the author has heard."""

    peer: PeerId
    incarnation: int
    number: int


@dataclass(frozen=True, slots=True)
class Beacon:
    peer: PeerId
    incarnation: int
    """A durable counter of the author's daemon starts."""
    number: int
    """Counts from 1 in each incarnation."""
    vector: bytes
    """32 bytes: digest of the author's vector; another one here says that a sync is due."""
    free: int
    """Slots without a job."""
    load: float
    """One-minute load average per core, for information."""
    heard: tuple[Heard, ...]
    over: tuple[AttemptRef, ...]
    """Each attempt that the author granted above a claimant that has not ended: its `heard` counts no more for the
    lower attempts of that job."""
