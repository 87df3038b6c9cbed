"""The fields of a job's report as msgpack values; `event_codec` gives the event its code."""

from __future__ import annotations

from clockmesh.protocol import limits
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import BlobHash, JobKey, RunId
from clockmesh.protocol.reports import Annotation, JobReported, Level, Report
from clockmesh.protocol.wire import array, fields, integer, line, raw, raw_or_none, text

_LEVELS = {level.value: level for level in Level}


def write_annotation(told: Annotation) -> list[object]:
    return [told.level.value, told.message, told.step, told.title, told.file, told.line, told.column]


def read_annotation(value: object) -> Annotation:
    level, message, step, title, file, row, column = fields(value, "annotation", 7)
    if type(level) is not str or level not in _LEVELS:
        raise RemoteError("level is not one of " + ", ".join(_LEVELS))
    return Annotation(
        level=_LEVELS[level],
        message=text(message, "message", limits.MAX_ANNOTATION),
        step=line(step, "step", limits.MAX_TITLE),
        title=line(title, "title", limits.MAX_TITLE),
        file=line(file, "file", limits.MAX_PATH),
        line=integer(row, "line", 0, limits.MAX_ATTEMPT),
        column=integer(column, "column", 0, limits.MAX_ATTEMPT),
    )


def annotation_bytes(told: Annotation) -> int:
    """What it counts against `limits.MAX_ANNOTATION_BYTES`."""
    return sum(len(part.encode()) for part in (told.message, told.step, told.title, told.file))


def write_reported(event: JobReported) -> list[object]:
    report = event.report
    told = [write_annotation(annotation) for annotation in report.annotations]
    return [event.run, event.key, event.attempt, told, report.more, report.summary, report.summary_size]


def read_reported(rest: list[object]) -> JobReported:
    run, key, attempt, told, more, summary, size = rest
    annotations = tuple(read_annotation(each) for each in array(told, "annotations", limits.MAX_ANNOTATIONS))
    if sum(map(annotation_bytes, annotations)) > limits.MAX_ANNOTATION_BYTES:
        raise RemoteError(f"annotations are above {limits.MAX_ANNOTATION_BYTES} bytes together")
    blob = raw_or_none(summary, "summary", 32)
    return JobReported(
        run=RunId(raw(run, "run id", 32)),
        key=JobKey(line(key, "job key", limits.MAX_KEY, 1)),
        attempt=integer(attempt, "attempt", 1, limits.MAX_ATTEMPT),
        report=Report(
            annotations=annotations,
            more=integer(more, "more"),
            summary=None if blob is None else BlobHash(blob),
            summary_size=integer(size, "summary size", 0, limits.MAX_BLOB_BYTES),
        ),
    )
