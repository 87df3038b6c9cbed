"""What two peers say on a stream: one request, then its answers. Each message is the payload of one frame,
[code, field, ...].

    JoinRequest  -> JoinAccepted..., the last with more=False; or JoinRefused
    SyncRequest  -> SyncNodes..., SyncDone
    NodesRequest -> those that are there, as for SyncRequest
    BlobRequest  -> BlobManifest, BlobChunk...; or BlobMissing
    BlobsRequest -> the same for each blob, in the order asked for
    LogRequest   -> LogData..., LogEnd
    any          -> Refused
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clockmesh.protocol import limits
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.event_codec import INVITATION_BYTES, read_description, write_description
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import BlobHash, JobKey, MeshId, NodeHash, PeerId, RunId
from clockmesh.protocol.invitation import SECRET_BYTES
from clockmesh.protocol.vector import read_vector, write_vector
from clockmesh.protocol.wire import array, clean_line, flag, integer, line, pack, raw, raw_upto, unpack

_MAX_CHUNKS = limits.MAX_BLOB_BYTES // limits.CHUNK_BYTES
_NODES_BYTES = limits.MAX_FRAME - 1024
"""Bytes of nodes in one message, so that its frame holds them and what is around them."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    invitation: bytes
    """16 bytes."""
    secret: bytes = field(repr=False)
    """32 bytes."""
    description: Description


@dataclass(frozen=True, slots=True)
class JoinAccepted:
    """The mesh's nodes in causal order, in as many messages as it takes."""

    mesh: MeshId
    nodes: tuple[bytes, ...]
    more: bool
    """Another one follows."""


@dataclass(frozen=True, slots=True)
class JoinRefused:
    reason: str


@dataclass(frozen=True, slots=True)
class SyncRequest:
    vector: Mapping[PeerId, int]
    """What the asker has."""


@dataclass(frozen=True, slots=True)
class SyncNodes:
    """Nodes that the asker lacks, in causal order over all messages of one answer."""

    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NodesRequest:
    """For what vectors do not tell apart: branches of a forked author."""

    hashes: tuple[NodeHash, ...]
    """At most MAX_PARENTS; none: the answerer's heads."""


@dataclass(frozen=True, slots=True)
class SyncDone:
    vector: Mapping[PeerId, int]
    """What the answerer has."""


@dataclass(frozen=True, slots=True)
class BlobRequest:
    blob: BlobHash
    first_chunk: int
    """Where to go on; 0 for all."""


@dataclass(frozen=True, slots=True)
class BlobsRequest:
    blobs: tuple[BlobHash, ...]
    """At most MAX_BLOBS_ASKED."""


@dataclass(frozen=True, slots=True)
class BlobManifest:
    size: int
    chunks: tuple[bytes, ...]
    """SHA-256 of each chunk."""


@dataclass(frozen=True, slots=True)
class BlobChunk:
    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BlobMissing:
    blob: BlobHash


@dataclass(frozen=True, slots=True)
class LogRequest:
    run: RunId
    key: JobKey
    attempt: int
    """0 for the newest that the answerer has."""
    offset: int
    """Bytes to skip."""
    follow: bool
    """Wait for more until the attempt has ended."""


@dataclass(frozen=True, slots=True)
class LogData:
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LogEnd:
    total: int
    """Bytes of the log as it stands."""
    known: bool
    """False: the answerer never had this log."""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


Message = (
    JoinRequest
    | JoinAccepted
    | JoinRefused
    | SyncRequest
    | SyncNodes
    | SyncDone
    | BlobRequest
    | NodesRequest
    | BlobsRequest
    | BlobManifest
    | BlobChunk
    | BlobMissing
    | LogRequest
    | LogData
    | LogEnd
    | Refused
)


def encode_message(message: Message) -> bytes:
    """A frame's payload; LocalError if a peer would refuse it. A reason is cut to one line that fits."""
    kind = _BY_TYPE[type(message)]
    written = kind.write(message)
    try:
        kind.read(written)
    except RemoteError as error:
        raise LocalError(f"{type(message).__name__}: {error}") from error
    data = pack([kind.code, *written])
    if len(data) > limits.MAX_FRAME:
        raise LocalError(f"{type(message).__name__} of {len(data)} bytes is above {limits.MAX_FRAME}")
    return data


def decode_message(data: bytes) -> Message:
    """RemoteError unless `data` is one whole message within its limits."""
    if len(data) > limits.MAX_FRAME:
        raise RemoteError(f"a message of {len(data)} bytes is above {limits.MAX_FRAME}")
    code, *rest = array(unpack(data), "message", 8, 1)
    kind = _BY_CODE.get(integer(code, "message code", 1, limits.MAX_CODE))
    if kind is None:
        raise RemoteError(f"no message has the code {code}")
    if len(rest) != kind.count:
        raise RemoteError(f"{kind.message.__name__} must have {kind.count} fields")
    return kind.read(rest)


