"""The network: this peer's libp2p host, kept running, and what the daemon does through it.

    network_types      errors, what the daemon must provide, times
    network_host       one life of a host: who may be connected, the door
    network_switch     libp2p's Swarm: Noise, Yamux, the table of connections
    network_attend     what is kept open to each member (network_members, network_dial)
    network_gossip     nodes, over libp2p's GossipSub (network_router, network_control)
    network_serve      what others ask here; network_ask: what is asked of others
    network_health     frozen peers
    network_lean       how libp2p is imported; network_quiet: how it is kept from talking
    network_stream     frames on a stream; network_socket: the TCP connection below
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
import trio

import clockmesh.daemon.network_lean  # noqa: F401

# isort: split
from clockmesh.daemon.network_address import announced, free_port, listening_socket
from clockmesh.daemon.network_ask import asking, joining
from clockmesh.daemon.network_host import Host, open_host
from clockmesh.daemon.network_quiet import quiet_libp2p
from clockmesh.daemon.network_types import Handlers, JoinDenied, NetworkError, PortTaken, Timing, Unreachable
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.limits import MAX_FRAME
from clockmesh.protocol.messages import JoinAccepted, JoinRequest, Message

__all__ = ["Handlers", "JoinDenied", "Network", "NetworkError", "PortTaken", "Timing", "Unreachable", "free_port"]

log = structlog.get_logger()


class Network:
    """A peer's connections. `run` keeps them; everything else may be called before, while and after it runs."""

    def __init__(self, key: SigningKey, listen: tuple[str, int], handlers: Handlers, *,
                 timing: Timing | None = None) -> None:
        """`listen`: an IP address of this machine (0.0.0.0 for all) and a port other than 0; see `free_port`."""
        self._key = key
        self._listen = listen
        self._handlers = handlers
        self._timing = timing or Timing()
        self._mesh: MeshId | None = None
        self._peers: dict[PeerId, tuple[str, ...]] = {}
        self._changed = trio.Event()
        self._host: Host | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The multiaddresses at which this peer listens, to be announced to others."""
        return announced(*self._listen)

    @property
    def connected(self) -> frozenset[PeerId]:
        """The members that are connected and get what is published."""
        members = self._host.members.values() if self._host is not None else ()
        return frozenset(each.peer for each in members if each.connected)

    def set_mesh(self, mesh: MeshId | None, peers: Mapping[PeerId, Iterable[str]]) -> None:
        """The mesh, all its members (this peer may be among them) and their multiaddresses.

        From now on exactly these are dialled, listened to and kept; a connection of anyone else ends. The addresses may
        be stale or empty: a member may still dial us.
        """
        self._mesh = mesh
        self._peers = {peer: tuple(addresses) for peer, addresses in peers.items()}
        self._changed.set()

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Be reachable until cancelled; `started` when connections are accepted. PortTaken, or NetworkError.

        A host that ends is built anew on the same port, which stays ours meanwhile.
        """
        quiet_libp2p()
        listener = listening_socket(*self._listen)
        pause = self._timing.rebuild_first
        async with listener:
            while True:
                begun = trio.current_time()
                try:
                    await self._run_host(listener, task_status)
                except Exception as error:
                    # The border to libp2p: whatever ended its host, this peer must stay in the mesh.
                    log.error("network_failed", exc_info=error)
                task_status = trio.TASK_STATUS_IGNORED
                lasted = trio.current_time() - begun
                pause = self._timing.rebuild_first if lasted > 60 else min(pause * 2, self._timing.rebuild_most)
                await trio.sleep(pause)

    async def _run_host(self, listener: trio.SocketListener, task_status: Any) -> None:
        try:
            async with open_host(self._key, self._handlers, self._timing, lambda: self.addresses, listener) as host:
                self._host = host
                await self._apply(host)
                task_status.started()
                while True:
                    await self._changed.wait()
                    await self._apply(host)
        finally:
            self._host = None

    async def _apply(self, host: Host) -> None:
        self._changed = trio.Event()
        await host.set_mesh(self._mesh, self._peers)

    async def publish(self, data: bytes) -> None:
        """Gossip `data` (at most 256 KiB) to all members that are connected; it goes on to the others from there.

        Returns when it is queued for each. Lost where a queue is full or a connection breaks: sync makes it whole.
        """
        if len(data) > MAX_FRAME:
            raise NetworkError(f"{len(data)} bytes are too many for one message; {MAX_FRAME} are allowed")
        if self._host is not None:
            await self._host.hub.publish(data)

    def send_beacon(self, data: bytes) -> None:
        """To each connected member, on a stream of its own; never waits. A newer one replaces one not yet sent."""
        if self._host is not None:
            for member in self._host.members.values():
                if member.links:
                    member.put_beacon(data)

    @asynccontextmanager
    async def ask(self, peer: PeerId, message: Message) -> AsyncIterator[AsyncIterator[Message]]:
        """Ask a member: `async with network.ask(peer, message) as answers: async for each in answers: ...`.

        Answers are read as fast as they are taken and no faster. Unreachable when the peer is not connected, does not
        begin to answer in 10 s, answers nonsense, or is lost before the end.
        """
        member = self._host.members.get(peer) if self._host is not None else None
        if member is None or member.link is None:
            raise Unreachable(peer, "it is not connected")
        async with asking(member.link, message, self._timing) as answers:
            yield answers

    async def join(self, inviter: PeerId, addresses: Iterable[str], request: JoinRequest) -> list[JoinAccepted]:
        """Redeem an invitation at any of the inviter's addresses. JoinDenied; Unreachable.

        The connection stays for 10 s: call `set_mesh` with the inviter among the peers, and it is kept.
        """
        host = self._host
        if host is None:
            raise NetworkError("the network does not run")
        try:
            with trio.fail_after(self._timing.join):
                link = await host.dialler.dial(inviter, addresses)
                return await joining(link, request, self._timing)
        except trio.TooSlowError as error:
            raise Unreachable(inviter, f"the join took more than {self._timing.join:.0f} s") from error
