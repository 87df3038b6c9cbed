"""What the network and the rest of the daemon say to each other. Nothing here knows libp2p."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from clockmesh.daemon import errors
from clockmesh.protocol.ids import PeerId, peer_text
from clockmesh.protocol.messages import JoinRequest, Message


class NetworkError(errors.DaemonError):
    """Something the network could not do."""


class PortTaken(NetworkError):
    """Another process listens where this peer should. A restart would not help."""

    code = "configuration"
    exit = 78


class Unreachable(NetworkError, errors.Unreachable):
    """A peer is not connected, or the connection to it was lost while it answered."""

    code = "unreachable"
    exit = 4

    def __init__(self, peer: PeerId, why: str) -> None:
        super().__init__(f"peer {peer_text(peer)} cannot be reached: {why}")
        self.peer = peer
        self.why = why


class JoinDenied(NetworkError):
    """The inviter answered, and said no."""

    code = "not_allowed"
    exit = 5

    def __init__(self, reason: str) -> None:
        super().__init__(f"the inviting peer refused: {reason}")
        self.reason = reason


class StreamLost(NetworkError):
    """A stream ended before what it carries did."""


class Handlers(Protocol):
    """What the daemon does with what comes in. Whatever these raise is logged and ends that one stream, never the host.

    `gossiped` and `beaconed` are called one at a time for each peer: while one waits, nothing more is read from that
    peer on that stream.
    """

    async def gossiped(self, peer: PeerId, data: bytes) -> frozenset[PeerId] | None:
        """`data` came by gossip from the member `peer`, which need not be its author. At most 256 KiB, once each.

        The members that get it otherwise: it is passed on to the rest. None: to nobody."""

    async def beaconed(self, peer: PeerId, data: bytes) -> None:
        """`data` came on the beacon stream of the member `peer`."""

    def asked(self, peer: PeerId, message: Message) -> AsyncIterator[Message]:
        """The answers to a member's request. Cancelled when the asker goes away."""

    def joined(self, peer: PeerId, request: JoinRequest) -> AsyncIterator[Message]:
        """The answers to someone who wants to join: JoinAccepted (the last has `more` False), or one JoinRefused."""

    def connected(self, peer: PeerId) -> None:
        """The member `peer` is connected, and what is published from now on reaches it. Earlier nodes need a sync."""

    def disconnected(self, peer: PeerId) -> None:
        """The last connection to the member `peer` is gone."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, each with its reason; tests shorten them."""

    stranger: float = 10.0
    """How long someone unknown may hold a connection (DESIGN 3, joining)."""
    handshake: float = 5.0
    """From TCP connection to a Noise session; 5 to 20 ms on an idle machine."""
    dial: float = 5.0
    """For one address to answer."""
    stagger: float = 0.25
    """Head start of one address before the next is tried as well (RFC 8305)."""
    redial_first: float = 0.2
    redial_most: float = 2.0
    """Pause between two rounds over a peer's addresses: doubles from the first to the last of these."""
    redial_lost: float = 1.0
    """The longest pause after a connection that was lost soon after it was made: its peer is alive."""
    first_answer: float = 10.0
    """From a request to the first answer to it."""
    request: float = 10.0
    """From a stream's opening to the whole request on it."""
    join: float = 30.0
    """All of a join: dial, request, the inviter's whole clock."""
    stalled: float = 60.0
    """How long a stream's reader may leave its window shut before the stream is given up."""
    tick: float = 1.0
    """How often connections are looked at."""
    silence: float = 5.0
    """After so long without a byte a connection is asked for a sign of life ..."""
    reprieve: float = 3.0
    """... and is aborted when none comes within this."""
    rebuild_first: float = 0.2
    rebuild_most: float = 30.0
    """Pause before the host is built anew after it ended."""
