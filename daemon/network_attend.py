"""What is kept open to each member: a connection, and on it one stream for gossip and one for beacons.

A member has one task for as long as it is admitted and the host runs. The two streams are apart so that a beacon, which
renews leases, never waits behind nodes; blobs and logs have streams of their own as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from clockmesh.daemon.network_dial import Dialler, longer, rest
from clockmesh.daemon.network_gossip import Hub
from clockmesh.daemon.network_guard import Guard
from clockmesh.daemon.network_members import Member
from clockmesh.daemon.network_router import MESHSUB
from clockmesh.daemon.network_stream import Channel, open_channel
from clockmesh.daemon.network_types import StreamLost, Timing
from clockmesh.protocol.ids import PeerId, peer_text

log = structlog.get_logger()

BEACON = "/clockmesh/beacon/1"
_REOPEN_FIRST = 0.1
_REOPEN_MOST = 1.0
"""A member that has not heard of us yet refuses our streams until it has."""
_LASTING = 2.0
"""Seconds after which a lost connection is dialled again at once; one that breaks as soon as it is made waits."""
_YIELD = 0.2
"""Seconds by which the peer with the larger id dials later, so that two that dial together make one connection."""

Use = Callable[[Member, Channel], Awaitable[None]]


class Attendant:
    def __init__(self, me: PeerId, dialler: Dialler, hub: Hub, guard: Guard, timing: Timing) -> None:
        self._me = me
        self._dialler = dialler
        self._hub = hub
        self._guard = guard
        self._timing = timing

    async def keep(self, member: Member) -> None:
        """Have `member` connected and attended, until cancelled.

        Whoever was connected a moment ago is alive: however often it is lost, the pause before the next try stays short
        and knows nothing of the pauses while nobody answered.
        """
        pause = 0.0
        while True:
            if self._me > member.peer and not member.links:
                await member.changed(_YIELD)
            await self._dialler.reach(member)
            begun = trio.current_time()
            await self._attend(member)
            if trio.current_time() - begun > _LASTING:
                pause = 0.0
            else:
                pause = longer(pause, self._timing.redial_first, self._timing.redial_lost)
                await rest(member, pause)

    async def _attend(self, member: Member) -> None:
        """Until its last connection is gone."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_open, member, MESHSUB, self._gossip)
                nursery.start_soon(self._keep_open, member, BEACON, self._beacons)
                nursery.start_soon(self._announce, member)
                while member.links:
                    await member.changed()
                nursery.cancel_scope.cancel()
        finally:
            if member.connected:
                member.connected = False
                log.info("peer_disconnected", peer=peer_text(member.peer))
                self._guard.disconnected(member.peer)

    async def _announce(self, member: Member) -> None:
        """Tell the daemon, once what it publishes reaches the member."""
        await self._hub.wait_ready(member.peer)
        member.connected = True
        log.info("peer_connected", peer=peer_text(member.peer))
        self._guard.connected(member.peer)

    async def _keep_open(self, member: Member, protocol: str, use: Use) -> None:
        """One stream of `protocol` in use, opened again when it is lost, with pauses that double."""
        pause = _REOPEN_FIRST
        while True:
            started = trio.current_time()
            try:
                await self._open_once(member, protocol, use)
            except* StreamLost as errors:
                log.debug("stream_lost", peer=peer_text(member.peer), protocol=protocol, why=str(errors.exceptions[0]))
            lasted = trio.current_time() - started
            await member.changed(pause)
            pause = _REOPEN_FIRST if lasted > _REOPEN_MOST else min(pause * 2, _REOPEN_MOST)

    async def _open_once(self, member: Member, protocol: str, use: Use) -> None:
        link = member.link
        if link is None:
            return
        channel = await open_channel(link, protocol, limit=self._timing.first_answer, stalled=self._timing.stalled)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_noticing_the_end, channel)
                await use(member, channel)
        finally:
            await channel.reset()

    async def _gossip(self, member: Member, channel: Channel) -> None:
        await self._hub.send_to(member.peer, channel)

    async def _beacons(self, member: Member, channel: Channel) -> None:
        while True:
            await channel.send(await member.next_beacon())


async def _noticing_the_end(channel: Channel) -> None:
    """The reader of these streams never answers on them; whatever can be read is their end, and told at once."""
    await channel.read()
    raise StreamLost("closed by its reader")
