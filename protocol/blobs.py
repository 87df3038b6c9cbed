"""Content named by its hash. A name commits to the hashes of all 128 KiB chunks, so each is checked as it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.limits import CHUNK_BYTES, MAX_BLOB_BYTES
from clockmesh.protocol.wire import pack


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a blob is made of."""

    size: int
    """Bytes in all."""
    chunks: tuple[bytes, ...]
    """SHA-256 of each chunk, 32 bytes: `CHUNK_BYTES` long, the last maybe shorter; none for an empty blob."""

    @property
    def blob(self) -> BlobHash:
        return blob_hash(self.size, self.chunks)

    def chunk_size(self, index: int) -> int:
        """Bytes of chunk `index`, which counts from 0."""
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)


def blob_hash(size: int, chunk_hashes: Sequence[bytes]) -> BlobHash:
    """The name of the blob with this size and these chunks."""
    return BlobHash(sha256(b"clockmesh/blob/1\0" + pack([size, list(chunk_hashes)])).digest())


def manifest_of(data: bytes) -> Manifest:
    """LocalError above 256 MiB."""
    maker = ManifestMaker()
    maker.feed(data)
    return maker.finish()


class ManifestMaker:
    """The manifest of content that comes in pieces of any length; holds at most one chunk."""

    __slots__ = ("_chunks", "_rest", "_size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._rest = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """LocalError once the content is above 256 MiB."""
        self._size += len(data)
        if self._size > MAX_BLOB_BYTES:
            raise LocalError(f"a blob may have {MAX_BLOB_BYTES} bytes at most")
        view = memoryview(data)
        while view:
            piece = view[: CHUNK_BYTES - len(self._rest)]
            view = view[len(piece) :]
            self._rest += piece
            if len(self._rest) == CHUNK_BYTES:
                self._close_chunk()

    def finish(self) -> Manifest:
        if self._rest:
            self._close_chunk()
        return Manifest(self._size, tuple(self._chunks))

    def _close_chunk(self) -> None:
        self._chunks.append(sha256(self._rest).digest())
        self._rest.clear()


def check_manifest(blob: BlobHash, manifest: Manifest) -> None:
    """RemoteError unless `manifest` is the one that `blob` names."""
    if len(manifest.chunks) != -(-manifest.size // CHUNK_BYTES):
        raise RemoteError("a manifest's chunks do not make up its size")
    if manifest.blob != blob:
        raise RemoteError("a manifest is not the one that its blob names")


def check_chunk(manifest: Manifest, index: int, data: bytes) -> None:
    """RemoteError unless `data` is chunk `index` of the blob."""
    if not 0 <= index < len(manifest.chunks):
        raise RemoteError(f"a blob of {len(manifest.chunks)} chunks has no chunk {index}")
    if len(data) != manifest.chunk_size(index) or sha256(data).digest() != manifest.chunks[index]:
        raise RemoteError(f"chunk {index} is not what its blob names")
