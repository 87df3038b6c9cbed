"""Peers on loopback for the network's tests: real hosts in one process, whose handlers only remember."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
import trio

from clockmesh.daemon.network import Network, Timing, free_port
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.messages import JoinRefused, JoinRequest, Message, SyncDone

if not structlog.is_configured():
    # structlog's default shows every local variable of a trace, for which it takes seconds.
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

HOST = "127.0.0.1"
LONG = 20.0
"""Seconds that a busy machine may take for what is done in a moment; only a failing test waits for so long."""
NOISE = 4.0
"""Seconds by which a busy machine may be late where a test holds the network to a time of its own."""
QUICK = Timing(stranger=0.6, handshake=2.0, dial=2.0, redial_first=0.05, redial_most=0.4, redial_lost=0.2,
               first_answer=2.0, request=1.0, join=3.0, stalled=3.0, tick=0.05, silence=0.3, reprieve=0.2,
               rebuild_first=0.02, rebuild_most=0.1)
PATIENT = Timing(redial_first=0.05, redial_most=0.4, redial_lost=0.2)
"""Quick to dial, slow to give anyone up: for tests in which nobody sends beacons."""


class Recorder:
    """The daemon's side of the network. `answers` and `inviting` may be replaced by a test."""

    def __init__(self) -> None:
        self.nodes: list[tuple[PeerId, bytes]] = []
        self.beacons: list[tuple[PeerId, bytes]] = []
        self.asked_by: list[PeerId] = []
        self.served: frozenset[PeerId] = frozenset()
        """Who gets nodes otherwise."""
        self.up: list[PeerId] = []
        self.down: list[PeerId] = []
        self.answers: Callable[[PeerId, Message], AsyncIterator[Message]] = _done
        self.inviting: Callable[[PeerId, JoinRequest], AsyncIterator[Message]] = _nobody
        self._news = trio.Event()

    async def until(self, true: Callable[[], bool], limit: float = LONG) -> None:
        """Wait until `true`, looked at whenever something came in."""
        with trio.fail_after(limit):
            while not true():
                await self._news.wait()

    def _note(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def gossiped(self, peer: PeerId, data: bytes) -> frozenset[PeerId] | None:
        self.nodes.append((peer, data))
        self._note()
        return self.served

    async def beaconed(self, peer: PeerId, data: bytes) -> None:
        self.beacons.append((peer, data))
        self._note()

    def asked(self, peer: PeerId, message: Message) -> AsyncIterator[Message]:
        self.asked_by.append(peer)
        self._note()
        return self.answers(peer, message)

    def joined(self, peer: PeerId, request: JoinRequest) -> AsyncIterator[Message]:
        return self.inviting(peer, request)

    def connected(self, peer: PeerId) -> None:
        self.up.append(peer)
        self._note()

    def disconnected(self, peer: PeerId) -> None:
        self.down.append(peer)
        self._note()

    @property
    def heard(self) -> list[bytes]:
        return [data for _, data in self.nodes]


async def _done(_peer: PeerId, _message: Message) -> AsyncIterator[Message]:
    yield SyncDone({})


async def _nobody(_peer: PeerId, _request: JoinRequest) -> AsyncIterator[Message]:
    yield JoinRefused("nobody may join")


class Peer:
    """A network that can be started and stopped again on its port."""

    def __init__(self, timing: Timing = QUICK, *, listen: tuple[str, int] | None = None) -> None:
        self.key = SigningKey(os.urandom(32))
        self.listen = listen or (HOST, free_port(HOST))
        self.timing = timing
        self.recorder = Recorder()
        self.network = Network(self.key, self.listen, self.recorder, timing=timing)
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    @property
    def id(self) -> PeerId:
        return self.key.peer

    @property
    def host(self):
        """The running host, for what only a test looks at."""
        return self.network._host

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self._run)

    async def _run(self, task_status) -> None:
        with trio.CancelScope() as self._scope:
            await self.network.run(task_status=task_status)
        self._ended.set()

    async def stop(self) -> None:
        self._scope.cancel()
        await self._ended.wait()

    async def lose(self, other: Peer) -> None:
        """Cut every connection to the member `other` (two, where both had dialled) until it is disconnected."""
        told = len(self.recorder.down)
        with trio.fail_after(LONG):
            while other.id in self.network.connected and len(self.recorder.down) == told:
                for link in list(self.host.members[other.id].links):
                    link.abort()
                await trio.sleep(0.001)

    def restarted(self) -> Peer:
        """Another process with the same key and port would be this."""
        again = Peer(self.timing, listen=self.listen)
        again.key = self.key
        again.network = Network(self.key, self.listen, again.recorder, timing=self.timing)
        return again


def admit(mesh: MeshId, peers: Sequence[Peer]) -> None:
    """Make all of `peers` members of `mesh` in each one's eyes."""
    members = {each.id: each.network.addresses for each in peers}
    for each in peers:
        each.network.set_mesh(mesh, members)


async def eventually(true: Callable[[], bool], limit: float = LONG) -> None:
    """For what no handler is told."""
    with trio.fail_after(limit):
        while not true():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def all_connected(peers: Sequence[Peer], limit: float = LONG) -> None:
    for each in peers:
        others = {other.id for other in peers if other is not each}
        await each.recorder.until(partial(others.issubset, _Connected(each)), limit)


class _Connected:
    """The connected peers of `peer` as an iterable that is new each time it is looked at."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def __iter__(self):
        return iter(self._peer.network.connected)


@asynccontextmanager
async def meshed(count: int, timing: Timing = PATIENT) -> AsyncIterator[list[Peer]]:
    """So many connected peers of one mesh."""
    peers = [Peer(timing) for _ in range(count)]
    admit(MeshId(os.urandom(32)), peers)
    async with trio.open_nursery() as nursery:
        for each in peers:
            await each.start(nursery)
        await all_connected(peers)
        yield peers
        nursery.cancel_scope.cancel()
