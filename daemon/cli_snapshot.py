"""The submitter's work tree, packed in this process and sent to the daemon as a blob."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from clockmesh.daemon.client import Client
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.protocol.limits import CHUNK_BYTES, MAX_BLOB_BYTES
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.snapshot import make_snapshot


def upload_snapshot(client: Client, file: str) -> tuple[str, dict[str, Any]]:
    """The workflow's path in the work tree that holds `file`, and the tree's snapshot as a submission names it."""
    try:
        made = make_snapshot(Path(file), limit=MAX_BLOB_BYTES)
    except RunnerError as error:
        raise Trouble(Exit.USAGE, "no_snapshot", f"{file}: {error}", {"file": file}) from None
    with made.file:
        blob = client.upload("/v1/blobs", _parts(made.file))["blob"]
    taken = made.snapshot
    path = Path(file).resolve().relative_to(made.root.resolve()).as_posix()
    return path, {"blob": blob, "size": taken.size, "sha": taken.sha, "ref": taken.ref, "origin": taken.origin}


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(CHUNK_BYTES):
        yield part
