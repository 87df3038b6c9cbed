"""libp2p's switchboard with what it does by itself taken out: Noise and Yamux over TCP, and a table of connections.

What libp2p's Swarm would do and this one does not (faults of py-libp2p 0.8.1 in brackets): listen and dial itself [two
processes may share a port; one address tried, a failed peer blocked for 60 s; a slot for an inbound connection is freed
only when the host ends, so a long-lived host stops accepting], connect and prune by itself, identify peers, notify
listeners in a nursery for each stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.upgrader import TransportUpgrader

from clockmesh.daemon.network_socket import Pipe
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.keys import SigningKey

_IDENTITY_ED25519 = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
_SOMEWHERE: Any = "our listener"
"""The name of our listener in libp2p's log lines; nothing else uses it."""

_BURIAL = 1.0
"""Seconds in which Yamux gives up a connection whose socket is closed."""

_pipe: ContextVar[Pipe] = ContextVar("pipe")
"""The TCP connection that this task is upgrading: libp2p has no way to pass it along."""


def libp2p_id(peer: PeerId) -> ID:
    return ID(_IDENTITY_ED25519 + peer)


def peer_of(peer_id: ID) -> PeerId | None:
    """None for a peer whose key is not Ed25519: no member of any mesh."""
    data = peer_id.to_bytes()
    if len(data) != len(_IDENTITY_ED25519) + 32 or not data.startswith(_IDENTITY_ED25519):
        return None
    return PeerId(data[len(_IDENTITY_ED25519) :])


@dataclass(eq=False)
class Link:
    """One connection whose other end has proved, in the Noise handshake, to be `peer`."""

    peer: PeerId
    pipe: Pipe
    muxed: Yamux
    outbound: bool
    conn: SwarmConn | None = None
    streams: int = 0
    """Streams that the other end has open here now."""
    silent: float = 0.0
    """Seconds of our own running time since the last byte; see `network_health`."""
    heard: int = 0
    """`pipe.received` when it was last looked at."""

    @property
    def alive(self) -> bool:
        return not self.pipe.closed.is_set()

    def abort(self, *, reset: bool = True) -> None:
        self.pipe.abort(reset=reset)


OnStream = Callable[[Link, Any], Awaitable[None]]


class Switch(Swarm):
    """The table of connections of one host. `on_link` and `on_unlink` are told of each that came up or went."""

    def __init__(self, key: SigningKey, on_link: Callable[[Link], None], on_unlink: Callable[[Link], None],
                 on_stream: OnStream, *, handshake: float) -> None:
        pair = create_new_key_pair(key.seed)
        store = PeerStore()
        super().__init__(libp2p_id(key.peer), store, _upgrader(pair), transports=[],
                         connection_config=_configuration(handshake))
        store.add_key_pair(self.self_id, pair)
        self.links: dict[Any, Link] = {}
        self._on_link = on_link
        self._on_unlink = on_unlink
        self._on_stream = on_stream
        self.set_stream_handler(self._stream_opened)

    async def run(self) -> None:
        await self.manager.wait_finished()

    async def accept(self, stream: trio.SocketStream) -> Link:
        """Take an inbound TCP connection through its handshake. Raises what libp2p raises when that fails."""
        pipe = Pipe(stream)
        _pipe.set(pipe)
        try:
            muxed = await self.upgrade_inbound_raw_conn(RawConnection(pipe, False), _SOMEWHERE)
            return self.links[muxed]
        except BaseException:
            pipe.abort()
            raise

    async def dial(self, peer: PeerId, stream: trio.SocketStream) -> Link:
        """Take an outbound TCP connection through its handshake; it fails if the other end is not `peer`."""
        pipe = Pipe(stream)
        _pipe.set(pipe)
        # What is dialled is trusted as far as its peer id: an inviter sends us its whole clock.
        pipe.budget = None
        try:
            conn = await self.upgrade_outbound_raw_conn(RawConnection(pipe, True), libp2p_id(peer))
            return self.links[conn.muxed_conn]
        except BaseException:
            pipe.abort()
            raise

    async def add_conn(self, muxed_conn: Any, direction: str = "unknown") -> SwarmConn:
        """Register a connection. Before any stream of it can arrive there is a Link for it."""
        peer = peer_of(muxed_conn.peer_id)
        if peer is None:
            raise ValueError(f"{muxed_conn.peer_id} is no Ed25519 peer")
        pipe = _pipe.get()
        pipe.held = lambda: sum(map(len, muxed_conn.stream_buffers.values()))
        link = Link(peer, pipe, muxed_conn, direction == "outbound")
        self.links[muxed_conn] = link
        try:
            link.conn = await super().add_conn(muxed_conn, direction)
        except BaseException:
            del self.links[muxed_conn]
            raise
        self.manager.run_task(self._watch, link)
        self._on_link(link)
        return link.conn

    async def _watch(self, link: Link) -> None:
        await link.pipe.closed.wait()
        self.links.pop(link.muxed, None)
        self._on_unlink(link)
        with trio.move_on_after(_BURIAL):
            await link.muxed.event_closed.wait()
            return
        _bury(link.muxed)

    async def _stream_opened(self, stream: Any) -> None:
        link = self.links.get(stream.muxed_conn)
        if link is None:
            await stream.reset()
            return
        link.streams += 1
        try:
            await self._on_stream(link, stream)
        finally:
            link.streams -= 1

    def _schedule_prune(self) -> None:
        """Nobody is pruned: who may be connected is decided by admission."""

    def _schedule_auto_connect(self) -> None:
        """Whom to dial is decided by our own address book."""

    async def notify_connected(self, conn: Any) -> None:
        """Told by `on_link` instead."""

    async def notify_disconnected(self, conn: Any) -> None:
        """Told by `on_unlink` instead, at once rather than after libp2p's pause of 0.1 s."""

    async def notify_opened_stream(self, stream: Any) -> None:
        """Nobody listens."""

    async def notify_closed_stream(self, stream: Any) -> None:
        """Nobody listens, and without a resource manager there is nothing to give back."""
        stream._resource_released = True


def _bury(muxed: Yamux) -> None:
    """End a muxer that hangs somewhere else than on its socket: its tasks, and all who wait for its streams."""
    for stream in muxed.streams.values():
        stream.closed = stream.reset_received = True
    for event in muxed.stream_events.values():
        event.set()
    if muxed._nursery is not None:
        muxed._nursery.cancel_scope.cancel()


def _upgrader(pair: KeyPair) -> TransportUpgrader:
    """Noise and nothing else: libp2p's defaults would also accept plaintext, with whatever identity it claims."""
    noise = NoiseTransport(pair, noise_privkey=create_noise_key_pair().private_key)
    return TransportUpgrader({NOISE: noise}, {TProtocol(YAMUX): Yamux})


def _configuration(handshake: float) -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=1024,
        min_connections=0,
        low_watermark=0,
        high_watermark=1024,
        max_connections_per_peer=1024,
        inbound_upgrade_timeout=handshake,
        outbound_upgrade_timeout=handshake,
    )
