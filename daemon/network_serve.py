"""Streams that others open here: who may speak what, and what is done with it.

Members may speak all four protocols; anyone else only /clockmesh/join/1, and any other stream of theirs is cut. No
exception but cancellation leaves `serve`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
import trio

from clockmesh.daemon.network_attend import BEACON
from clockmesh.daemon.network_gossip import Hub
from clockmesh.daemon.network_guard import Guard
from clockmesh.daemon.network_members import Member
from clockmesh.daemon.network_router import MESHSUB, Bucket
from clockmesh.daemon.network_stream import Channel
from clockmesh.daemon.network_switch import Link
from clockmesh.daemon.network_types import StreamLost, Timing
from clockmesh.protocol.errors import ProtocolError
from clockmesh.protocol.ids import PeerId, peer_text
from clockmesh.protocol.limits import MAX_BEACON_BYTES
from clockmesh.protocol.messages import JoinRequest, Message, Refused, decode_message, encode_message

log = structlog.get_logger()

ASK = "/clockmesh/ask/1"
JOIN = "/clockmesh/join/1"
_FOR_MEMBERS = frozenset((MESHSUB, BEACON, ASK, JOIN))
_FOR_STRANGERS = frozenset((JOIN,))
_STREAMS_OF_MEMBER = 128
"""Open at a time on one connection; asks, gossip and beacons of a busy peer are some 20."""
_STREAMS_OF_STRANGER = 4
"""One join, or the gossip and beacon streams of a member whose admission we have not heard of yet."""
_ASKS_OF_MEMBER = 16
"""Requests of one member answered at a time; more are refused and may be repeated."""
_BEACON_RATE = 20.0
_BEACON_BURST = 40.0
"""A member sends one beacon a second."""


class Server:
    def __init__(self, member: Callable[[PeerId], Member | None], hub: Hub, guard: Guard, timing: Timing) -> None:
        self._member = member
        self._hub = hub
        self._guard = guard
        self._timing = timing

    async def serve(self, link: Link, stream: Any) -> None:
        """All of one inbound stream."""
        channel = Channel(link, stream, stalled=self._timing.stalled)
        try:
            if not self._within_bounds(link):
                return
            await self._converse(link, channel)
        except* (StreamLost, ProtocolError, trio.TooSlowError) as errors:
            log.debug("stream_cut", peer=peer_text(link.peer), why=repr(errors.exceptions[0]))
        except* Exception as errors:
            # The last border: whatever else goes wrong on one stream costs that stream, not the host.
            log.error("stream_failed", peer=peer_text(link.peer), exc_info=errors)
        finally:
            await channel.reset()

    def _within_bounds(self, link: Link) -> bool:
        """A stranger that opens many streams loses the connection, a member only the stream."""
        if self._member(link.peer) is not None:
            return link.streams <= _STREAMS_OF_MEMBER
        if link.streams > _STREAMS_OF_STRANGER:
            link.abort()
            return False
        return True

    async def _converse(self, link: Link, channel: Channel) -> None:
        supported = _FOR_STRANGERS if self._member(link.peer) is None else _FOR_MEMBERS
        with trio.fail_after(self._timing.request):
            protocol = await channel.selected(supported)
        if protocol == JOIN:
            await self._answer_join(link, channel)
            return
        member = self._member(link.peer)
        if member is None or protocol is None:
            return
        if protocol == MESHSUB:
            await self._hub.receive_from(member.peer, channel)
        elif protocol == BEACON:
            await self._hear(member, channel)
        else:
            await self._answer_ask(member, channel)

    async def _hear(self, member: Member, channel: Channel) -> None:
        bucket = Bucket(_BEACON_RATE, _BEACON_BURST)
        while True:
            data = await channel.receive(MAX_BEACON_BYTES)
            if data is None or self._member(member.peer) is not member:
                return
            await bucket.take()
            await self._guard.beaconed(member.peer, data)

    async def _request(self, channel: Channel) -> Message:
        with trio.fail_after(self._timing.request):
            frame = await channel.receive()
        if frame is None:
            raise StreamLost("no request came")
        return decode_message(frame)

    async def _answer_join(self, link: Link, channel: Channel) -> None:
        request = await self._request(channel)
        if isinstance(request, JoinRequest):
            await self._answer(channel, self._guard.handlers.joined(link.peer, request))
            await channel.close()
            await self._leave_time_to_read(channel)

    async def _answer_ask(self, member: Member, channel: Channel) -> None:
        request = await self._request(channel)
        if member.asking >= _ASKS_OF_MEMBER:
            await channel.send(encode_message(Refused("too many requests at a time; try again")))
        else:
            member.asking += 1
            try:
                await self._answer(channel, self._guard.handlers.asked(member.peer, request))
            finally:
                member.asking -= 1
        await channel.close()
        await self._leave_time_to_read(channel)

    async def _answer(self, channel: Channel, answers: AsyncIterator[Message]) -> None:
        """Send the answers as fast as they are taken; stop when the asker goes away."""
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                # An asker sends nothing after its request: what can be read is that it left.
                with suppress(StreamLost):
                    await channel.read()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            async with _closing(answers):
                async for answer in answers:
                    await channel.send(encode_message(answer))
            nursery.cancel_scope.cancel()

    async def _leave_time_to_read(self, channel: Channel) -> None:
        """A reset right after the last answer could overtake it in the reader's buffers."""
        with trio.move_on_after(self._timing.request):
            await channel.read()


@asynccontextmanager
async def _closing(answers: AsyncIterator[Message]) -> AsyncIterator[None]:
    """Let a generator of answers end now, where it stands, rather than when Python gets round to it."""
    try:
        yield
    finally:
        if isinstance(answers, AsyncGenerator):
            await answers.aclose()
