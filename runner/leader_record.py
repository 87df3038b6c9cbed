"""Word of a job's leader in the attempt's folder, for a host that comes later: should a host be killed together with
the job's keeper and the warden, what they left is found by it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgpack

from clockmesh.runner.proctree import boot_id, end_session, look_up

RECORD = "pid"
_ROOM = 128
"""Bytes of a record."""


def prepare_record(folder: Path) -> None:
    """Take the disk's room before the leader is forked; OSError when there is none."""
    (folder / RECORD).write_bytes(bytes(_ROOM))


def record_leader(folder: Path, pid: int) -> None:
    leader = look_up(pid)
    if leader is not None:
        data = msgpack.packb([boot_id(), leader.pid, leader.started])
        with suppress(OSError), (folder / RECORD).open("r+b") as file:  # one job's record must not end the others
            file.write(data)
            file.truncate()


def end_recorded(folder: Path) -> int:
    """End what the recorded leader left running; how many processes."""
    try:
        boot, leader, started = msgpack.unpackb((folder / RECORD).read_bytes())
    except (OSError, ValueError, TypeError):
        return 0
    count = 0
    while boot == boot_id() and (passed := end_session(leader, started)):
        count += passed
        time.sleep(0.005)
    (folder / RECORD).unlink(missing_ok=True)
    return count
