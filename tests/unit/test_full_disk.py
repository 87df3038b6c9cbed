"""Each thing that is written to the home, on a disk that is really full."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.errors import StoreError
from clockmesh.daemon.reserve import MIB, Reserve
from clockmesh.daemon.store import Store
from clockmesh.protocol.keys import SigningKey
from clockmesh.runner.files import RoomForFile
from clockmesh.runner.leader_record import end_recorded, prepare_record, record_leader
from clockmesh.runner.logfile import JobLog
from tests.conftest import SmallDisk

KEY = SigningKey.from_seed(b"k" * 32)


def fill(disk: Path, name: str = "filler") -> Path:
    """Take all room of the disk, the last byte too."""
    path = disk / name
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for piece in (bytes(64 * 1024), b"\0"):
        with suppress(OSError):
            while True:
                os.write(handle, piece)
    os.close(handle)
    return path


def fact(number: int) -> dict[str, bytes | None]:
    return {f"fact/{number}": bytes(1000)}


def commit_many(store: Store, done: list[int]) -> None:
    for number in range(10_000):
        store.commit((), fact(number))
        done.append(number)


def test_commits_go_on_inside_the_reserve_and_nothing_is_lost(small_disk: SmallDisk) -> None:
    disk = small_disk(16)
    reserve = Reserve(disk / "reserve", 4 * MIB)
    store = Store.open(disk / "state.db", KEY.peer, reserve)
    fill(disk)
    for number in range(200):
        store.commit((), fact(number))
    assert (disk / "reserve").stat().st_size < 4 * MIB
    store.close()
    assert len(Store.open(disk / "state.db", KEY.peer, reserve).facts("fact/")) == 200


def test_a_used_up_reserve_fails_with_one_clear_line_and_room_brings_everything_back(small_disk: SmallDisk) -> None:
    disk = small_disk(16)
    reserve = Reserve(disk / "reserve", MIB)
    store = Store.open(disk / "state.db", KEY.peer, reserve)
    filler = fill(disk)
    kept: list[int] = []
    with pytest.raises(StoreError, match="is full and the reserve is used up: make room there") as caught:
        commit_many(store, kept)
    assert caught.value.exit == 70, "a service manager starts it again; 78 would say that this does not help"
    assert len(kept) > 100
    store.close()
    fill(disk)
    with pytest.raises(StoreError, match="make room there"):
        commit_many(Store.open(disk / "state.db", KEY.peer, reserve), [])
    filler.unlink()
    store = Store.open(disk / "state.db", KEY.peer, Reserve(disk / "reserve", MIB))
    assert len(store.facts("fact/")) == len(kept)
    store.commit((), fact(len(kept)))


def test_a_log_loses_lines_but_never_the_job_and_says_so(small_disk: SmallDisk) -> None:
    disk = small_disk(4)
    log = JobLog(disk / "log")
    log.write("build", ["first"])
    filler = fill(disk)
    for number in range(200):
        log.write("build", [f"{number} " + "x" * 100])
    size = (disk / "log").stat().st_size
    log.write("build", ["lost for certain"])
    assert (disk / "log").stat().st_size == size
    filler.unlink()
    log.write("build", ["after"])
    log.close()
    texts = [json.loads(line)["text"] for line in (disk / "log").read_text().splitlines()]
    lost = texts.index("[the disk is full: lines are missing here]")
    assert texts[0] == "first"
    assert texts[lost:] == ["[the disk is full: lines are missing here]", "after"]
    assert 1 < lost < 200
    assert [text.split()[0] for text in texts[1:lost]] == [str(number) for number in range(lost - 1)]


def test_a_log_that_ends_on_a_full_disk_has_whole_lines(small_disk: SmallDisk) -> None:
    disk = small_disk(4)
    log = JobLog(disk / "log")
    log.write("build", ["the page that it takes has room for some more"])
    fill(disk)
    for _ in range(100):
        log.write("build", ["x" * 101])
    log.close()
    assert (disk / "log").stat().st_size > 1000
    assert all(json.loads(line)["step"] == "build" for line in (disk / "log").read_bytes().splitlines())


def test_a_job_that_filled_the_disk_can_still_say_how_it_ended(small_disk: SmallDisk) -> None:
    disk = small_disk(4)
    prepare_record(disk)
    room = RoomForFile(disk / "result", 64 * 1024)
    fill(disk)
    room.write(b"r" * 64 * 1024)
    assert (disk / "result").read_bytes() == b"r" * 64 * 1024
    fill(disk, "more")
    record_leader(disk, os.getpid())
    assert (disk / "pid").stat().st_size > 0
    assert end_recorded(disk / "nowhere") == 0


def test_a_log_becomes_a_blob_on_a_full_disk(small_disk: SmallDisk) -> None:
    disk = small_disk(4)
    (disk / "log").write_bytes(b"line\n" * 100_000)
    blobs = BlobStore(disk / "blobs")
    fill(disk)
    blob = blobs.adopt(disk / "log")
    assert blobs.get(blob) == b"line\n" * 100_000
    assert blobs.keeps(blob)
    assert blobs.adopt(disk / "log") == blob
    (disk / "log").unlink()
    assert blobs.has(blob)
