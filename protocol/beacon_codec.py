"""A beacon's bytes: canonical msgpack, then the author's signature over domain, mesh and that."""

from __future__ import annotations

from clockmesh.protocol import limits
from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.event_codec import read_peer
from clockmesh.protocol.ids import AttemptRef, JobKey, MeshId, RunId
from clockmesh.protocol.keys import SIGNATURE_BYTES, SigningKey, verify
from clockmesh.protocol.wire import array, fields, integer, line, pack, raw, real, unpack_canonical

BEACON_DOMAIN = b"clockmesh/beacon/1\0"
_VERSION = 1


def encode_beacon(key: SigningKey, mesh: MeshId, beacon: Beacon) -> bytes:
    """Signed bytes; LocalError if the beacon is another peer's or a peer would refuse it."""
    if beacon.peer != key.peer:
        raise LocalError("a beacon is signed by its own peer")
    written = [
        _VERSION,
        beacon.peer,
        beacon.incarnation,
        beacon.number,
        beacon.vector,
        beacon.free,
        float(beacon.load),
        [[heard.peer, heard.incarnation, heard.number] for heard in beacon.heard],
        [list(ref) for ref in beacon.over],
    ]
    try:
        _read_beacon(written)
    except RemoteError as error:
        raise LocalError(str(error)) from error
    body = pack(written)
    if len(body) + SIGNATURE_BYTES > limits.MAX_BEACON_BYTES:
        raise LocalError(f"a beacon of {len(body)} bytes is above {limits.MAX_BEACON_BYTES}")
    return body + key.sign(BEACON_DOMAIN + mesh + body)


def decode_beacon(mesh: MeshId, data: bytes) -> Beacon:
    """RemoteError unless `data` is a beacon of this mesh, signed by the peer it names."""
    if not SIGNATURE_BYTES < len(data) <= limits.MAX_BEACON_BYTES:
        raise RemoteError(f"a beacon of {len(data)} bytes")
    body = data[:-SIGNATURE_BYTES]
    beacon = _read_beacon(unpack_canonical(body))
    if not verify(beacon.peer, BEACON_DOMAIN + mesh + body, data[-SIGNATURE_BYTES:]):
        raise RemoteError("a beacon's signature is not its peer's")
    return beacon


def _read_beacon(value: object) -> Beacon:
    version, peer, incarnation, number, vector, free, load, heard, over = fields(value, "beacon", 9)
    integer(version, "beacon version", _VERSION, _VERSION)
    beacon = Beacon(
        peer=read_peer(peer),
        incarnation=integer(incarnation, "incarnation"),
        number=integer(number, "beacon number", 1),
        vector=raw(vector, "vector digest", 32),
        free=integer(free, "free slots", 0, limits.MAX_SLOTS),
        load=real(load, "load"),
        heard=tuple(_read_heard(entry) for entry in array(heard, "heard", limits.MAX_HEARD)),
        over=tuple(_read_over(entry) for entry in array(over, "over", limits.MAX_OVER)),
    )
    if len({entry.peer for entry in beacon.heard}) != len(beacon.heard):
        raise RemoteError("heard names a peer twice")
    return beacon


def _read_heard(value: object) -> Heard:
    peer, incarnation, number = fields(value, "heard", 3)
    return Heard(read_peer(peer), integer(incarnation, "incarnation"), integer(number, "beacon number"))


def _read_over(value: object) -> AttemptRef:
    run, key, attempt = fields(value, "over", 3)
    return AttemptRef(
        RunId(raw(run, "run id", 32)),
        JobKey(line(key, "job key", limits.MAX_KEY, 1)),
        integer(attempt, "attempt", 1, limits.MAX_ATTEMPT),
    )
