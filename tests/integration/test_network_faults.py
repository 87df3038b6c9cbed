"""What must not end a host: junk on every protocol, handlers that fail, libp2p itself ending."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
from libp2p.io.exceptions import IOException
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_uvarint

from clockmesh.daemon import network_socket
from clockmesh.daemon.network import Unreachable
from clockmesh.daemon.network_attend import BEACON
from clockmesh.daemon.network_gossip import topic_of
from clockmesh.daemon.network_router import MESHSUB
from clockmesh.daemon.network_serve import ASK, JOIN
from clockmesh.daemon.network_stream import open_channel
from clockmesh.daemon.network_switch import libp2p_id
from clockmesh.daemon.network_types import StreamLost
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.messages import Message, SyncDone, SyncRequest
from tests.integration.network_support import LONG, PATIENT, Peer, all_connected, eventually, meshed

_JUNK = os.urandom(1024 * 1024)


async def _still_well(one: Peer, two: Peer) -> None:
    """Gossip, beacons and asks work between the two; what a connection took along that just broke is sent again."""
    start = os.urandom(8)

    def heard() -> bool:
        beacons = [data for _, data in two.recorder.beacons]
        return all(any(data.startswith(start) for data in each) for each in (two.recorder.heard, beacons))

    with trio.fail_after(LONG):
        while not heard():
            await one.network.publish(start + os.urandom(8))
            one.network.send_beacon(start)
            with trio.move_on_after(0.2):
                await two.recorder.until(heard)
    async with one.network.ask(two.id, SyncRequest({})) as answers:
        assert [each async for each in answers] == [SyncDone({})]


@pytest.mark.parametrize("protocol", [MESHSUB, BEACON, ASK, JOIN])
async def test_ten_megabytes_of_junk_on_a_stream_of_a_member_cost_that_stream(protocol: str) -> None:
    async with meshed(2) as (one, two):
        host = two.host
        for start in (b"", b"\x00\x00\x01\x00", b"\x00\x00\x00\x00" * 64, b"\x80\x80\x01", b"\x05hello" * 100):
            link = one.host.members[two.id].link
            assert link is not None
            channel = await open_channel(link, protocol, limit=LONG)
            try:
                await channel.write(start)
                for _ in range(2):
                    await channel.write(_JUNK)
            except StreamLost:
                continue
        assert two.host is host
        await all_connected([one, two])
        await _still_well(one, two)
        await _still_well(two, one)


async def test_junk_before_the_handshake_costs_that_connection() -> None:
    async with meshed(2) as (one, two):
        host = one.host
        hello = b"\x13/multistream/1.0.0\n"
        for start in (b"", hello, hello + b"\x07/noise\n", b"GET / HTTP/1.1\r\n\r\n"):
            async with await trio.open_tcp_stream(*one.listen) as stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(start)
                    for _ in range(10):
                        await stream.send_all(_JUNK)
        assert one.host is host
        await _still_well(one, two)


async def test_junk_in_the_muxer_of_a_member_costs_that_connection_which_is_dialled_again() -> None:
    async with meshed(2) as (one, two):
        host = two.host
        for frame in (
            _JUNK[:4096],
            struct.pack("!BBHII", 0, 0, 1, 7, 0xFFFFFFFF),
            struct.pack("!BBHII", 0, 9, 0xF, 7, 12) * 1000,
            struct.pack("!BBHII", 0, 1, 0xC, 1, 0) + struct.pack("!BBHII", 0, 1, 1, 1, 0) * 40,
            struct.pack("!BBHII", 0, 3, 0, 0, 77),
        ):
            await all_connected([one, two])
            link = one.host.members[two.id].link
            assert link is not None
            with suppress(IOException):
                await link.muxed._write_frame(frame)
            await trio.sleep(0.1)
        await _still_well(one, two)
        await _still_well(two, one)
        assert two.host is host


async def test_gossip_that_decodes_but_makes_no_sense_is_dropped() -> None:
    async with meshed(2) as (one, two):
        host = two.host
        topic = topic_of(one.network._mesh)
        control = rpc_pb2.ControlMessage(
            ihave=[rpc_pb2.ControlIHave(topicID="other", messageIDs=[os.urandom(32)] * 50)],
            iwant=[rpc_pb2.ControlIWant(messageIDs=[b"\xff\xfe", b"zz"])],
            graft=[rpc_pb2.ControlGraft(topicID="other")],
            prune=[rpc_pb2.ControlPrune(topicID=topic, backoff=2**60, peers=[rpc_pb2.PeerInfo(peerID=b"junk")])],
        )
        messages = [
            rpc_pb2.Message(data=b"another topic", topicIDs=["other"]),
            rpc_pb2.Message(data=b"two topics", topicIDs=[topic, "other"]),
            rpc_pb2.Message(data=b"no topic"),
            rpc_pb2.Message(data=bytes(300 * 1024), topicIDs=[topic]),
            rpc_pb2.Message(data=b"undecodable key", topicIDs=[topic], from_id=b"x", key=b"\xff" * 40, signature=b"s"),
        ]
        link = one.host.members[two.id].link
        assert link is not None
        channel = await open_channel(link, MESHSUB, limit=LONG)
        for rpc in (rpc_pb2.RPC(publish=messages), rpc_pb2.RPC(control=control, senderRecord=b"junk")):
            data = rpc.SerializeToString()
            await channel.write(encode_uvarint(len(data)) + data)
        # Only that which is a message of this topic goes on to the daemon, which checks the node's own signature.
        await two.recorder.until(lambda: two.recorder.heard == [b"undecodable key"])
        await channel.reset()
        assert two.host is host
        await trio.sleep(0.3)
        await _still_well(one, two)


async def test_a_handler_that_fails_costs_one_message() -> None:
    async with meshed(2) as (one, two):
        host = two.host
        calls = two.network._handlers
        failed: list[bytes] = []

        async def fail(_peer: object, data: bytes) -> None:
            failed.append(data)
            raise (RemoteError("no node") if data == b"remote" else RuntimeError("a bug"))

        good_node, good_beacon = calls.gossiped, calls.beaconed
        streams = set(two.host.hub._subscribed_on[libp2p_id(one.id)])
        calls.gossiped = calls.beaconed = fail
        for data in (b"remote", b"bug"):
            await one.network.publish(data)
            one.network.send_beacon(data)
            await eventually(lambda data=data: failed.count(data) == 2)
        calls.gossiped, calls.beaconed = good_node, good_beacon
        assert two.host is host
        assert set(two.host.hub._subscribed_on[libp2p_id(one.id)]) == streams, "not even the stream was cut"
        await _still_well(one, two)


async def test_answers_that_fail_are_told_as_unreachable_and_the_next_are_given() -> None:
    async with meshed(2) as (one, two):

        async def fail(_peer: object, _message: Message) -> AsyncIterator[Message]:
            yield SyncDone({})
            raise RuntimeError("a bug")

        host = two.host
        good, two.recorder.answers = two.recorder.answers, fail
        with pytest.raises(Unreachable):  # noqa: PT012
            async with one.network.ask(two.id, SyncRequest({})) as answers:
                async for _ in answers:
                    pass
        two.recorder.answers = good
        await _still_well(one, two)
        assert two.host is host


async def test_connection_callbacks_that_fail_do_not_end_the_host() -> None:
    async with meshed(2) as (one, two):

        def fail(_peer: object) -> None:
            raise RuntimeError("a bug")

        one.recorder.connected = one.recorder.disconnected = fail  # type: ignore[method-assign]
        host = one.host
        await one.lose(two)
        await eventually(lambda: bool(one.network.connected))
        assert one.host is host


async def test_a_host_that_ends_is_built_anew_on_the_same_port() -> None:
    async with meshed(3) as peers:
        one, two, three = peers
        old = one.host

        async def explode() -> None:
            raise RuntimeError("libp2p ended")

        old.switch.manager.run_task(explode)
        for each in (two, three):
            await each.recorder.until(lambda each=each: each.recorder.down == [one.id])
        await all_connected(peers)
        assert one.host is not old
        assert one.listen == (one.listen[0], int(one.network.addresses[0].rsplit("/", 1)[1]))
        await _still_well(two, one)
        await _still_well(one, three)


async def test_a_frame_that_is_too_long_cuts_its_stream_before_it_has_come() -> None:
    async with meshed(2) as (one, two):
        link = one.host.members[two.id].link
        assert link is not None
        for protocol in (ASK, JOIN, BEACON):
            channel = await open_channel(link, protocol, limit=LONG)
            await channel.write(b"\x7f\xff\xff\xff")
            with trio.fail_after(PATIENT.request / 2), suppress(StreamLost):
                assert await channel.read() == b""
        await _still_well(one, two)


async def test_a_member_that_ignores_the_window_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_socket, "HELD_BYTES", 1024 * 1024)
    async with meshed(2) as (one, two):
        host = two.host
        link = one.host.members[two.id].link
        assert link is not None
        head, body = struct.pack("!BBHII", 0, 0, 1, 9001, 1) + b"\x13", struct.pack("!BBHII", 0, 0, 0, 9001, 65_000)
        with suppress(IOException), trio.move_on_after(LONG):
            await link.muxed._write_frame(head)
            for _ in range(30):
                await link.muxed._write_frame(body + bytes(65_000))
        with trio.fail_after(LONG / 2):
            await link.pipe.closed.wait()
        assert two.host is host


async def test_of_thousands_of_streams_a_member_keeps_a_hundred() -> None:
    async with meshed(2) as (one, two):
        link = one.host.members[two.id].link
        assert link is not None
        for number in range(1000):
            await link.muxed._write_frame(struct.pack("!BBHII", 0, 1, 1, 2 * number + 9001, 0))
        await trio.sleep(0.5)
        assert sum(each.streams for each in two.host.members[one.id].links) <= 130
        await _still_well(two, one)
