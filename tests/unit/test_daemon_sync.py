"""Nodes from other peers: by gossip, and by sync where gossip lost some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from clockmesh.daemon.network import Unreachable
from clockmesh.daemon.sync import Intake
from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.codec import encode_node, mesh_id
from clockmesh.protocol.events import Description, MeshFounded, PeerAdmitted, PeerDescribed
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.messages import Message, SyncDone, SyncNodes, SyncRequest
from clockmesh.protocol.node import Node

FOUNDER, ME = SigningKey.from_seed(b"f" * 32), SigningKey.from_seed(b"m" * 32)
MESH = mesh_id(FOUNDER.peer, b"n" * 16)


class Loop:
    """Stands for the loop: a clock, and what entered."""

    def __init__(self) -> None:
        self.clock = Clock(MESH)
        self.machine = self
        self.came: list[Node] = []

    def name_of(self, peer: PeerId) -> str:
        return peer.hex()[:8]

    def entered(self, node: Node) -> None:
        self.came.append(node)


class Network:
    """Stands for the network: one other peer with its clock."""

    def __init__(self, theirs: Clock) -> None:
        self.theirs = theirs
        self.asked: list[float] = []
        self.broken = False

    @asynccontextmanager
    async def ask(self, peer: PeerId, message: Message) -> AsyncIterator[AsyncIterator[Message]]:
        assert isinstance(message, SyncRequest)
        self.asked.append(trio.current_time())
        if self.broken:
            raise Unreachable(peer, "lost")
        yield self._answer(message)

    async def _answer(self, message: SyncRequest) -> AsyncIterator[Message]:
        yield SyncNodes(tuple(node.data for node in self.theirs.missing_for(message.vector)))
        yield SyncDone(self.theirs.vector())


class Bench:
    def __init__(self) -> None:
        self.theirs = Clock(MESH)
        self.founding = append(self.theirs, FOUNDER, wall_ms=1, events=[MeshFounded(b"n" * 16, Description("a", 1))])
        self.add(PeerAdmitted(ME.peer, Description("me", 1)))
        self.network = Network(self.theirs)
        self.loop = Loop()
        for node in self.theirs:
            self.loop.clock.add(node)
        self.retired: list[str] = []
        self.intake = Intake(ME.peer, MESH, self.loop, self.network, self.retired.append)  # type: ignore[arg-type]

    def add(self, event: object) -> Node:
        return append(self.theirs, FOUNDER, wall_ms=2, events=[event])  # type: ignore[list-item]

    def others(self, count: int) -> list[Node]:
        return [self.add(PeerDescribed(Description("a", number + 2))) for number in range(count)]


@pytest.fixture
def made() -> Bench:
    return Bench()


def test_a_node_by_gossip_enters_once(made: Bench) -> None:
    node = made.others(1)[0]
    assert made.intake.receive(node.data, FOUNDER.peer)
    assert made.intake.receive(node.data, FOUNDER.peer)
    assert made.loop.came == [node]


@pytest.mark.parametrize("data", [b"", b"junk", b"\x98" + b"x" * 200])
def test_junk_is_dropped_and_goes_no_further(made: Bench, data: bytes) -> None:
    assert not made.intake.receive(data, FOUNDER.peer)
    assert not made.loop.came


def test_a_changed_node_is_dropped(made: Bench) -> None:
    node = made.others(1)[0]
    assert not made.intake.receive(node.data[:-1] + bytes([node.data[-1] ^ 1]), FOUNDER.peer)
    assert not made.loop.came


async def test_a_node_without_its_parents_waits_and_asks_who_sent_it(made: Bench,
                                                                     autojump_clock: trio.testing.MockClock) -> None:
    nodes = made.others(3)
    made.intake.receive(nodes[2].data, FOUNDER.peer)
    assert not made.loop.came
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.intake.run)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert made.loop.came == nodes
    assert len(made.network.asked) == 1


async def test_a_difference_that_gossip_closes_costs_no_sync(made: Bench,
                                                             autojump_clock: trio.testing.MockClock) -> None:
    node = made.others(1)[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.intake.run)
        made.intake.saw_digest(FOUNDER.peer, made.theirs.vector_digest())
        await trio.sleep(0.1)
        made.intake.receive(node.data, FOUNDER.peer)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert not made.network.asked


async def test_a_difference_that_lasts_is_synced(made: Bench, autojump_clock: trio.testing.MockClock) -> None:
    nodes = made.others(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.intake.run)
        made.intake.saw_digest(FOUNDER.peer, made.theirs.vector_digest())
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert made.loop.came == nodes
    assert len(made.network.asked) == 1


async def test_syncs_with_one_peer_keep_a_distance(made: Bench, autojump_clock: trio.testing.MockClock) -> None:
    made.network.broken = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.intake.run)
        for _ in range(200):
            made.intake.want(FOUNDER.peer)
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    gaps = [later - earlier for earlier, later in zip(made.network.asked, made.network.asked[1:], strict=False)]
    assert len(made.network.asked) >= 2
    assert min(gaps) >= 0.4


async def test_our_own_number_from_elsewhere_ends_our_appending_for_good(made: Bench) -> None:
    append(made.theirs, ME, wall_ms=5, events=[PeerDescribed(Description("me", 2))])
    ours_elsewhere = list(made.theirs)[-1]
    made.intake.receive(ours_elsewhere.data, FOUNDER.peer)
    assert len(made.retired) == 1
    assert "join again as a new peer" in made.retired[0]
    assert not made.loop.came


def test_a_node_that_its_author_may_not_write_goes_no_further(made: Bench) -> None:
    """Its parents are here and its author is a member, but the height is wrong."""
    (first,) = made.others(1)
    made.intake.receive(first.data, FOUNDER.peer)
    wrong = encode_node(FOUNDER, MESH, seq=first.seq + 1, parents=(first.hash,), previous=first.hash,
                        height=first.height + 7, wall_ms=3, events=(PeerDescribed(Description("a", 9)),))
    assert made.intake.receive(wrong.data, FOUNDER.peer) is None
    assert made.loop.came == [first]
