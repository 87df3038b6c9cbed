"""One life of a libp2p host: its connections, its members' tasks, its door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.tools.anyio_service import background_trio_service

from clockmesh.daemon.network_attend import Attendant
from clockmesh.daemon.network_dial import Dialler
from clockmesh.daemon.network_gossip import Hub
from clockmesh.daemon.network_guard import Guard
from clockmesh.daemon.network_health import watch_health
from clockmesh.daemon.network_members import Member
from clockmesh.daemon.network_router import Router
from clockmesh.daemon.network_serve import Server
from clockmesh.daemon.network_switch import Link, Switch
from clockmesh.daemon.network_types import Handlers, Timing
from clockmesh.protocol.ids import MeshId, PeerId, peer_text
from clockmesh.protocol.keys import SigningKey

log = structlog.get_logger()

_HANDSHAKES = 64
"""At a time; more make the oldest give way, so that idle connections cannot keep newcomers out."""
_ACCEPT_PAUSE = 0.1
"""Seconds before the next try when a connection could not be taken in."""
_STRANGERS = 16
"""Connections of strangers at a time, as well with the oldest giving way."""


class Host:
    """Alive from `open_host` on. Whatever a task here raises ends it; who opened it builds another."""

    def __init__(self, key: SigningKey, handlers: Handlers, timing: Timing, own: Callable[[], Iterable[str]],
                 nursery: trio.Nursery) -> None:
        self._me = key.peer
        self._timing = timing
        self._nursery = nursery
        self._handshakes: list[trio.CancelScope] = []
        self._strangers: list[Link] = []
        self.members: dict[PeerId, Member] = {}
        guard = Guard(handlers)
        self.switch = Switch(key, self._linked, self._unlinked, self._stream, handshake=timing.handshake)
        self.router = Router()
        self.hub = Hub(key.peer, self.router, guard.gossiped)
        self.dialler = Dialler(self.switch, timing, own)
        self._attendant = Attendant(key.peer, self.dialler, self.hub, guard, timing)
        self._server = Server(self.members.get, self.hub, guard, timing)

    async def set_mesh(self, mesh: MeshId | None, peers: Mapping[PeerId, tuple[str, ...]]) -> None:
        """Admit exactly `peers` (apart from this peer itself): removed ones lose their connections at once."""
        for peer in self.members.keys() - peers.keys():
            self._remove(peer)
        for peer, addresses in peers.items():
            member = self.members.get(peer)
            if member is None and peer != self._me:
                self._admit(peer, addresses)
            elif member is not None and member.addresses != addresses:
                member.addresses = addresses
                member.touch()
        await self.hub.join(mesh)

    def _admit(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        member = self.members[peer] = Member(peer, addresses)
        for link in [each for each in self._strangers if each.peer == peer]:
            self._strangers.remove(link)
            self._belongs(member, link)
        self._nursery.start_soon(self._keep, member)

    async def _keep(self, member: Member) -> None:
        with member.removed:
            await self._attendant.keep(member)

    def _remove(self, peer: PeerId) -> None:
        member = self.members.pop(peer)
        member.removed.cancel()
        for link in list(member.links):
            link.abort()

    def _linked(self, link: Link) -> None:
        """A handshake is done: now it is known who it is."""
        member = self.members.get(link.peer)
        if member is not None:
            self._belongs(member, link)
            return
        self._strangers.append(link)
        if len(self._strangers) > _STRANGERS:
            self._strangers.pop(0).abort()
        self._nursery.start_soon(self._bear_stranger, link)

    def _belongs(self, member: Member, link: Link) -> None:
        link.pipe.budget = None
        member.add(link)

    async def _bear_stranger(self, link: Link) -> None:
        # Whom we dialled to join its mesh may need longer to send all its nodes.
        await trio.sleep(self._timing.stranger + (self._timing.join if link.outbound else 0.0))
        if link in self._strangers:
            log.debug("stranger_dismissed", peer=peer_text(link.peer))
            link.abort()

    def _unlinked(self, link: Link) -> None:
        if link in self._strangers:
            self._strangers.remove(link)
        member = self.members.get(link.peer)
        if member is not None:
            member.drop(link)

    async def _stream(self, link: Link, stream: Any) -> None:
        await self._server.serve(link, stream)

    async def accept(self, listener: trio.SocketListener) -> None:
        """Take in connections until cancelled. (trio.serve_listeners would close each when its handler returns.)"""
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                # A connection that was given up before it was taken in, or no file descriptor left for a moment.
                log.debug("handshake_failed", why=str(error))
                await trio.sleep(_ACCEPT_PAUSE)
            else:
                self._nursery.start_soon(self._accept_one, stream)

    async def _accept_one(self, stream: trio.SocketStream) -> None:
        """Until that connection ends: trio closes its socket when this returns."""
        link = await self._shake_hands(stream)
        if link is not None:
            await link.pipe.closed.wait()

    async def _shake_hands(self, stream: trio.SocketStream) -> Link | None:
        scope = trio.CancelScope()
        self._handshakes.append(scope)
        if len(self._handshakes) > _HANDSHAKES:
            self._handshakes.pop(0).cancel()
        try:
            with scope:
                return await self.switch.accept(stream)
        except (BaseLibp2pError, trio.TooSlowError, OSError, ValueError) as error:
            log.debug("handshake_failed", why=str(error) or type(error).__name__)
        except Exception as error:
            # libp2p's handshake meets a stranger's bytes here: junk costs that connection, not the host.
            log.debug("handshake_failed", why=repr(error))
        finally:
            if scope in self._handshakes:
                self._handshakes.remove(scope)
        return None

    def abort_all(self) -> None:
        """Close every connection now; who waits for one wakes up."""
        for link in list(self.switch.links.values()):
            link.abort(reset=False)

    async def watch(self) -> None:
        await watch_health(self.switch.links.values, self._timing)


@asynccontextmanager
async def open_host(key: SigningKey, handlers: Handlers, timing: Timing, own: Callable[[], Iterable[str]],
                    listener: trio.SocketListener) -> AsyncIterator[Host]:
    """A host that accepts on `listener`, which stays open after it."""
    async with trio.open_nursery() as nursery:
        host = Host(key, handlers, timing, own, nursery)
        async with background_trio_service(host.switch), background_trio_service(host.router):
            try:
                nursery.start_soon(host.accept, listener)
                nursery.start_soon(host.watch)
                yield host
            finally:
                host.abort_all()
                nursery.cancel_scope.cancel()
