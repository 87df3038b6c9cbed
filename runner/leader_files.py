"""What a job's leader leaves in the attempt's folder, as the host reads it: without being led elsewhere by a link, and
no more than a frame to the daemon holds."""

from __future__ import annotations

import stat
import sys
from contextlib import suppress
from pathlib import Path

import msgpack

from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.errors import ProtocolError
from clockmesh.runner.files import read_beneath
from clockmesh.runner.spec import JobSpec, spec_from_map

_LARGEST_RESULT = 32 * 1024 * 1024
"""Of a result file; what a frame to the daemon may hold."""


def remove_links(folder: Path) -> None:
    """What a leader wrote is read by the host and the daemon, which must not be led elsewhere."""
    for name in ("log", "result", "workflow", "summary", "annotations"):
        path = folder / name
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                path.unlink()


def read_result(folder: Path) -> bytes | None:
    """The encoded result; None for none, and for one that cannot be read, which is said."""
    try:
        data = read_beneath(folder, "result", _LARGEST_RESULT)
        decode_result(data)
    except FileNotFoundError:
        return None
    except (OSError, ProtocolError) as error:
        print(f"clockmesh host: {folder}/result is unreadable: {error}", file=sys.stderr, flush=True)
        return None
    return data


def read_spec(folder: Path) -> JobSpec | None:
    """What the attempt was started with, written by a host; None when it is not there or not whole."""
    try:
        return spec_from_map(msgpack.unpackb((folder / "spec").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, ProtocolError):
        return None


def workflow_of(folder: Path) -> str:
    """The path of a workflow that the attempt resolved; '' for none."""
    path = folder / "workflow"
    return str(path) if path.exists() else ""
