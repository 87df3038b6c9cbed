"""Whom a member reaches by itself, as the beacons tell: those need not get its nodes from us as well.

An author sends each of its nodes to every member that it is connected to. In a whole mesh passing on would bring each
node to each peer once for every other peer (half of all messages in a mesh of three). A beacon names the newest beacons
that its author heard; who hears another's beacons gets its nodes too, on the same connection. Where that is not known,
or a few beacons old, nodes are passed on. What is lost meanwhile comes with the sync that differing beacons ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clockmesh.protocol.beacon import Beacon
from clockmesh.protocol.ids import PeerId

_LAG = 2
"""Beacons of an author that a member may be behind what was heard here: one under way each way."""
_FRESH_PERIODS = 2.5
"""Beacon periods for which what a beacon says of its author's hearing counts."""


@dataclass(frozen=True, slots=True)
class _Word:
    """What the newest beacon of a peer said."""

    at: float
    incarnation: int
    number: int
    heard: Mapping[PeerId, tuple[int, int]]


class Reach:
    """Who hears whom."""

    def __init__(self, period: Callable[[], float]) -> None:
        """`period`: seconds between two beacons of a peer, now."""
        self._period = period
        self._words: dict[PeerId, _Word] = {}

    def hear(self, beacon: Beacon, now: float) -> None:
        """Note a beacon; older ones than the newest are passed over."""
        last = self._words.get(beacon.peer)
        if last is None or (beacon.incarnation, beacon.number) > (last.incarnation, last.number):
            heard = {each.peer: (each.incarnation, each.number) for each in beacon.heard}
            self._words[beacon.peer] = _Word(now, beacon.incarnation, beacon.number, heard)

    def served(self, author: PeerId, now: float) -> frozenset[PeerId]:
        """The peers that hear `author` themselves."""
        own = self._words.get(author)
        if own is None:
            return frozenset()
        since, least = now - _FRESH_PERIODS * self._period(), (own.incarnation, own.number - _LAG)
        return frozenset(peer for peer, word in self._words.items()
                         if word.at >= since and word.heard.get(author, (0, 0)) >= least)
