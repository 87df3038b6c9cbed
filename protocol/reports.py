"""What a job says beside its result, annotations and step summaries. It is for people: nothing that peers decide rests
on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.ids import BlobHash, JobKey, RunId


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One `::error::`, `::warning::` or `::notice::` of a step."""

    level: Level
    message: str
    """May have several lines."""
    step: str
    """The name of the step that said it."""
    title: str = ""
    file: str = ""
    line: int = 0
    """0: none was given; `column` likewise."""
    column: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    annotations: tuple[Annotation, ...] = ()
    """In the order said; bounded by `limits.MAX_ANNOTATIONS` and `MAX_ANNOTATION_BYTES`."""
    more: int = 0
    """So many others are in the log only."""
    summary: BlobHash | None = None
    """The summaries of all steps, one after the other, in Markdown; None without any."""
    summary_size: int = 0
    """Bytes."""


NO_REPORT = Report()


@dataclass(frozen=True, slots=True)
class JobReported:
    """Its author ran this attempt; written in front of the attempt's result."""

    run: RunId
    key: JobKey
    attempt: int
    report: Report
