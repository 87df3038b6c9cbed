"""What of a peer's gossip control messages goes to libp2p's router, which keeps notes under every topic that it is told
of, for ever, and answers a wish as often as it is repeated: a megabyte of wishes would be gigabytes of answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from libp2p.pubsub.pb import rpc_pb2

_MOST_IDS = 2048
"""Ids in one IHAVE or IWANT: what the busiest mesh publishes in the seconds that it tells of. Sync brings the rest."""
_LONGEST_BACKOFF = 60
"""Seconds; ours is 10."""


def sane(control: rpc_pb2.ControlMessage, topic: str | None, size: Callable[[bytes], int], most: int) -> rpc_pb2.RPC:
    """Of this topic alone, each thing once. `size`: bytes of the message that an id asks for, 0 where it is not here;
    ids are taken up to `most` bytes."""
    kept = rpc_pb2.ControlMessage()
    have = _once(each.messageIDs for each in control.ihave if each.topicID == topic)
    if have:
        kept.ihave.add(topicID=topic, messageIDs=have)
    wanted = _within(_once(each.messageIDs for each in control.iwant), size, most)
    if wanted:
        kept.iwant.add(messageIDs=wanted)
    if any(each.topicID == topic for each in control.graft):
        kept.graft.add(topicID=topic)
    backoffs = [each.backoff for each in control.prune if each.topicID == topic]
    if backoffs:
        kept.prune.add(topicID=topic, backoff=min(max(backoffs), _LONGEST_BACKOFF))
    return rpc_pb2.RPC(control=kept)


def _once(lists: Iterable[Iterable[bytes]]) -> list[bytes]:
    return list(islice(dict.fromkeys(each for ids in lists for each in ids), _MOST_IDS))


def _within(ids: Iterable[bytes], size: Callable[[bytes], int], most: int) -> list[bytes]:
    taken = []
    for each in ids:
        most -= size(each)
        if most < 0:
            break
        taken.append(each)
    return taken
