"""Vectors: how much of each author a clock holds, as {author: highest seq}. Authors without a node do not appear."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from clockmesh.protocol.event_codec import read_peer
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.limits import MAX_AUTHORS
from clockmesh.protocol.wire import array, ascending, fields, integer, pack, unpack_canonical

Vector = Mapping[PeerId, int]


def write_vector(vector: Vector) -> list[object]:
    """As msgpack values: [[author, seq], ...], sorted by author."""
    return [[author, vector[author]] for author in sorted(vector)]


def read_vector(value: object) -> dict[PeerId, int]:
    """RemoteError unless at most 1024 authors, sorted, each once, with a seq from 1."""
    found = []
    for entry in array(value, "vector", MAX_AUTHORS):
        author, seq = fields(entry, "vector entry", 2)
        found.append((read_peer(author), integer(seq, "seq", 1)))
    ascending(tuple(bytes(author) for author, _ in found), "authors of a vector")
    return dict(found)


def encode_vector(vector: Vector) -> bytes:
    return pack(write_vector(vector))


def decode_vector(data: bytes) -> dict[PeerId, int]:
    return read_vector(unpack_canonical(data))


def vector_digest(vector: Vector) -> bytes:
    """32 bytes; equal for equal vectors. What a beacon carries."""
    return sha256(b"clockmesh/vector/1\0" + encode_vector(vector)).digest()


def lacks(ours: Vector, theirs: Vector) -> bool:
    """Whether `theirs` holds a node that `ours` does not."""
    return any(seq > ours.get(author, 0) for author, seq in theirs.items())
