"""Ten megabytes of junk for each door of a daemon: before the handshake, in it, and on every protocol after it."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgpack
import trio
from libp2p.io.exceptions import IOException
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_uvarint

from clockmesh.daemon.network_attend import BEACON
from clockmesh.daemon.network_gossip import topic_of
from clockmesh.daemon.network_router import MESHSUB
from clockmesh.daemon.network_serve import ASK, JOIN
from clockmesh.daemon.network_stream import open_channel
from clockmesh.daemon.network_types import StreamLost
from clockmesh.protocol.ids import MeshId
from tests.acceptance.intruders import Intruder, Target

MIB = 1024 * 1024
RANDOM = [os.urandom(MIB)] * 10
HUGE = [b"\xff\xff\xff\xff", *RANDOM]
"""A length of 4 GiB, and the beginning of it."""
_HELLO = b"\x13/multistream/1.0.0\n"


async def before_the_handshake(target: Target) -> None:
    for start in (b"", _HELLO, _HELLO + b"\x07/noise\n", b"GET / HTTP/1.1\r\n\r\n"):
        await _pour_into(target, [start, *RANDOM])


async def _pour_into(target: Target, pieces: Iterable[bytes]) -> None:
    async with await trio.open_tcp_stream(*target.address) as stream:
        with suppress(trio.BrokenResourceError), trio.move_on_after(10):
            for piece in pieces:
                await stream.send_all(piece)


async def hold_open(target: Target, count: int) -> list[trio.SocketStream]:
    """Connections that say nothing, or begin to."""
    held = [await trio.open_tcp_stream(*target.address) for _ in range(count)]
    for stream in held[::2]:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(_HELLO[:5])
    return held


async def on_every_protocol(intruder: Intruder, most: int = 40) -> None:
    """Bytes, lengths, and (at most so many for each protocol) frames that decode but make no sense."""
    mesh = intruder.target.mesh
    for protocol, shapes in {MESHSUB: _rpcs(mesh), BEACON: _frames(), ASK: _frames(), JOIN: _frames()}.items():
        for pieces in (RANDOM, HUGE):
            await _on_a_stream(intruder, protocol, pieces)
        if protocol in (ASK, JOIN):  # one request a stream
            for frame in shapes[:most]:
                await _on_a_stream(intruder, protocol, [frame])
        else:
            await _on_a_stream(intruder, protocol, shapes[:most])


async def _on_a_stream(intruder: Intruder, protocol: str, pieces: Iterable[bytes]) -> None:
    link = await intruder.link()
    with suppress(StreamLost):
        channel = await open_channel(link, protocol, limit=5)
        try:
            with suppress(StreamLost), trio.move_on_after(5):
                for piece in pieces:
                    await channel.write(piece)
        finally:
            await channel.reset()


def _frames() -> list[bytes]:
    """Whole frames of good msgpack that are no message: 10 MB of them."""
    hashes = [os.urandom(32)] * 7000
    values = [["x" * 250_000], [7, {"a": [b"b" * 250_000]}], [[[]] * 4000, b"y" * 240_000], [2, hashes]]
    packed = [msgpack.packb(value) for value in values] * 10
    return [len(data).to_bytes(4, "big") + data for data in packed]


def _rpcs(mesh: MeshId) -> list[bytes]:
    """Whole RPCs of gossip: nodes that are none, ids that nobody has, topics that nobody knows."""
    topic = topic_of(mesh)
    nodes = [rpc_pb2.RPC(publish=[rpc_pb2.Message(data=os.urandom(250_000), topicIDs=[topic])]) for _ in range(20)]
    ids = [number.to_bytes(32, "big") for number in range(3000)]
    known = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids)],
        iwant=[rpc_pb2.ControlIWant(messageIDs=ids)],
        graft=[rpc_pb2.ControlGraft(topicID=f"topic {number}") for number in range(1000)],
        prune=[rpc_pb2.ControlPrune(topicID=f"topic {number}", backoff=2**60) for number in range(1000)],
    )
    topics = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"topic {number}") for number in range(5000)]
    rpcs = [*nodes, *[rpc_pb2.RPC(control=known, subscriptions=topics)] * 10]
    datas = [rpc.SerializeToString() for rpc in rpcs]
    return [encode_uvarint(len(data)) + data for data in datas]


async def in_the_muxer(intruder: Intruder) -> None:
    """Frames of Yamux that are none, each on a connection of its own."""
    for frame in (
        RANDOM[0],
        struct.pack("!BBHII", 0, 0, 1, 7, 0xFFFFFFFF) + RANDOM[0],
        struct.pack("!BBHII", 0, 0, 1, 7, 16 * MIB) + RANDOM[0] * 9,
        struct.pack("!BBHII", 0, 9, 0xF, 7, 12) * 1000,
        struct.pack("!BBHII", 0, 1, 0xC, 1, 0) + struct.pack("!BBHII", 0, 1, 1, 1, 0) * 40,
        struct.pack("!BBHII", 0, 3, 0, 0, 77),
    ):
        link = await intruder.fresh_link()
        with suppress(IOException, trio.TooSlowError), trio.move_on_after(5):
            await link.muxed._write_frame(frame)


async def beyond_the_window(intruder: Intruder) -> None:
    """Far more than Yamux has granted, on many streams that nobody will read."""
    link = await intruder.fresh_link()
    head, body = b"\x13/multistream", os.urandom(200_000)
    with suppress(IOException, trio.TooSlowError), trio.move_on_after(10):
        for stream in range(100_001, 100_201, 2):
            await link.muxed._write_frame(struct.pack("!BBHII", 0, 0, 1, stream, len(head)) + head)
            for _ in range(5):
                await link.muxed._write_frame(struct.pack("!BBHII", 0, 0, 0, stream, len(body)) + body)


async def thousands_of_streams(intruder: Intruder, count: int = 2000) -> None:
    """Opened and never used again."""
    link = await intruder.fresh_link()
    with suppress(IOException, trio.TooSlowError), trio.move_on_after(10):
        for number in range(count):
            await link.muxed._write_frame(struct.pack("!BBHII", 0, 1, 1, 2 * number + 200_001, 0))


async def into_the_control_socket(home: Path) -> None:
    """Of its own user, who may: junk of every kind that HTTP has."""
    chunk = b"%x\r\n%b\r\n" % (MIB, RANDOM[0])
    for start, piece in (
        (b"", RANDOM[0]),
        (b"GET / HTTP/1.1\r\nx: ", b"y" * MIB),
        (b"POST /v1/runs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", chunk),
        (b"POST /v1/runs HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", RANDOM[0]),
        (b"PUT /v1/blobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", b"zz\r\n" + RANDOM[0]),
        (b"", b"GET /v1/nowhere HTTP/1.1\r\nhost: x\r\n\r\n" * 25_000),
    ):
        stream = await _unix(home)
        async with stream:
            with suppress(trio.BrokenResourceError), trio.move_on_after(2):
                await stream.send_all(start)
                for _ in range(10):
                    await stream.send_all(piece)


async def _unix(home: Path) -> trio.SocketStream:
    """The path of a socket may have 108 bytes; the folder's descriptor makes it short."""
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        await sock.connect(f"/proc/self/fd/{folder}/control.sock")
        return trio.SocketStream(sock)
    finally:
        os.close(folder)


Attack = Callable[[Intruder], Awaitable[None]]
OF_A_STRANGER: tuple[Attack, ...] = (partial(on_every_protocol, most=2), in_the_muxer, beyond_the_window)
"""It has 256 KiB in all, and soon no connection."""
OF_A_MEMBER: tuple[Attack, ...] = (on_every_protocol, in_the_muxer, beyond_the_window, thousands_of_streams)

