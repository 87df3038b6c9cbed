"""Gossip: ids, what is passed on, what is asked for, and how fast one peer may be."""

from __future__ import annotations

import hashlib
import os
import time

import trio
from libp2p.pubsub.pb import rpc_pb2

from clockmesh.daemon.network_gossip import Hub
from clockmesh.daemon.network_router import Bucket, Queue, Router, Seen, message_id
from clockmesh.daemon.network_switch import libp2p_id
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.keys import SigningKey
from tests.integration.network_support import meshed

_MESH = MeshId(bytes(32))
_STRANGER = SigningKey(bytes(32)).peer


async def test_a_message_is_known_by_the_hash_of_its_data_and_carries_no_author() -> None:
    message = rpc_pb2.Message(data=b"node", topicIDs=["t"], from_id=b"somebody", seqno=b"1")
    assert message_id(message) == hashlib.sha256(b"node").digest()
    hub, _ = _hub()
    await hub.join(_MESH)
    await hub.publish(b"node")
    (kept,) = hub.router.mcache.msgs.values()
    assert [kept.from_id, kept.seqno, kept.signature, kept.key] == [b"", b"", b"", b""]
    assert list(hub.router.mcache.msgs) == [message_id(message)]


async def test_a_node_is_passed_on_between_members_that_are_not_connected_to_each_other() -> None:
    async with meshed(3) as (one, two, three):
        mesh = one.network._mesh
        for each, others in ((one, [two]), (three, [two])):
            each.network.set_mesh(mesh, {other.id: other.network.addresses for other in others})
        for each, gone in ((one, three), (three, one)):
            await each.recorder.until(lambda each=each, gone=gone: gone.id in each.recorder.down)
        await one.network.publish(b"by way of two")
        await three.recorder.until(lambda: three.recorder.nodes == [(two.id, b"by way of two")])


async def test_a_node_is_not_passed_on_to_a_member_that_gets_it_otherwise() -> None:
    async with meshed(3) as (one, two, three):
        two.recorder.served = frozenset([three.id])
        mesh = one.network._mesh
        for each, others in ((one, [two]), (three, [two])):
            each.network.set_mesh(mesh, {other.id: other.network.addresses for other in others})
        for each, gone in ((one, three), (three, one)):
            await each.recorder.until(lambda each=each, gone=gone: gone.id in each.recorder.down)
        await one.network.publish(b"not by way of two")
        await two.recorder.until(lambda: two.recorder.heard == [b"not by way of two"])
        await two.network.publish(b"from two")
        await three.recorder.until(lambda: three.recorder.heard == [b"from two"])


async def test_what_is_known_already_is_not_asked_for_again() -> None:
    hub, sent = _hub()
    await hub.join(_MESH)
    hub.seen_messages.add(hashlib.sha256(b"known").digest())
    other = libp2p_id(SigningKey(os.urandom(32)).peer)
    hub.peer_queues[other] = Queue()
    ids = [hashlib.sha256(each).digest() for each in (b"known", b"unknown")]
    control = rpc_pb2.ControlMessage(ihave=[rpc_pb2.ControlIHave(topicID=hub.topic, messageIDs=ids)])
    await hub.router.handle_rpc(rpc_pb2.RPC(control=control), other)
    wanted = await hub.peer_queues[other].pop()
    assert [list(each.messageIDs) for each in wanted.control.iwant] == [[ids[1]]]
    assert sent == []


async def test_a_message_that_is_asked_for_is_sent_from_the_cache() -> None:
    hub, _ = _hub()
    await hub.join(_MESH)
    await hub.publish(b"mine")
    other = libp2p_id(SigningKey(os.urandom(32)).peer)
    hub.peer_queues[other] = Queue()
    iwant = rpc_pb2.ControlIWant(messageIDs=[hashlib.sha256(b"mine").digest()])
    await hub.router.handle_rpc(rpc_pb2.RPC(control=rpc_pb2.ControlMessage(iwant=[iwant])), other)
    answer = await hub.peer_queues[other].pop()
    assert [each.data for each in answer.publish] == [b"mine"]


async def test_a_node_that_the_daemon_refuses_is_not_passed_on() -> None:
    hub, _ = _hub(accept=False)
    await hub.join(_MESH)
    other = libp2p_id(SigningKey(os.urandom(32)).peer)
    hub.peer_queues[other] = Queue()
    hub.router.mesh[hub.topic] = {other}
    source = SigningKey(os.urandom(32)).peer
    message = rpc_pb2.Message(data=b"bad", topicIDs=[hub.topic])
    await hub._take(source, libp2p_id(source), rpc_pb2.RPC(publish=[message]))
    assert len(hub.peer_queues[other]) == 0
    assert hub.router.mcache.msgs == {}


