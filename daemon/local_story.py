"""What is seen of a run on this machine: its lines as they come, and at the end one record of it all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from clockmesh.daemon.text import clean, coloured, log_text, span
from clockmesh.protocol.ids import JobKey
from clockmesh.protocol.plan import Plan, PlannedJob
from clockmesh.protocol.result import Conclusion, Result

if TYPE_CHECKING:
    from clockmesh.daemon.local import Outcome


_LEG = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class _Tail:
    """One job's folder, and how far its log was read."""

    folder: Path
    log: BinaryIO | None = None
    rest: bytes = b""

    def more(self) -> list[dict[str, str]]:
        """The whole lines that have come."""
        if self.log is None:
            try:
                self.log = (self.folder / "log").open("rb")
            except FileNotFoundError:
                return []
        *lines, self.rest = (self.rest + self.log.read()).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        if self.log is not None:
            self.log.close()


class Story:
    """Tells of one run while it goes on, and remembers what it told."""

    def __init__(
        self, plan: Plan, say: Callable[[str], None], *, colour: bool = False, keep: bool = True
    ) -> None:
        """`keep`: a record of it all will be wanted."""
        self._say = say
        self._keep = keep
        self._colour = colour
        self._about: dict[JobKey, dict[str, Any]] = {}
        self.planned(plan.jobs)
        self._tails: dict[JobKey, _Tail] = {}
        self.logs: list[dict[str, Any]] = []
        """In the order in which they were seen: job, matrix, step, text."""
        self.summaries: dict[JobKey, str] = {}

    def planned(self, jobs: Iterable[PlannedJob]) -> None:
        """These jobs are part of the run. One of a called workflow is `call/inner`, whichever leg calls it."""
        for job in jobs:
            name = _LEG.sub("", job.job_id)
            self._about[job.key] = {"job": name, "matrix": json.loads(job.matrix) if job.matrix else {}}

    def starting(self, key: JobKey, folder: Path) -> None:
        self._tails[key] = _Tail(folder)

    def catch_up(self) -> None:
        """Tell what the jobs have logged meanwhile."""
        for key, tail in self._tails.items():
            self._tell(key, tail)

    def ended(self, key: JobKey, result: Result) -> None:
        if tail := self._tails.pop(key, None):
            self._tell(key, tail)
            tail.close()
            self.summaries[key] = _text(tail.folder / "summary")
        took = f" in {span((result.finished_ms - result.started_ms) / 1000)}" if result.started_ms else ""
        error = f": {clean(result.error)}" if result.error else ""
        self._say(f"{clean(key)} > {coloured(result.conclusion, self._colour)}{took}{error}")

    def waiting(self, group: str) -> None:
        self._say(f"waiting for the concurrency group '{clean(group)}'")

    def cancelling(self) -> None:
        self._say("cancelling: jobs get ten seconds, then their steps with `if: always()`; once more kills them")

    def _tell(self, key: JobKey, tail: _Tail) -> None:
        for line in tail.more():
            if self._keep:
                self.logs.append({**self._about[key], "step": line["step"], "text": line["text"]})
            self._say(f"{clean(key)} | {log_text(line['text'], self._colour)}")

    def record(self, outcome: Outcome, run_name: str, wall_s: float) -> dict[str, Any]:
        """All that was seen, for programs. A run in which nothing had to run is a success."""
        run = outcome.run
        result = Conclusion.SUCCESS if run.conclusion in (None, Conclusion.SKIPPED) else run.conclusion
        jobs = [{**self._about[job.key], "result": str(job.conclusion)} for job in run.jobs]
        errors = [f"{job.key}: {job.error}" for job in run.jobs if job.error]
        summary = "".join(self.summaries.get(job.key, "") for job in run.jobs)
        return _record(str(result), run_name, jobs, self.logs, summary, outcome.outputs, errors, wall_s)


def refused(error: str, wall_s: float) -> dict[str, Any]:
    """The record of a run that never began."""
    return _record("invalid", None, [], [], "", {}, [error], wall_s)


def _record(
    result: str,
    run_name: str | None,
    jobs: list[dict[str, Any]],
    logs: list[dict[str, Any]],
    summary: str,
    outputs: Mapping[str, Mapping[str, str]],
    errors: list[str],
    wall_s: float,
) -> dict[str, Any]:
    return {
        "v": 1,
        "result": result,
        "run_name": run_name,
        "jobs": jobs,
        "logs": logs,
        "summary": summary,
        "outputs": outputs,
        "errors": "\n".join(errors),
        "wall_s": round(wall_s, 3),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