def batches(nodes: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Nodes grouped so that each group fits one SyncNodes or JoinAccepted; none for no nodes."""
    group: list[bytes] = []
    size = 0
    for data in nodes:
        cost = len(data) + 5  # the longest msgpack header of bytes
        if group and (size + cost > _NODES_BYTES or len(group) == limits.MAX_ARRAY):
            yield tuple(group)
            group, size = [], 0
        group.append(data)
        size += cost
    if group:
        yield tuple(group)


def _read_join(rest: list[object]) -> JoinRequest:
    return JoinRequest(
        invitation=raw(rest[0], "invitation", INVITATION_BYTES),
        secret=raw(rest[1], "secret", SECRET_BYTES),
        description=read_description(rest[2]),
    )


def _read_nodes(value: object) -> tuple[bytes, ...]:
    return tuple([raw_upto(data, "node", limits.MAX_NODE_BYTES) for data in array(value, "nodes", limits.MAX_ARRAY)])


def _write_reason(reason: str) -> list[object]:
    return [clean_line(reason, limits.MAX_REASON)]


def _read_reason(value: object) -> str:
    return line(value, "reason", limits.MAX_REASON)


def _read_manifest(rest: list[object]) -> BlobManifest:
    chunks = array(rest[1], "chunks", _MAX_CHUNKS)
    return BlobManifest(
        size=integer(rest[0], "blob size", 0, limits.MAX_BLOB_BYTES),
        chunks=tuple([raw(chunk, "chunk hash", 32) for chunk in chunks]),
    )


def _read_chunk(rest: list[object]) -> BlobChunk:
    index = integer(rest[0], "chunk", 0, _MAX_CHUNKS - 1)
    return BlobChunk(index, raw_upto(rest[1], "chunk data", limits.CHUNK_BYTES))


def _read_blob(value: object) -> BlobHash:
    return BlobHash(raw(value, "blob", 32))


def _read_blobs(value: object) -> tuple[BlobHash, ...]:
    return tuple([_read_blob(blob) for blob in array(value, "blobs", limits.MAX_BLOBS_ASKED)])


def _read_hashes(value: object) -> tuple[NodeHash, ...]:
    return tuple([NodeHash(raw(one, "node hash", 32)) for one in array(value, "node hashes", limits.MAX_PARENTS)])


def _read_log_request(rest: list[object]) -> LogRequest:
    run, key, attempt, offset, follow = rest
    return LogRequest(
        run=RunId(raw(run, "run id", 32)),
        key=JobKey(line(key, "job key", limits.MAX_KEY, 1)),
        attempt=integer(attempt, "attempt", 0, limits.MAX_ATTEMPT),
        offset=integer(offset, "offset"),
        follow=flag(follow, "follow"),
    )


@dataclass(frozen=True, slots=True)
class _Kind:
    code: int
    message: type[Message]
    count: int
    write: Callable[[Any], list[object]]
    read: Callable[[list[object]], Message]


_KINDS = (
    _Kind(1, JoinRequest, 3, lambda m: [m.invitation, m.secret, write_description(m.description)], _read_join),
    _Kind(
        2,
        JoinAccepted,
        3,
        lambda m: [m.mesh, list(m.nodes), m.more],
        lambda r: JoinAccepted(MeshId(raw(r[0], "mesh", 32)), _read_nodes(r[1]), flag(r[2], "more")),
    ),
    _Kind(3, JoinRefused, 1, lambda m: _write_reason(m.reason), lambda r: JoinRefused(_read_reason(r[0]))),
    _Kind(10, SyncRequest, 1, lambda m: [write_vector(m.vector)], lambda r: SyncRequest(read_vector(r[0]))),
    _Kind(11, SyncNodes, 1, lambda m: [list(m.nodes)], lambda r: SyncNodes(_read_nodes(r[0]))),
    _Kind(13, NodesRequest, 1, lambda m: [list(m.hashes)], lambda r: NodesRequest(_read_hashes(r[0]))),
    _Kind(12, SyncDone, 1, lambda m: [write_vector(m.vector)], lambda r: SyncDone(read_vector(r[0]))),
    _Kind(
        20,
        BlobRequest,
        2,
        lambda m: [m.blob, m.first_chunk],
        lambda r: BlobRequest(_read_blob(r[0]), integer(r[1], "first chunk", 0, _MAX_CHUNKS)),
    ),
    _Kind(21, BlobManifest, 2, lambda m: [m.size, list(m.chunks)], _read_manifest),
    _Kind(22, BlobChunk, 2, lambda m: [m.index, m.data], _read_chunk),
    _Kind(23, BlobMissing, 1, lambda m: [m.blob], lambda r: BlobMissing(_read_blob(r[0]))),
    _Kind(24, BlobsRequest, 1, lambda m: [list(m.blobs)], lambda r: BlobsRequest(_read_blobs(r[0]))),
    _Kind(30, LogRequest, 5, lambda m: [m.run, m.key, m.attempt, m.offset, m.follow], _read_log_request),
    _Kind(
        31,
        LogData,
        2,
        lambda m: [m.offset, m.data],
        lambda r: LogData(integer(r[0], "offset"), raw_upto(r[1], "log data", limits.MAX_LOG_DATA)),
    ),
    _Kind(
        32,
        LogEnd,
        2,
        lambda m: [m.total, m.known],
        lambda r: LogEnd(integer(r[0], "total"), flag(r[1], "known")),
    ),
    _Kind(40, Refused, 1, lambda m: _write_reason(m.reason), lambda r: Refused(_read_reason(r[0]))),
)
_BY_CODE = {kind.code: kind for kind in _KINDS}
_BY_TYPE = {kind.message: kind for kind in _KINDS}
