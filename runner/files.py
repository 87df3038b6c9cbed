"""Writing files so that a reader, or the next start after a crash, sees the old content or the new, never a part; and
removing trees that jobs made."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Atomic: a temporary file beside `path`, fsync where `durable`, rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


class RoomForFile:
    """A file that will be written whole, for which the disk's room is taken in advance: a job that fills the disk can
    still say how it ended."""

    def __init__(self, path: Path, size: int) -> None:
        """Takes room for `size` bytes; OSError when there is none."""
        self._path = path
        self._beside = path.with_name(f"{path.name}-room")
        self._handle = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._handle, 0, size)

    def write(self, data: bytes) -> None:
        """Once. Durable and atomic; OSError when `data` is larger than the room, and the disk full."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._handle, left) :]
        os.ftruncate(self._handle, len(data))
        os.fsync(self._handle)
        os.close(self._handle)
        self._beside.rename(self._path)


def read_beneath(root: Path, name: str, limit: int) -> bytes:
    """A file below `root`, whose files are a stranger's: never one outside of it, whatever links and pipes there are.
    OSError; EFBIG when it has more than `limit` bytes."""
    real, folder = root.resolve(), os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = (real / name).resolve()
        if not path.is_relative_to(real):
            raise OSError(errno.EXDEV, "it is outside of the folder", name)
        *above, last = path.relative_to(real).parts or (".",)
        for part in above:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", name)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", name)
    return data


def remove_tree(folder: Path) -> None:
    """Remove it with all that is in it, folders without write permission too; what cannot go stays. Never raises."""
    shutil.rmtree(folder, onerror=_insist)


def _insist(function: Callable[..., object], path: str, _: object) -> None:
    """Called by rmtree for what it could not remove: once more, with write permission on the folder around it."""
    with suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            if function is not os.rmdir:
                shutil.rmtree(path, ignore_errors=True)
                return
        function(path)
