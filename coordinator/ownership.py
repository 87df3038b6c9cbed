"""Who is nearest to a job: the Hamming rule (DESIGN 4). A rank is a hint, never a right.

    Combined = SHA256(head + task hash)    both as 64 lower-case hexadecimal digits in ASCII
    Peer     = SHA256(peer id)             as libp2p spells it, in ASCII
    distance = bits that differ between Combined and Peer; the smallest owns the job
    ties go to the smaller SHA256(Combined + Peer), the two digests as raw bytes

The head is the run's origin, which is its id, so that every peer computes the same whatever it has heard since. A
peer of weight w (its slots) competes with w virtual ids: its id itself, then id#1, id#2, ...; its nearest counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from clockmesh.protocol.ids import PeerId, RunId, peer_text

CACHED_PEERS = 4096
"""Digests kept of (peer, weight): far above `limits.MAX_PEERS` with every weight it ever had."""


class Ranked(NamedTuple):
    """A peer and its distance to a job, 0 to 256 bits."""

    peer: PeerId
    distance: int


def combined_digest(head_hex: str, task_hex: str) -> bytes:
    """The 32 bytes that distances are measured from."""
    return sha256(f"{head_hex}{task_hex}".encode()).digest()


def peer_digest(peer: str) -> bytes:
    """The 32 bytes that stand for a peer, or for one of its virtual ids."""
    return sha256(peer.encode()).digest()


def distance(head_hex: str, task_hex: str, peer: str) -> int:
    """Bits between a job and a peer id as text, by the rule above."""
    return bits_between(combined_digest(head_hex, task_hex), peer_digest(peer))


def bits_between(a: bytes, b: bytes) -> int:
    """Hamming distance of two digests of equal length."""
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def virtual_ids(peer: str, weight: int) -> list[str]:
    """What a peer of this weight competes with; none for a peer that runs nothing."""
    return [peer if i == 0 else f"{peer}#{i}" for i in range(weight)]


@lru_cache(maxsize=CACHED_PEERS)
def peer_digests(peer: PeerId, weight: int) -> tuple[tuple[int, bytes], ...]:
    """The digests of a peer's virtual ids, each as a number and as bytes."""
    digests = (peer_digest(name) for name in virtual_ids(peer_text(peer), weight))
    return tuple((int.from_bytes(digest, "big"), digest) for digest in digests)


def rank(run: RunId, task: bytes, members: Iterable[tuple[PeerId, int]]) -> list[Ranked]:
    """The members (peer, weight) nearest first, whatever order they come in; those of weight 0 are left out."""
    combined = combined_digest(run.hex(), task.hex())
    number = int.from_bytes(combined, "big")
    order = []
    for peer, weight in members:
        best = _nearest(combined, number, peer_digests(peer, weight))
        if best is not None:
            order.append((*best, peer))
    order.sort()
    return [Ranked(peer, bits) for bits, _, peer in order]


def _nearest(combined: bytes, number: int, digests: tuple[tuple[int, bytes], ...]) -> tuple[int, bytes] | None:
    """The smallest (distance, tie break) among a peer's virtual ids."""
    return min(
        (((number ^ value).bit_count(), sha256(combined + digest).digest()) for value, digest in digests),
        default=None,
    )


# ---- the rule by its public names ----


def hamming_distance(hash1: str, hash2: str) -> int:
    """Bits that differ between two hexadecimal texts of equal length; ValueError for anything else."""
    for text in (hash1, hash2):
        if not isinstance(text, str) or not _HEX.fullmatch(text):
            raise ValueError(f"not hexadecimal digits: {text!r:.80}")
    if len(hash1) != len(hash2):
        raise ValueError(f"hashes of {len(hash1)} and {len(hash2)} digits cannot be compared")
    return (int(hash1 or "0", 16) ^ int(hash2 or "0", 16)).bit_count()


def ranked_owners(merkle_clock_head: str, task_hash: str, peer_ids: Iterable[str]) -> list[tuple[str, int]]:
    """All peers, nearest first, and their distances to a task: the same for every order in which they come."""
    combined = combined_digest(merkle_clock_head, task_hash)
    order = []
    for peer in peer_ids:
        digest = peer_digest(peer)
        order.append((bits_between(combined, digest), sha256(combined + digest).digest(), peer))
    return [(peer, bits) for bits, _, peer in sorted(order)]


def select_task_owner(merkle_clock_head: str, task_hash: str, peer_ids: Iterable[str]) -> tuple[str, int]:
    """The owner of a task and its distance; ValueError without any peer."""
    if not (ranked := ranked_owners(merkle_clock_head, task_hash, peer_ids)):
        raise ValueError("there is no peer to choose from")
    return ranked[0]


def create_task_hash(task: Mapping[str, object]) -> str:
    """SHA-256 of a task's description as JSON with sorted keys, 64 hexadecimal digits. Of the Python class only: the
    mesh's tasks are named by `naming.task_hash`."""
    return sha256(json.dumps(task, sort_keys=True, allow_nan=False).encode()).hexdigest()


_HEX = re.compile("[0-9a-fA-F]*")
