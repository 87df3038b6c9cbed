"""Dialling: every address of a peer, and again with pauses that double, until there is a connection."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import structlog
import trio
from libp2p.exceptions import BaseLibp2pError

from clockmesh.daemon.network_address import Endpoint, endpoint_of
from clockmesh.daemon.network_members import Member
from clockmesh.daemon.network_switch import Link, Switch
from clockmesh.daemon.network_types import Timing, Unreachable
from clockmesh.protocol.ids import PeerId, peer_text

log = structlog.get_logger()

_MOST_ADDRESSES = 16
_FAULTS = (OSError, trio.TooSlowError, trio.BrokenResourceError, BaseLibp2pError, ValueError)


class Dialler:
    """`own` tells this peer's own addresses: another machine's 127.0.0.1 is not ours to dial."""

    def __init__(self, switch: Switch, timing: Timing, own: Callable[[], Iterable[str]]) -> None:
        self._switch = switch
        self._timing = timing
        self._own = own

    async def reach(self, member: Member) -> None:
        """Dial until `member` has a connection, whichever side made it. At once again when its addresses change."""
        pause = 0.0
        while not member.links:
            addresses = member.addresses
            await self._round(member)
            pause = longer(pause, self._timing.redial_first, self._timing.redial_most)
            await rest(member, pause)
            if member.addresses != addresses:
                pause = 0.0

    async def _round(self, member: Member) -> None:
        """Try once; give up shortly after the other side's dial has arrived.

        Shortly, not at once: were both sides to drop their own dial the moment the other's arrives, they could end with
        none.
        """
        async with trio.open_nursery() as nursery:

            async def attempt() -> None:
                try:
                    await self.dial(member.peer, member.addresses)
                except Unreachable as error:
                    log.debug("peer_unreached", peer=peer_text(member.peer), why=error.why)
                nursery.cancel_scope.cancel()

            nursery.start_soon(attempt)
            while not member.links:
                await member.changed()
            nursery.cancel_scope.deadline = trio.current_time() + self._timing.stagger

    async def dial(self, peer: PeerId, addresses: Iterable[str]) -> Link:
        """A connection to `peer`: the first of its addresses where it answers, each with a head start. Unreachable."""
        own = set(self._own())
        endpoints = [endpoint_of(each) for each in addresses if each not in own]
        usable = list(dict.fromkeys(each for each in endpoints if each is not None))[:_MOST_ADDRESSES]
        links: list[Link] = []
        faults: list[str] = []
        async with trio.open_nursery() as nursery:

            async def attempt(endpoint: Endpoint, failed: trio.Event) -> None:
                try:
                    links.append(await self._dial_endpoint(peer, endpoint))
                    nursery.cancel_scope.cancel()
                except _FAULTS as error:
                    faults.append(f"{endpoint[0]}:{endpoint[1]}: {_why(error)}")
                    failed.set()

            for endpoint in usable:
                failed = trio.Event()
                nursery.start_soon(attempt, endpoint, failed)
                with trio.move_on_after(self._timing.stagger):
                    await failed.wait()
        if not links:
            raise Unreachable(peer, "; ".join(faults) or "it has announced no address that can be dialled")
        return links[0]

    async def _dial_endpoint(self, peer: PeerId, endpoint: Endpoint) -> Link:
        with trio.fail_after(self._timing.dial):
            stream = await trio.open_tcp_stream(*endpoint)
            return await self._switch.dial(peer, stream)


def longer(pause: float, first: float, most: float) -> float:
    """The pause after `pause`: twice as long, from `first` to `most`."""
    return min(max(pause * 2, first), most)


async def rest(member: Member, pause: float) -> None:
    """Pause about so many seconds while there is no connection, each time a little differently on either side."""
    if not member.links:
        await member.changed(pause * random.uniform(0.8, 1.2))


def _why(error: Exception) -> str:
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    if isinstance(error, OSError):
        # trio's own says that all addresses of a name failed; why is behind it.
        cause = error.__cause__
        first = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause or error
        return (first.strerror if isinstance(first, OSError) else None) or str(error)
    return "something else than this peer answers there"
