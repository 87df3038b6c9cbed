"""Asking a peer: one request on a stream of its own, answers as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import trio

from clockmesh.daemon.network_serve import ASK, JOIN
from clockmesh.daemon.network_stream import Channel, open_channel
from clockmesh.daemon.network_switch import Link
from clockmesh.daemon.network_types import JoinDenied, StreamLost, Timing, Unreachable
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.messages import JoinAccepted, JoinRefused, JoinRequest, Message, decode_message, encode_message


@asynccontextmanager
async def asking(link: Link, message: Message, timing: Timing) -> AsyncIterator[AsyncIterator[Message]]:
    """The answers to `message`. Leaving early, by break, error or cancellation, tells the answerer to stop."""
    try:
        channel = await open_channel(link, ASK, limit=timing.first_answer, stalled=timing.stalled)
    except StreamLost as error:
        raise Unreachable(link.peer, str(error)) from error
    answers = _answers(channel, message, timing.first_answer)
    try:
        yield answers
    finally:
        await channel.reset()
        await answers.aclose()


async def _answers(channel: Channel, message: Message, first_answer: float) -> AsyncGenerator[Message, None]:
    peer = channel.link.peer
    try:
        with trio.fail_after(first_answer):
            await channel.send(encode_message(message))
            frame = await channel.receive()
        while frame is not None:
            yield decode_message(frame)
            frame = await channel.receive()
    except trio.TooSlowError as error:
        raise Unreachable(peer, f"no answer within {first_answer:.0f} s") from error
    except (StreamLost, RemoteError) as error:
        raise Unreachable(peer, str(error)) from error


async def joining(link: Link, request: JoinRequest, timing: Timing) -> list[JoinAccepted]:
    """All that the inviter at the other end answers; JoinDenied if it refuses, Unreachable if it stops half-way."""
    try:
        channel = await open_channel(link, JOIN, limit=timing.first_answer, stalled=timing.stalled)
        try:
            return await _accepted(channel, request)
        finally:
            await channel.reset()
    except (StreamLost, RemoteError) as error:
        raise Unreachable(link.peer, str(error)) from error


async def _accepted(channel: Channel, request: JoinRequest) -> list[JoinAccepted]:
    await channel.send(encode_message(request))
    answers: list[JoinAccepted] = []
    while not answers or answers[-1].more:
        frame = await channel.receive()
        if frame is None:
            raise StreamLost("it ended before all nodes had come")
        answer = decode_message(frame)
        if isinstance(answer, JoinRefused):
            raise JoinDenied(answer.reason)
        if not isinstance(answer, JoinAccepted):
            raise StreamLost(f"it answered with {type(answer).__name__}")
        answers.append(answer)
    return answers
