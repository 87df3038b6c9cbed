"""libp2p's GossipSub router, tamed, and what it needs: an id for each message, a cache, a queue for each peer.

- The message id is SHA-256 of the data, also in the cache from which IWANT is answered (libp2p's uses another id there,
  so that every IHAVE would fetch what is known).
- What this peer publishes itself goes to all connected members at once, not only to its part of the mesh; another's
  is passed on to those alone who do not hear its author themselves.
- Too fast a sender is read more slowly; nothing of it is dropped before its own queue is full.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue

MESHSUB = "/meshsub/1.1.0"
"""The version without IDONTWANT: in a full mesh that costs a message more for each one it saves."""

RPC_BYTES = 1024 * 1024
"""One RPC; an answer to IWANT may carry several messages."""
_QUEUE_RPCS = 1024
_QUEUE_BYTES = 8 * 1024 * 1024
"""What waits for one slow peer at most; sync gives it the rest."""
_SEEN = 16384
"""Ids of messages that came already: several minutes of the busiest mesh."""


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
        """Send our own message to every member that wants it."""
        hub: Any = self.pubsub
        self._send(pubsub_msg, hub.peer_topics.get(pubsub_msg.topicIDs[0], set()))

    def pass_on(self, message: rpc_pb2.Message, have_it: set[ID]) -> None:
        """Send another's message to our part of the mesh, those apart who have it or get it otherwise."""
        self._send(message, self.mesh.get(message.topicIDs[0], set()) - have_it)

    def _send(self, message: rpc_pb2.Message, peers: set[ID]) -> None:
        self.mcache.put(message)
        rpc = rpc_pb2.RPC(publish=[message])
        for peer_id in peers:
            self.send_rpc(peer_id, rpc)

    def send_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, priority: bool = False) -> None:
        hub: Any = self.pubsub
        queue = hub.peer_queues.get(peer_id)
        if queue is not None:
            queue.push(rpc, priority=priority)


class Queue(RpcQueue):
    """What waits for one peer, bounded in bytes too."""

    def __init__(self) -> None:
        super().__init__(max_size=_QUEUE_RPCS, max_message_size=RPC_BYTES)
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
