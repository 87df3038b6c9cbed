"""Gossip: libp2p's GossipSub router on streams of our own.

The router (mesh, GRAFT and PRUNE, IHAVE and IWANT, heartbeat) is libp2p's; `Hub` stands where libp2p's Pubsub would,
which ends the whole process on junk or an undecodable key, reads a byte at a time, signs and verifies an address record
with every message, and starts a task for each.

There are no pubsub signatures (libp2p's StrictNoSign): each node is signed by its author and checked by the receiver,
so a second signature would double the cost and prove less. Without author and number in the envelope there is also
nothing to restart at 0, nor to forge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.utils import safe_bytes_from_hex
from libp2p.utils.varint import encode_uvarint

from clockmesh.daemon.network_control import sane
from clockmesh.daemon.network_router import MESHSUB, RPC_BYTES, Bucket, Queue, Router, Seen, message_id
from clockmesh.daemon.network_stream import Channel
from clockmesh.daemon.network_switch import libp2p_id
from clockmesh.daemon.network_types import StreamLost
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.limits import MAX_FRAME

_PACKET_BYTES = 32 * 1024
"""Small RPCs that wait are written together up to here; one Noise packet holds 64 KiB."""
_RATE = 200.0
"""Messages a second that one peer's stream is read at, after a burst; an honest peer sends at most 100."""
_BURST = 400.0

Deliver = Callable[[PeerId, bytes], Awaitable[frozenset[PeerId] | None]]
"""Who gets it otherwise, and need not get it from here; None for what must not be passed on at all."""


def topic_of(mesh: MeshId) -> str:
    return f"clockmesh/1/{mesh.hex()}/nodes"


