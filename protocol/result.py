"""What a job came to, as its holder proposes it and a quorum accepts it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.plan import Plan


class Conclusion(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    conclusion: Conclusion
    outputs: tuple[tuple[str, str], ...] = ()
    """Sorted by name; at most `limits.MAX_OUTPUT_BYTES` together."""
    error: str = ""
    """Why it failed, in one line; '' where the log says it all."""
    log: BlobHash | None = None
    log_size: int = 0
    started_ms: int = 0
    """Wall time, for information only; 0 when no step ran."""
    finished_ms: int = 0
    resolved: Plan | None = None
    """Of the job `ids.RESOLVE`: the plan found at the remote, its source carrying the commit. Of a job whose key begins
    with `ids.EXPAND`: a plan whose jobs take its place; they need nothing outside of it."""