async def test_a_message_asked_for_thousands_of_times_is_sent_once_and_no_answer_outgrows_an_rpc() -> None:
    hub, _ = _hub()
    await hub.join(_MESH)
    for number in range(10):
        await hub.publish(bytes([number]) * 200_000)
    ids = list(hub.router.mcache.msgs)
    other = libp2p_id(SigningKey(os.urandom(32)).peer)
    hub.peer_queues[other] = Queue()
    wishes = [rpc_pb2.ControlIWant(messageIDs=ids[:1] * 20_000), rpc_pb2.ControlIWant(messageIDs=ids)]
    await hub._take(_STRANGER, other, rpc_pb2.RPC(control=rpc_pb2.ControlMessage(iwant=wishes)))
    answer = await hub.peer_queues[other].pop()
    assert [each.data[:1] for each in answer.publish] == [b"\0", b"\1", b"\2", b"\3", b"\4"]
    assert len(hub.peer_queues[other]) == 0


async def test_no_note_is_kept_of_topics_that_a_peer_makes_up() -> None:
    hub, _ = _hub()
    await hub.join(_MESH)
    other = libp2p_id(SigningKey(os.urandom(32)).peer)
    made_up = [f"topic {number}" for number in range(1000)]
    control = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=[os.urandom(32)]) for topic in made_up],
        graft=[rpc_pb2.ControlGraft(topicID=topic) for topic in made_up],
        prune=[rpc_pb2.ControlPrune(topicID=topic, backoff=2**60) for topic in (*made_up, hub.topic)],
    )
    await hub._take(_STRANGER, other, rpc_pb2.RPC(control=control))
    for topic in made_up:
        await hub._subscription(other, None, rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic))
    router = hub.router
    notes = (router.back_off, router.graft_flood_tracking[other], router.ihave_message_limits[other], hub.peer_topics)
    assert set().union(*notes) <= {hub.topic}
    assert router.back_off[hub.topic][other] < time.time() + 70


async def test_the_cache_forgets_after_its_history() -> None:
    hub, _ = _hub()
    await hub.join(_MESH)
    await hub.publish(b"old")
    for _ in range(31):
        hub.router.mcache.shift()
    assert hub.router.mcache.msgs == {}


async def test_a_burst_of_five_hundred_nodes_arrives_whole_and_in_order() -> None:
    async with meshed(3) as peers:
        sent = [b"%d " % number + os.urandom(200) for number in range(500)]
        for data in sent:
            await peers[0].network.publish(data)
        for each in peers[1:]:
            await each.recorder.until(lambda each=each: len(each.recorder.heard) == 500, 20)
            assert sorted(each.recorder.heard) == sorted(sent)


async def test_a_queue_for_one_peer_is_bounded_in_number_and_in_bytes() -> None:
    queue = Queue()
    small = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"x")])
    assert [queue.push(small) for _ in range(1025)] == [True] * 1024 + [False]
    await queue.pop()
    assert queue.push(small)
    queue = Queue()
    large = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(256 * 1024))])
    assert sum(queue.push(large) for _ in range(100)) == 31
    await queue.pop()
    assert queue.push(large)


async def test_too_fast_a_sender_is_slowed_down(autojump_clock: trio.testing.MockClock) -> None:
    bucket = Bucket(rate=10, burst=5)
    for _ in range(25):
        await bucket.take()
    assert 1.9 < trio.current_time() < 2.1
    await trio.sleep(60)
    begun = trio.current_time()
    for _ in range(5):
        await bucket.take()
    assert trio.current_time() == begun


def test_what_was_seen_is_bounded_and_the_oldest_go_first() -> None:
    seen = Seen(3)
    for each in (b"a", b"b", b"c", b"d"):
        seen.add(each)
    assert [seen.has(each) for each in (b"a", b"b", b"c", b"d")] == [False, True, True, True]


def _hub(*, accept: bool = True) -> tuple[Hub, list[tuple[PeerId, bytes]]]:
    delivered: list[tuple[PeerId, bytes]] = []

    async def deliver(peer: PeerId, data: bytes) -> frozenset[PeerId] | None:
        delivered.append((peer, data))
        return frozenset() if accept else None

    return Hub(SigningKey(os.urandom(32)).peer, Router(), deliver), delivered
