"""The reserve: what a full disk refuses, and what it must not stop. On a real small disk where one can be mounted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from clockmesh.daemon import reserve as module
from clockmesh.daemon.errors import DiskLow
from clockmesh.daemon.reserve import MARGIN, MIB, Reserve


class Disk:
    """What statvfs says of a disk whose only file is the reserve."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.used = 0

    def statvfs(self, folder: Path) -> Disk:
        return self

    @property
    def f_bavail(self) -> int:
        held = self.path.stat().st_size if self.path.exists() else 0
        return max(0, self.size - self.used - held)

    f_frsize = 1


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "reserve", 64 * MIB)
    monkeypatch.setattr(module.os, "statvfs", disk.statvfs)
    return disk


def test_with_room_the_reserve_is_taken_and_new_work_is_taken_on(disk: Disk) -> None:
    reserve = Reserve(disk.path, 8 * MIB)
    assert disk.path.stat().st_size == 8 * MIB
    assert disk.path.stat().st_blocks * 512 >= 8 * MIB, "room is held, not only promised"
    with reserve.new_work():
        pass
    assert reserve.left == 64 * MIB


def test_new_work_is_refused_before_the_reserve_is_touched(disk: Disk) -> None:
    reserve = Reserve(disk.path, 8 * MIB)
    disk.used = 64 * MIB - 8 * MIB - MARGIN + 1
    with pytest.raises(DiskLow, match="has 11 MiB left; a reserve of 8 MiB is kept") as caught, reserve.new_work():
        raise AssertionError("nothing is begun")
    assert caught.value.exit == 7
    assert disk.path.stat().st_size == 8 * MIB


def test_a_write_that_fills_the_disk_on_its_way_is_refused_alike(disk: Disk) -> None:
    reserve = Reserve(disk.path, 8 * MIB)
    with pytest.raises(DiskLow), reserve.new_work():
        raise OSError(errno.ENOSPC, "no space left")
    with pytest.raises(PermissionError), reserve.new_work():
        raise OSError(errno.EPERM, "not that")


def test_what_was_promised_draws_on_the_reserve_piece_by_piece(disk: Disk) -> None:
    reserve = Reserve(disk.path, 8 * MIB)
    disk.used = 56 * MIB
    tries = []

    def work() -> str:
        tries.append(disk.f_bavail)
        if disk.f_bavail < 3 * MIB:
            raise OSError(errno.ENOSPC, "no space left")
        return "done"

    assert reserve.within(work) == "done"
    assert tries == [0, MIB, 2 * MIB, 3 * MIB]
    assert disk.path.stat().st_size == 5 * MIB
    with pytest.raises(DiskLow):
        reserve.refuse_when_low()


def test_a_used_up_reserve_and_other_errors_are_told(disk: Disk) -> None:
    reserve = Reserve(disk.path, 2 * MIB)

    def full() -> None:
        raise OSError(errno.ENOSPC, "no space left")

    def broken() -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        reserve.within(broken)
    assert disk.path.stat().st_size == 2 * MIB
    with pytest.raises(OSError, match="no space"):
        reserve.within(full)
    assert disk.path.stat().st_size == 0
    assert not reserve.give()


def test_new_work_comes_back_only_once_the_reserve_is_whole_again(disk: Disk) -> None:
    reserve = Reserve(disk.path, 8 * MIB)
    disk.used = 60 * MIB
    assert reserve.give()
    disk.used = 64 * MIB - 8 * MIB - 2 * MARGIN + 1
    assert reserve.look(), "a byte short of the reserve and its margin"
    assert disk.path.stat().st_size == 7 * MIB
    disk.used -= 1
    assert not reserve.look()
    assert disk.path.stat().st_size == 8 * MIB
    disk.used += MARGIN
    assert not reserve.look(), "it does not change its mind with every file"
    disk.used += 1
    assert reserve.look()


def test_a_disk_too_small_for_the_reserve_is_low_from_the_start(disk: Disk) -> None:
    disk.size = 12 * MIB
    assert Reserve(disk.path, 8 * MIB).low
    assert not Reserve(disk.path, 4 * MIB).low


def test_a_larger_reserve_of_an_earlier_start_shrinks(disk: Disk) -> None:
    Reserve(disk.path, 8 * MIB)
    assert not Reserve(disk.path, 4 * MIB).low
    Reserve(disk.path, 4 * MIB).give()
    reserve = Reserve(disk.path, 4 * MIB)
    assert (reserve.low, os.stat(disk.path).st_size) == (False, 4 * MIB)
