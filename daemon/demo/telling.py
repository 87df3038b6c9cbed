"""How the demo talks: chapters, commands, and the daemons' own log events as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clockmesh.daemon.demo.peers import Mesh

_TOLD = {
    "tick_submitted": "submits the tick of {due:.16}  ->  run {run:.12}",
    "job_claimed": "claims {job}, attempt {attempt} (distances: {order})",
    "claim_granted": "grants {job}, attempt {attempt}, to {claimant}",
    "claim_released": "releases {job}, attempt {attempt}",
    "attempt_started": "starts {job}, attempt {attempt}, as process {pid}",
    "attempt_lost": "declares {job}, attempt {attempt}, lost",
    "result_proposed": "proposes the result of {job}: {conclusion}",
}
"""The log events worth telling, and how."""


@dataclass
class Teller:
    """Prints the story on standard output, each line with the seconds since the beginning."""

    began: float = field(default_factory=time.monotonic)
    _mesh: Mesh | None = None
    _read: dict[str, int] = field(default_factory=dict)

    def follow(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def chapter(self, title: str) -> None:
        print(f"\n== {title}", flush=True)

    def act(self, what: str) -> None:
        """A command that is typed."""
        print(f"{self._clock()} $ {what}", flush=True)

    def line(self, what: str) -> None:
        print(f"{self._clock()}   {what}", flush=True)

    def text(self, text: str) -> None:
        """What a command printed."""
        for line in text.rstrip().splitlines():
            print(f"         | {line}", flush=True)

    def news(self) -> None:
        """What the daemons have logged since the last time, in order of time."""
        events = sorted(self._new_events(), key=lambda pair: str(pair[1].get("timestamp", "")))
        for name, event in events:
            wording = _TOLD.get(str(event.get("event")))
            if wording is not None:
                self.line(f"{name} " + wording.format_map(_Fields(event)))

    def _new_events(self) -> Iterable[tuple[str, dict[str, object]]]:
        for peer in self._mesh or ():
            if not peer.log.exists():
                continue
            with peer.log.open("rb") as log:
                log.seek(self._read.get(peer.name, 0))
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    self._read[peer.name] = self._read.get(peer.name, 0) + len(line)
                    if line.startswith(b"{"):
                        yield peer.name, json.loads(line)

    def _clock(self) -> str:
        return f"{time.monotonic() - self.began:6.1f} s"


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)]
    return "\n".join(line.rstrip() for line in lines)
