"""The owners of many jobs at once: what `ownership.rank` says first for each of them, by numpy.

For 100,000 jobs and 1000 peers this takes about a second where the plain loop takes minutes. numpy is imported when
it is needed, since a daemon with a few jobs never needs it (the extra `clockmesh[bulk]`; ImportError without it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from clockmesh.coordinator.ownership import Ranked, combined_digest, peer_digests
from clockmesh.protocol.ids import PeerId, RunId

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 64
"""Jobs at a time: with 1000 peers the work arrays then stay within a core's cache."""


def owners(tasks: Sequence[tuple[RunId, bytes]], members: Iterable[tuple[PeerId, int]]) -> list[Ranked]:
    """The owner of each (run, task hash) among the members (peer, weight); ValueError without any of weight >= 1."""
    columns = [(peer, digest) for peer, weight in members for _, digest in peer_digests(peer, weight)]
    if not columns:
        raise ValueError("no member can run anything")
    combined = [combined_digest(run.hex(), task.hex()) for run, task in tasks]
    names = _words([digest for _, digest in columns])
    found: list[Ranked] = []
    for start in range(0, len(combined), BLOCK):
        found += _owners_of_block(combined[start : start + BLOCK], columns, names)
    return found


def _words(digests: Sequence[bytes]) -> NDArray[Any]:
    """Digests of 32 bytes as four rows of 64-bit words, a column each."""
    import numpy as np

    return np.ascontiguousarray(np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 4).T)


def _owners_of_block(
    combined: Sequence[bytes], columns: Sequence[tuple[PeerId, bytes]], names: NDArray[Any]
) -> list[Ranked]:
    import numpy as np

    bits = _distances(_words(combined), names)
    least = bits.min(axis=1)
    rows, nearest = np.nonzero(bits == least[:, None])
    best: list[int] = [-1] * len(combined)
    for row, column in zip(rows.tolist(), nearest.tolist(), strict=True):
        if best[row] < 0 or _tie(combined[row], columns[column]) < _tie(combined[row], columns[best[row]]):
            best[row] = column
    return [Ranked(columns[column][0], bits) for column, bits in zip(best, least.tolist(), strict=True)]


def _distances(tasks: NDArray[Any], names: NDArray[Any]) -> NDArray[Any]:
    """Differing bits, a row for each task. They fit a byte: 256 would need a digest's exact complement."""
    import numpy as np

    total: NDArray[Any] = np.bitwise_count(tasks[0][:, None] ^ names[0])
    for word in (1, 2, 3):
        total += np.bitwise_count(tasks[word][:, None] ^ names[word])
    return total


def _tie(combined: bytes, column: tuple[PeerId, bytes]) -> bytes:
    return sha256(combined + column[1]).digest()
