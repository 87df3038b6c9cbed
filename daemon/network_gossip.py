"""Gossip: libp2p's GossipSub router on streams of our own.

The router (mesh, GRAFT and PRUNE, IHAVE and IWANT, heartbeat) is libp2p's; `Hub` stands where libp2p's Pubsub would,
which ends the whole process on junk or an undecodable key, reads a byte at a time, signs and verifies an address record
with every message, and starts a task for each. What is different, and why:

- No pubsub signatures (libp2p's StrictNoSign): each node is signed by its author and checked by the receiver, so a
  second signature would double the cost and prove less. Without author and seqno in the envelope there is also nothing
  to restart at 0, nor to forge.
- The message id is SHA-256 of the data, also in the cache from which IWANT is answered (libp2p's uses another id there,
  so that every IHAVE would fetch what is known).
- What this peer publishes itself goes to all connected members at once, not only to its part of the mesh.
- Too fast a sender is read more slowly; nothing of it is dropped before its own queue is full.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from google.protobuf.message import DecodeError
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils.varint import encode_uvarint

from clockmesh.daemon.network_stream import Channel
from clockmesh.daemon.network_switch import libp2p_id
from clockmesh.daemon.network_types import StreamLost
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.limits import MAX_FRAME

MESHSUB = "/meshsub/1.1.0"
"""The version without IDONTWANT: in a full mesh that costs a message more for each one it saves."""

_RPC_BYTES = 1024 * 1024
"""One RPC; an answer to IWANT may carry several messages."""
_PACKET_BYTES = 32 * 1024
_QUEUE_RPCS = 1024
_QUEUE_BYTES = 8 * 1024 * 1024
"""What waits for one slow peer at most; sync gives it the rest."""
_SEEN = 16384
"""Ids of messages that came already: several minutes of the busiest mesh."""
_RATE = 200.0
"""Messages a second that one peer's stream is read at, after a burst; an honest peer sends at most 100."""
_BURST = 400.0

Deliver = Callable[[PeerId, bytes], Awaitable[bool]]
"""False for what must not be passed on."""


def topic_of(mesh: MeshId) -> str:
    return f"clockmesh/1/{mesh.hex()}/nodes"


def message_id(message: rpc_pb2.Message) -> bytes:
    return hashlib.sha256(message.data).digest()


class Seen:
    """The last ids that came, as a bounded set."""

    def __init__(self, most: int = _SEEN) -> None:
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self._most = most

    def has(self, key: bytes) -> bool:
        return key in self._ids

    def add(self, key: bytes) -> None:
        self._ids[key] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)


class Bucket:
    """A token bucket that makes its user wait rather than refuse."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = trio.current_time()

    async def take(self) -> None:
        now = trio.current_time()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        if self._tokens < 0:
            await trio.sleep(-self._tokens / self._rate)


class _Cache(MessageCache):
    """libp2p's message cache under our message id."""

    def put(self, msg: rpc_pb2.Message) -> None:
        mid = message_id(msg)
        if mid not in self.msgs:
            self.msgs[mid] = msg
            self.history[0].append(CacheEntry(mid, msg.topicIDs))


class Router(GossipSub):
    """libp2p's router with the settings of DESIGN 9.4 and nothing that adapts, scores or remembers by itself."""

    def __init__(self) -> None:
        super().__init__(
            protocols=[TProtocol(MESHSUB)],
            degree=6,
            degree_low=4,
            degree_high=12,
            gossip_window=3,
            gossip_history=30,
            heartbeat_initial_delay=1.0,
            heartbeat_interval=1,
            prune_back_off=10,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            do_px=False,
        )
        self.mcache = _Cache(3, 30)
        # Members are admitted by signature and removed by events of the clock: scores have nothing to say.
        self.scorer: Any = None

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Send our own message to every member that wants it, another's to our part of the mesh."""
        self.mcache.put(pubsub_msg)
        topic = pubsub_msg.topicIDs[0]
        hub: Any = self.pubsub
        wanted = hub.peer_topics.get(topic, set()) if msg_forwarder == hub.me else self.mesh.get(topic, set())
        rpc = rpc_pb2.RPC(publish=[pubsub_msg])
        for peer_id in wanted - {msg_forwarder}:
            self.send_rpc(peer_id, rpc)

    def send_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, priority: bool = False) -> None:
        hub: Any = self.pubsub
        queue = hub.peer_queues.get(peer_id)
        if queue is not None:
            queue.push(rpc, priority=priority)


class Queue(RpcQueue):
    """What waits for one peer, bounded in bytes too."""

    def __init__(self) -> None:
        super().__init__(max_size=_QUEUE_RPCS, max_message_size=_RPC_BYTES)
        self._bytes = 0

    def push(self, rpc: rpc_pb2.RPC, priority: bool = False) -> bool:
        size = rpc.ByteSize()
        if self._bytes + size > _QUEUE_BYTES or not super().push(rpc, priority):
            return False
        self._bytes += size
        return True

    async def pop(self) -> rpc_pb2.RPC | None:
        rpc = await super().pop()
        if rpc is not None:
            self._bytes -= rpc.ByteSize()
        return rpc


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
                frame = await channel.receive_varint_frame(_RPC_BYTES)
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
            rpc.ClearField("senderRecord")
            await self._control(peer_id, rpc)

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
        if await self._deliver(peer, message.data):
            await self.router.publish(peer_id, rpc_pb2.Message(data=message.data, topicIDs=message.topicIDs))


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
    except DecodeError as error:
        raise StreamLost("no gossip RPC") from error
    return rpc


def _subscriptions(topics: list[str], subscribe: bool) -> rpc_pb2.RPC:
    options = [rpc_pb2.RPC.SubOpts(subscribe=subscribe, topicid=topic) for topic in topics]
    return rpc_pb2.RPC(subscriptions=options)