class Hub:
    """Topics and streams for one Router. Its public attributes are those that libp2p's router reads."""

    def __init__(self, me: PeerId, router: Router, deliver: Deliver) -> None:
        self.me = libp2p_id(me)
        self.router = router
        self.seen_messages = Seen()
        self.peers: dict[ID, Channel] = {}
        self.peer_topics: dict[str, set[ID]] = {}
        self.peer_queues: dict[ID, Queue] = {}
        self.topic: str | None = None
        self._deliver = deliver
        self._subscribed_on: dict[ID, set[Channel]] = {}
        """The streams on which each peer has subscribed to our topic: a second one that breaks takes nothing away."""
        self._ready: dict[ID, trio.Event] = {}
        router.attach(self)  # type: ignore[arg-type]

    @staticmethod
    def get_message_id(message: rpc_pb2.Message) -> bytes:
        return message_id(message)

    async def join(self, mesh: MeshId | None) -> None:
        """Be subscribed to the nodes of `mesh` and to nothing else."""
        topic = None if mesh is None else topic_of(mesh)
        if topic == self.topic:
            return
        old, self.topic = self.topic, topic
        if old is not None:
            self._announce(old, False)
            await self.router.leave(old)
        if topic is not None:
            self._announce(topic, True)
            await self.router.join(topic)

    def _announce(self, topic: str, subscribe: bool) -> None:
        for queue in self.peer_queues.values():
            queue.push(_subscriptions([topic], subscribe))

    async def publish(self, data: bytes) -> None:
        """To all who are connected. Without a mesh there is nobody, and nothing happens."""
        if self.topic is None:
            return
        message = rpc_pb2.Message(data=data, topicIDs=[self.topic])
        self.seen_messages.add(message_id(message))
        await self.router.publish(self.me, message)

    async def wait_ready(self, peer: PeerId) -> None:
        """Until what is published here reaches `peer`: its stream is open and it has subscribed."""
        await self._ready.setdefault(libp2p_id(peer), trio.Event()).wait()

    def _wants(self, peer_id: ID) -> bool:
        return self.topic is not None and peer_id in self.peers and peer_id in self.peer_topics.get(self.topic, ())

    def _check_ready(self, peer_id: ID) -> None:
        """Only an event that is set is ever thrown away: somebody may wait for another."""
        if self._wants(peer_id):
            self._ready.setdefault(peer_id, trio.Event()).set()
        elif peer_id in self._ready and self._ready[peer_id].is_set():
            del self._ready[peer_id]

    async def send_to(self, peer: PeerId, channel: Channel) -> None:
        """Use `channel`, which this side opened, for all that goes to `peer`, until it is cut."""
        peer_id = libp2p_id(peer)
        queue = Queue()
        if self.topic is not None:
            queue.push(_subscriptions([self.topic], True))
        self.router.add_peer(peer_id, TProtocol(MESHSUB))
        self.peers[peer_id] = channel
        self.peer_queues[peer_id] = queue
        try:
            await self._greet(peer_id)
            while True:
                await channel.write(await _next_bytes(queue))
        finally:
            if self.peers.get(peer_id) is channel:
                del self.peers[peer_id]
                del self.peer_queues[peer_id]
                self._check_ready(peer_id)
                self.router.remove_peer(peer_id)

    async def _greet(self, peer_id: ID) -> None:
        """Both of us can write and read now: be in one another's mesh, and hand over what was just published."""
        self._check_ready(peer_id)
        topic = self.topic
        if topic is None or not self._wants(peer_id):
            return
        await self.router.on_peer_subscribed(peer_id, topic)
        for mid in self.router.mcache.window(topic):
            message = self.router.mcache.get(mid)
            if message is not None:
                self.router.send_rpc(peer_id, rpc_pb2.RPC(publish=[message]))

    async def receive_from(self, peer: PeerId, channel: Channel) -> None:
        """Take in what `peer` sends on `channel`, which it opened, until the end. StreamLost if it is cut or junk."""
        peer_id = libp2p_id(peer)
        bucket = Bucket(_RATE, _BURST)
        try:
            while True:
                frame = await channel.receive_varint_frame(RPC_BYTES)
                if frame is None:
                    return
                await bucket.take()
                rpc = _decoded(frame)
                for each in rpc.subscriptions:
                    await self._subscription(peer_id, channel, each)
                await self._take(peer, peer_id, rpc)
        finally:
            self._unsubscribe(peer_id, channel)

    async def _take(self, peer: PeerId, peer_id: ID, rpc: rpc_pb2.RPC) -> None:
        for message in rpc.publish:
            await self._take_message(peer, peer_id, message)
        if rpc.HasField("control"):
            await self._control(peer_id, sane(rpc.control, self.topic, self._cached_size, RPC_BYTES))

    def _cached_size(self, id_on_the_wire: bytes) -> int:
        mid = safe_bytes_from_hex(id_on_the_wire)
        message = None if mid is None else self.router.mcache.get(mid)
        return 0 if message is None else message.ByteSize()

    async def _control(self, peer_id: ID, rpc: rpc_pb2.RPC) -> None:
        try:
            await self.router.handle_rpc(rpc, peer_id)
        except Exception as error:
            # libp2p's router meets a stranger's bytes here; its faults end this stream and nothing else.
            raise StreamLost(f"gossip control failed: {error!r}") from error

    async def _subscription(self, peer_id: ID, channel: Channel, asked: rpc_pb2.RPC.SubOpts) -> None:
        if asked.topicid != self.topic:
            return
        if not asked.subscribe:
            self._unsubscribe(peer_id, channel)
            return
        self._subscribed_on.setdefault(peer_id, set()).add(channel)
        self.peer_topics.setdefault(asked.topicid, set()).add(peer_id)
        await self._greet(peer_id)

    def _unsubscribe(self, peer_id: ID, channel: Channel) -> None:
        channels = self._subscribed_on.get(peer_id, set())
        channels.discard(channel)
        if channels:
            return
        self._subscribed_on.pop(peer_id, None)
        for topic in list(self.peer_topics):
            self.peer_topics[topic].discard(peer_id)
            if not self.peer_topics[topic]:
                del self.peer_topics[topic]
        self._check_ready(peer_id)

    async def _take_message(self, peer: PeerId, peer_id: ID, message: rpc_pb2.Message) -> None:
        if list(message.topicIDs) != [self.topic] or len(message.data) > MAX_FRAME:
            return
        mid = message_id(message)
        if self.seen_messages.has(mid):
            return
        self.seen_messages.add(mid)
        served = await self._deliver(peer, message.data)
        if served is not None:
            passed_on = rpc_pb2.Message(data=message.data, topicIDs=message.topicIDs)
            self.router.pass_on(passed_on, {peer_id, *map(libp2p_id, served)})


async def _next_bytes(queue: Queue) -> bytes:
    """What waits, as many RPCs as fit one encrypted packet."""
    data = bytearray()
    while not data or (len(queue) and len(data) < _PACKET_BYTES):
        rpc = await queue.pop()
        if rpc is None:
            raise StreamLost("nothing more will be sent")
        part = rpc.SerializeToString()
        data += encode_uvarint(len(part)) + part
    return bytes(data)


def _decoded(frame: bytes) -> rpc_pb2.RPC:
    rpc = rpc_pb2.RPC()
    try:
        rpc.ParseFromString(frame)
    except Exception as error:
        # Protobuf's DecodeError; protobuf is libp2p's dependency, not ours to import.
        raise StreamLost("no gossip RPC") from error
    return rpc


def _subscriptions(topics: list[str], subscribe: bool) -> rpc_pb2.RPC:
    options = [rpc_pb2.RPC.SubOpts(subscribe=subscribe, topicid=topic) for topic in topics]
    return rpc_pb2.RPC(subscriptions=options)


