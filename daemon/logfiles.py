"""Reading a log that may still grow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import trio

from clockmesh.protocol.limits import MAX_LOG_DATA

_LOOK_SECONDS = 0.1
"""Between two looks at a growing file: a follower sees a line within this, and an idle one costs ten reads a second.
(The kernel's notification of changes is not in Python's library.)"""


async def follow_file(path: Path, offset: int, ended: trio.Event | None) -> AsyncIterator[bytes]:
    """The bytes of `path` from `offset`, in pieces of at most MAX_LOG_DATA: what there is and, with `ended`, what comes
    until it is set. A file that does not exist yet is empty."""
    while True:
        last = ended is None or ended.is_set()
        while piece := await trio.to_thread.run_sync(_read, path, offset):
            offset += len(piece)
            yield piece
        if ended is None or last:
            return
        with trio.move_on_after(_LOOK_SECONDS):
            await ended.wait()


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(MAX_LOG_DATA)
    except FileNotFoundError:
        return b""
