"""Content named by its hash: one file each in <home>/blobs, whole and durable under its name or not there at all.

A blob's name commits to the hashes of its chunks (protocol.blobs), so a fetched blob is checked chunk by chunk as it
arrives, and what a disk has damaged is found when it is next served.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import trio

from clockmesh.daemon.errors import TooLarge
from clockmesh.daemon.identity import sync_folder
from clockmesh.protocol.blobs import Manifest, ManifestMaker
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.limits import CHUNK_BYTES, MAX_BLOB_BYTES

_MANIFESTS_KEPT = 32
"""At most 64 KiB each; saves hashing a large blob again for each peer that fetches it."""


class BlobStore:
    """The blobs of one home. Methods without `async` touch the disk: call them from a worker thread where the content
    is large."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._drafts = itertools.count(1)
        self._manifests: dict[BlobHash, Manifest] = {}
        self._unsettled: set[BlobHash] = set()
        """In place, but a crash could still take their names away."""
        for draft in folder.glob("draft-*"):
            draft.unlink(missing_ok=True)
        sync_folder(folder)

    def path(self, blob: BlobHash) -> Path:
        """Where its bytes are, if `has(blob)`. Read only."""
        return self._folder / blob.hex()

    def has(self, blob: BlobHash) -> bool:
        return self.path(blob).exists()

    def keeps(self, blob: BlobHash) -> bool:
        """It is here, durably."""
        return blob not in self._unsettled and self.has(blob)

    def manifest(self, blob: BlobHash) -> Manifest | None:
        """Its size and chunk hashes, read from the content; None when it is not here, or no longer what its name says
        (then it is dropped, to be fetched again)."""
        if known := self._manifests.get(blob):
            return known
        maker = ManifestMaker()
        try:
            with self.path(blob).open("rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    maker.feed(piece)
        except FileNotFoundError:
            return None
        manifest = maker.finish()
        if manifest.blob != blob:
            self.path(blob).unlink(missing_ok=True)
            return None
        if len(self._manifests) >= _MANIFESTS_KEPT:
            self._manifests.pop(next(iter(self._manifests)))
        self._manifests[blob] = manifest
        return manifest

    def chunk(self, blob: BlobHash, index: int) -> bytes:
        with self.path(blob).open("rb") as file:
            file.seek(index * CHUNK_BYTES)
            return file.read(CHUNK_BYTES)

    def get(self, blob: BlobHash) -> bytes | None:
        """All of its bytes; for small content."""
        return self.path(blob).read_bytes() if self.has(blob) else None

    def put(self, data: bytes) -> BlobHash:
        """Keep `data`, durably; TooLarge."""
        return self.put_pieces((data,))

    def put_file(self, path: Path, limit: int = MAX_BLOB_BYTES) -> BlobHash:
        """Keep a copy of a file's first `limit` bytes, durably."""
        with path.open("rb") as file:
            left = limit
            draft = self.draft()
            try:
                while left and (piece := file.read(min(CHUNK_BYTES, left))):
                    draft.write(piece)
                    left -= len(piece)
                return draft.keep()
            finally:
                draft.discard()

    def adopt(self, path: Path) -> BlobHash:
        """Keep a file that nobody writes any more, durably, as it lies there: a link to it takes no room. What is no
        file with one name, or on another disk, is copied. It has at most MAX_BLOB_BYTES."""
        maker = ManifestMaker()
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            while piece := file.read(CHUNK_BYTES):
                maker.feed(piece)
            blob = maker.finish().blob
            status = os.fstat(file.fileno())
            if not self.has(blob) and (not stat.S_ISREG(status.st_mode) or status.st_nlink > 1):
                return self.put_file(path)
            if status.st_uid != os.geteuid():
                os.fchown(file.fileno(), os.geteuid(), os.getegid())  # it was the job's user's
            os.fsync(file.fileno())
        if not self.has(blob):
            self._unsettled.add(blob)
            try:
                os.link(path, self.path(blob), follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                    raise
                return self.put_file(path)
        if blob in self._unsettled:
            sync_folder(self._folder)
            self._unsettled.discard(blob)
        return blob

    def put_pieces(self, pieces: Iterable[bytes], limit: int | None = None) -> BlobHash:
        draft = self.draft(limit)
        try:
            for piece in pieces:
                draft.write(piece)
            return draft.keep()
        finally:
            draft.discard()

    async def put_stream(self, pieces: AsyncIterator[bytes], limit: int | None = None) -> BlobHash:
        """Keep what comes, durably; TooLarge above `limit` bytes (default limits.MAX_BLOB_BYTES)."""
        draft = self.draft(limit)
        try:
            async for piece in pieces:
                draft.write(piece)
            return await trio.to_thread.run_sync(draft.keep)
        finally:
            draft.discard()

    def keep_all(self, drafts: Mapping[BlobHash, Draft]) -> None:
        """Give each draft its name, durably; they are what their names say, as a fetch has checked."""
        for blob, draft in drafts.items():
            draft.put_in_place(blob)
        sync_folder(self._folder)
        self._unsettled.difference_update(drafts)

    def draft(self, limit: int | None = None) -> Draft:
        """A blob in the making."""
        path = self._folder / f"draft-{os.getpid()}-{next(self._drafts)}"
        return Draft(path, self._unsettled, limit or MAX_BLOB_BYTES)


class Draft:
    """Bytes on their way to become a blob: `write` them, then `keep`; `discard` always (harmless after `keep`)."""

    def __init__(self, path: Path, unsettled: set[BlobHash], limit: int) -> None:
        self._path = path
        self._unsettled = unsettled
        self._limit = limit
        self._file: BinaryIO | None = None
        self._held = bytearray()
        """All of it while it is small: what turns out to be here already costs no file."""
        self._size = 0
        self._maker = ManifestMaker()

    def write(self, data: bytes) -> None:
        """TooLarge above the limit."""
        if self._size + len(data) > self._limit:
            raise TooLarge(f"content above {self._limit // 1024} KiB; leave large files out of the work tree, or fetch "
                           "them in a step")
        self._maker.feed(data)
        self._size += len(data)
        if self._file is None and self._size <= CHUNK_BYTES:
            self._held += data
        else:
            self._opened().write(data)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(handle, "wb")
            self._file.write(self._held)
            self._held.clear()
        return self._file

    def keep(self) -> BlobHash:
        """Give it its name; durable. The same content twice is one blob."""
        blob = self._maker.finish().blob
        self._settle(blob)
        return blob

    def keep_as(self, blob: BlobHash) -> None:
        """`keep`, refusing with RemoteError what is not this blob."""
        if self._maker.finish().blob != blob:
            raise RemoteError("the content is not what the blob's name says")
        self._settle(blob)

    def _settle(self, blob: BlobHash) -> None:
        self.put_in_place(blob)
        if blob in self._unsettled:
            sync_folder(self._path.parent)
            self._unsettled.discard(blob)

    def put_in_place(self, blob: BlobHash) -> None:
        """All of `keep_as` but the check and the folder's sync."""
        place = self._path.with_name(blob.hex())
        if not place.exists():
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            self._unsettled.add(blob)
            os.replace(self._path, place)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
