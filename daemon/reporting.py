"""What an attempt leaves beside its result, annotations and step summaries: from the runner host's files to the report
that goes into the clock."""

from __future__ import annotations

from pathlib import Path

import structlog

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.errors import TooLarge
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.reports import Annotation, Report
from clockmesh.runner.annotations import unpacked

log = structlog.get_logger()


def report_of(folder: Path, blobs: BlobStore) -> Report:
    """Of the attempt whose directory this is; its summary becomes a blob. Reads and writes files."""
    annotations, more = _annotations(folder / "annotations")
    summary = folder / "summary"
    if not summary.exists():
        return Report(annotations, more)
    try:
        blob = blobs.put_file(summary)
    except (TooLarge, OSError) as error:
        log.warning("report_cut", part="summary", folder=folder.name, error=str(error))
        return Report(annotations, more)
    return Report(annotations, more, blob, blobs.path(blob).stat().st_size)


def _annotations(path: Path) -> tuple[tuple[Annotation, ...], int]:
    """A job's own processes can reach the file where there is no sandbox, so it is read like a stranger's."""
    try:
        return unpacked(path.read_bytes())
    except FileNotFoundError:
        return (), 0
    except (OSError, RemoteError) as error:
        log.warning("report_cut", part="annotations", folder=path.parent.name, error=str(error))
        return (), 0
