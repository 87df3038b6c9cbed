"""Names of things: a type for each, so that a run can never stand where a node belongs.

All hashes are 32 raw bytes inside the program; hexadecimal exists only at the borders (JSON, command line, logs).
"""

from __future__ import annotations

from typing import NamedTuple, NewType

PeerId = NewType("PeerId", bytes)
"""A peer: its 32-byte Ed25519 public key. `peer_text` gives libp2p's spelling."""

MeshId = NewType("MeshId", bytes)
"""32 bytes: SHA-256 over the founder's key and a nonce (see `naming.mesh_id`)."""

NodeHash = NewType("NodeHash", bytes)
RunId = NewType("RunId", bytes)
"""The run's origin, 32 bytes (see `naming.run_id`)."""

BlobHash = NewType("BlobHash", bytes)
ResultHash = NewType("ResultHash", bytes)

ScheduleId = NewType("ScheduleId", bytes)
"""A schedule: 32 bytes, the hash of the event that began it (see `naming.schedule_id`)."""

SetHash = NewType("SetHash", bytes)
"""What says who votes on a schedule's ticks: the schedule's id for the set that began it, else the hash of a move."""

SecretId = NewType("SecretId", bytes)
"""A secret's value: 32 bytes, the hash of the event that set it (see `naming.secret_id`)."""

JobKey = NewType("JobKey", str)
"""A job's key in its run: `build`, or `build (a, 1)` for one leg of a matrix."""

RESOLVE = JobKey("(resolve)")
"""The step that turns a remote source into a commit and a plan. No workflow can name a job so."""

EXPAND = "(expand) "
"""Beginning of the key of a job that stands for others, which depend on results of jobs before them: a matrix made of
outputs, a workflow called with them. Its result brings the jobs that take its place. No workflow can use it."""


class JobRef(NamedTuple):
    """One job of one run."""

    run: RunId
    key: JobKey


class AttemptRef(NamedTuple):
    """One attempt at one job; `attempt` counts from 1."""

    run: RunId
    key: JobKey
    attempt: int

    @property
    def job(self) -> JobRef:
        return JobRef(self.run, self.key)


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_IDENTITY_ED25519 = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
"""Identity multihash of 36 bytes, then the protobuf PublicKey{Ed25519, 32 bytes} (libp2p peer-ids specification)."""


def peer_text(peer: PeerId) -> str:
    """The libp2p peer id in base58btc: `12D3KooW...`."""
    data = _IDENTITY_ED25519 + peer
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def peer_from_text(text: str) -> PeerId:
    """The peer that `peer_text` spelled so; ValueError for anything else."""
    number = 0
    if not 0 < len(text) <= 64:
        raise ValueError(f"not a peer id: {text[:80]!r}")
    for character in text:
        digit = _BASE58.find(character)
        if digit < 0:
            raise ValueError(f"not a peer id: {text[:80]!r}")
        number = number * 58 + digit
    data = number.to_bytes(38, "big") if number < 1 << 304 else b""
    peer = PeerId(data[len(_IDENTITY_ED25519) :])
    if not data.startswith(_IDENTITY_ED25519) or peer_text(peer) != text:
        raise ValueError(f"not the id of an Ed25519 peer: {text[:80]!r}")
    return peer
