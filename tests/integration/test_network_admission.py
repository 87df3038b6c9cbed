"""Who gets in: Noise only, members by their peer id, strangers for a moment and on one protocol."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID

from clockmesh.daemon.network import Unreachable
from clockmesh.daemon.network_attend import BEACON
from clockmesh.daemon.network_router import MESHSUB
from clockmesh.daemon.network_serve import ASK, JOIN
from clockmesh.daemon.network_stream import open_channel
from clockmesh.daemon.network_types import StreamLost
from clockmesh.protocol.ids import MeshId, peer_text
from clockmesh.protocol.messages import SyncRequest, encode_message
from tests.integration.network_support import (
    LONG,
    NOISE,
    PATIENT,
    QUICK,
    Peer,
    admit,
    all_connected,
    eventually,
    meshed,
)


async def _stranger(target: Peer, nursery: trio.Nursery) -> Peer:
    """A peer that takes `target` for a member of its mesh, which is not mutual; connected."""
    stranger = Peer(PATIENT)
    await stranger.start(nursery)
    await stranger.host.dialler.dial(target.id, target.network.addresses)
    return stranger


async def test_libp2p_knows_a_peer_by_the_id_that_its_key_spells() -> None:
    async with meshed(2) as (one, two):
        assert str(one.host.switch.self_id) == peer_text(one.id)
        assert [str(each) for each in one.host.switch.connections] == [peer_text(two.id)]
        assert ID.from_base58(peer_text(one.id)).to_bytes() == one.host.switch.self_id.to_bytes()


@pytest.mark.parametrize("protocol", [PLAINTEXT_PROTOCOL_ID, "/tls/1.0.0", "/secio/1.0.0"])
async def test_only_noise_is_spoken(protocol: str) -> None:
    async with meshed(2) as (one, _):
        answer = b""
        async with await trio.open_tcp_stream(*one.listen) as stream:
            for line in ("/multistream/1.0.0", protocol):
                await stream.send_all(bytes([len(line) + 1]) + line.encode() + b"\n")
            with trio.move_on_after(2):
                while b"na\n" not in answer and (data := await _received(stream)):
                    answer += data
        assert protocol.encode() not in answer


async def test_whoever_answers_a_dial_must_be_the_peer_that_was_dialled() -> None:
    async with meshed(2) as (one, two):
        with pytest.raises(Unreachable, match="something else than this peer answers"):
            await one.host.dialler.dial(Peer().id, two.network.addresses)


@pytest.mark.parametrize("protocol", [MESHSUB, BEACON, ASK, "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"])
async def test_a_stranger_may_speak_nothing_but_join(protocol: str, nursery: trio.Nursery) -> None:
    async with meshed(2) as (one, _):
        stranger = await _stranger(one, nursery)
        link = next(iter(stranger.host.switch.links.values()))
        with pytest.raises(StreamLost):
            await open_channel(link, protocol, limit=LONG)
        await (await open_channel(link, JOIN, limit=LONG)).reset()
        nursery.cancel_scope.cancel()


async def test_a_stranger_is_dismissed_when_its_time_is_over_and_may_come_again(nursery: trio.Nursery) -> None:
    async with meshed(2, QUICK) as (one, _):
        for _ in range(2):
            begun = trio.current_time()
            stranger = await _stranger(one, nursery)
            link = next(iter(stranger.host.switch.links.values()))
            with trio.fail_after(LONG):
                await link.muxed.event_shutting_down.wait()
            assert QUICK.stranger - 0.1 <= trio.current_time() - begun < QUICK.stranger + NOISE
        nursery.cancel_scope.cancel()


async def test_a_stranger_hears_no_gossip_and_no_beacon_and_its_own_are_dropped(nursery: trio.Nursery) -> None:
    async with meshed(2) as (one, two):
        stranger = Peer(PATIENT)
        # It knows the mesh's id and members, and claims to be one of them.
        stranger.network.set_mesh(one.network._mesh, {each.id: each.network.addresses for each in (one, two)})
        await stranger.start(nursery)
        await eventually(lambda: len(stranger.host.switch.links) == 2)
        for _ in range(5):
            await one.network.publish(os.urandom(50))
            one.network.send_beacon(b"beacon of a member")
            await stranger.network.publish(b"node of a stranger")
            stranger.network.send_beacon(b"beacon of a stranger")
            await trio.sleep(0.1)
        await two.recorder.until(lambda: len(two.recorder.heard) == 5 and len(two.recorder.beacons) == 5)
        assert stranger.recorder.heard == []
        assert stranger.recorder.beacons == []
        assert stranger.network.connected == frozenset()
        assert one.recorder.heard == []
        assert one.recorder.beacons == []
        nursery.cancel_scope.cancel()


async def test_a_member_that_is_admitted_later_is_dialled(nursery: trio.Nursery) -> None:
    async with meshed(2) as peers:
        mesh = peers[0].network._mesh
        late = Peer(PATIENT)
        await late.start(nursery)
        admit(mesh, [*peers, late])
        await all_connected([*peers, late])
        nursery.cancel_scope.cancel()


async def test_a_stranger_that_becomes_a_member_keeps_its_connection(nursery: trio.Nursery) -> None:
    timing = replace(QUICK, stranger=1.5)
    async with meshed(2, timing) as peers:
        mesh = peers[0].network._mesh
        late = await _stranger(peers[0], nursery)
        link = next(iter(late.host.switch.links.values()))
        admit(mesh, [*peers, late])
        await all_connected([*peers, late])
        assert link in late.host.members[peers[0].id].links
        await trio.sleep(timing.stranger + 0.2)
        assert all(each.conn is not None for each in late.host.members[peers[0].id].links)
        assert late.recorder.down == []
        nursery.cancel_scope.cancel()


async def test_a_removed_member_loses_its_connection_and_gets_none_again() -> None:
    async with meshed(3, QUICK) as (one, two, gone):
        mesh = one.network._mesh
        links = [link for each in (one, two) for link in each.host.members[gone.id].links]
        for each in (one, two):
            each.network.set_mesh(mesh, {other.id: other.network.addresses for other in (one, two)})
        for each in (one, two):
            await each.recorder.until(lambda each=each: each.recorder.down == [gone.id])
        await eventually(lambda: not any(link.alive for link in links))
        await trio.sleep(0.5)
        await one.network.publish(b"secret")
        await two.recorder.until(lambda: two.recorder.heard == [b"secret"])
        assert gone.recorder.heard == []
        assert one.network.connected == frozenset([two.id])
        with pytest.raises(Unreachable, match="not connected"):
            async with one.network.ask(gone.id, SyncRequest({})):
                raise AssertionError("a removed member was asked")


async def test_strangers_cannot_keep_newcomers_out(nursery: trio.Nursery) -> None:
    """Three hundred idle connections: every one is dropped in time, and a member that dials meanwhile gets in."""
    timing = replace(QUICK, handshake=5.0)
    one, two = Peer(timing), Peer(timing)
    await one.start(nursery)
    idle = [await trio.open_tcp_stream(*one.listen) for _ in range(300)]
    admit(MeshId(os.urandom(32)), [one, two])
    await two.start(nursery)
    await all_connected([one, two])
    assert one.host._handshakes, "it had to wait until the idle ones were dropped"
    for stream in idle:
        with trio.fail_after(LONG):
            while await _received(stream):
                pass
        await stream.aclose()
    nursery.cancel_scope.cancel()


async def _received(stream: trio.SocketStream) -> bytes:
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


async def test_a_stranger_that_sends_too_much_loses_its_connection(nursery: trio.Nursery) -> None:
    async with meshed(2) as (one, _):
        stranger = await _stranger(one, nursery)
        link = next(iter(stranger.host.switch.links.values()))
        channel = await open_channel(link, JOIN, limit=LONG)
        with pytest.raises(StreamLost):  # noqa: PT012
            for _ in range(40):
                await channel.send(bytes(128 * 1024))
        with trio.fail_after(PATIENT.stranger / 2):
            await link.pipe.closed.wait()
        assert one.network.connected
        nursery.cancel_scope.cancel()


async def test_a_stranger_that_opens_many_streams_loses_its_connection(nursery: trio.Nursery) -> None:
    async with meshed(2) as (one, _):
        stranger = await _stranger(one, nursery)
        link = next(iter(stranger.host.switch.links.values()))
        with pytest.raises(StreamLost):  # noqa: PT012
            for _ in range(100):
                await open_channel(link, JOIN, limit=LONG)
        with trio.fail_after(LONG):
            await link.muxed.event_shutting_down.wait()
        nursery.cancel_scope.cancel()


async def test_a_stranger_cannot_ask_on_a_join_stream(nursery: trio.Nursery) -> None:
    async with meshed(2) as (one, _):
        stranger = await _stranger(one, nursery)
        channel = await open_channel(next(iter(stranger.host.switch.links.values())), JOIN, limit=LONG)
        await channel.send(encode_message(SyncRequest({})))
        with pytest.raises(StreamLost):
            await channel.receive()
        assert one.recorder.asked_by == []
        nursery.cancel_scope.cancel()
