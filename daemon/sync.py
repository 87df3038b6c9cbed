"""Nodes from other peers: what gossip brings, and what sync brings where gossip lost something.

A sync pulls: our vector goes to the peer, the nodes that it has beyond it come back. It is due when a peer connects,
when a node's parents are missing here, and when a beacon's digest differs from ours and still does a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
import trio

from clockmesh.daemon.loop import Loop
from clockmesh.daemon.network import Network, NetworkError
from clockmesh.protocol.clock import ForkFound
from clockmesh.protocol.codec import decode_node
from clockmesh.protocol.errors import ProtocolError, RemoteError
from clockmesh.protocol.events import ForkProven
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.limits import MAX_PARENTS
from clockmesh.protocol.messages import NodesRequest, SyncDone, SyncNodes, SyncRequest
from clockmesh.protocol.node import Node
from clockmesh.protocol.orphans import Orphans, TakenIn, take_in

log = structlog.get_logger()
_PATIENCE = 0.3
"""Seconds that a difference seen in a beacon must last: most are nodes that gossip is still carrying."""
_PAUSE = 0.5
"""Seconds between two syncs with one peer."""
_LONGEST_WALK = 1000
"""Steps down a branch in one sync; the next sync goes on."""
_SILENCE_SECONDS = 15.0
"""A sync that brings nothing for so long is given up."""


class Intake:
    """The one way for other peers' nodes into the loop."""

    def __init__(self, me: PeerId, mesh: MeshId, loop: Loop, network: Network, retire: Callable[[str], None]) -> None:
        """`retire` is called with words when our own identity turns out to be in use elsewhere, or from a backup."""
        self._me = me
        self._mesh = mesh
        self._loop = loop
        self._network = network
        self._retire = retire
        self._orphans = Orphans()
        self._branches: dict[PeerId, list[Node]] = {}
        """Nodes of authors whose fork we found and are writing down: they enter once that is durable."""
        self._wanted: set[PeerId] = set()
        self._wants = trio.Event()
        self._busy: set[PeerId] = set()
        self._digests: dict[PeerId, bytes] = {}

    # ---- nodes ----

    def receive(self, data: bytes, sender: PeerId) -> PeerId | None:
        """A node's bytes came from `sender`; its author. Bad ones are logged and dropped, and have none."""
        try:
            node = decode_node(self._mesh, data)
        except RemoteError as error:
            log.warning("node_refused", peer=self._name(sender), error=str(error))
            return None
        return node.author if self._enter(node, sender) else None

    def _enter(self, node: Node, sender: PeerId) -> bool:
        if node.author == self._me and node.hash not in self._loop.clock:
            self._meet_self(node)
            return True
        if node.author in self._branches:
            if len(self._branches[node.author]) < MAX_PARENTS:  # a sync brings the others
                self._branches[node.author].append(node)
            return True
        return self._took(take_in(self._loop.clock, self._orphans, node), node, sender)

    def _took(self, taken: TakenIn, node: Node, sender: PeerId) -> bool:
        for added in taken.added:
            self._loop.entered(added)
        if taken.held:
            self.want(sender)
        for fork in taken.forks:
            self._write_down(fork)
        for refused, error in taken.refused:
            log.warning("node_refused", peer=self._name(sender), author=self._name(refused.author), error=str(error))
        return all(refused is not node for refused, _ in taken.refused)

    def _write_down(self, fork: ForkFound) -> None:
        """Before the other branch comes in, name what counted until now in a node of ours (DESIGN 5.13)."""
        author, seq = fork.known.author, fork.known.seq
        first, second = sorted((fork.known.hash, fork.other.hash))
        log.error("fork_found", peer=self._name(author), seq=seq, known=fork.known.hash.hex(),
                  other=fork.other.hash.hex())
        if author not in self._branches:
            self._loop.note(ForkProven(author, seq, first, second))
        self._branches.setdefault(author, []).append(fork.other)

    def written_down(self, author: PeerId) -> None:
        """Our node that tells of the author's fork is durable."""
        for node in self._branches.pop(author, ()):
            self._took(take_in(self._loop.clock, self._orphans, node, branch=True), node, self._me)

    def _meet_self(self, node: Node) -> None:
        """A node that we signed and do not have: this home is an old copy (DESIGN 5.13). It must never append again."""
        self._retire(f"a peer has node {node.seq} of this identity, which this home does not: the home was restored "
                     "from a backup, or is in use twice. Move it away and join again as a new peer "
                     "(`clockmesh join LINE`)")

    # ---- syncs ----

    def want(self, peer: PeerId) -> None:
        """Sync with `peer` soon."""
        if peer != self._me:
            self._wanted.add(peer)
            self._wants.set()

    def saw_digest(self, peer: PeerId, digest: bytes) -> None:
        """A beacon told what its author has."""
        self._digests[peer] = digest
        if digest != self._loop.clock.vector_digest() and peer not in self._busy:
            self.want(peer)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._wants.wait()
                self._wants = trio.Event()
                for peer in self._wanted - self._busy:
                    self._wanted.discard(peer)
                    self._busy.add(peer)
                    nursery.start_soon(self._sync, peer)

    async def _sync(self, peer: PeerId) -> None:
        try:
            await self._settle(peer)
            await self._pull(peer)
            await trio.sleep(_PAUSE)
        finally:
            self._busy.discard(peer)
            if peer in self._wanted:
                self._wants.set()

    async def _settle(self, peer: PeerId) -> None:
        """Give gossip a moment, unless the peer is news to us or orphans wait for its answer."""
        if peer in self._digests and not len(self._orphans):
            await trio.sleep(_PATIENCE)

    async def _pull(self, peer: PeerId) -> None:
        if self._digests.get(peer) == self._loop.clock.vector_digest() and not len(self._orphans):
            return
        before = len(self._loop.clock)
        try:
            theirs = await self._ask(peer, SyncRequest(self._loop.clock.vector()))
            if len(self._orphans) or (theirs == self._loop.clock.vector() and len(self._loop.clock) == before):
                await self._walk(peer)
        except (NetworkError, ProtocolError, trio.TooSlowError) as error:
            log.info("sync_failed", peer=self._name(peer), error=str(error))
        if (came := len(self._loop.clock) - before) > 0:
            log.info("nodes_synced", peer=self._name(peer), nodes=came)

    async def _walk(self, peer: PeerId) -> None:
        """By vectors nothing is missing. Where nodes still wait for others, or heads differ, an author is forked: ask
        for its branches by hash, from the top down."""
        for _ in range(_LONGEST_WALK):
            before = len(self._orphans), len(self._loop.clock)
            await self._ask(peer, NodesRequest(tuple(self._orphans.missing(MAX_PARENTS))))
            if not len(self._orphans) or (len(self._orphans), len(self._loop.clock)) == before:
                return

    async def _ask(self, peer: PeerId, request: SyncRequest | NodesRequest) -> Mapping[PeerId, int] | None:
        """Take in what the peer answers; its vector at the end."""
        with trio.fail_after(_SILENCE_SECONDS) as patience:
            async with self._network.ask(peer, request) as answers:
                async for message in answers:
                    patience.deadline = trio.current_time() + _SILENCE_SECONDS
                    match message:
                        case SyncNodes(nodes):
                            for data in nodes:
                                self.receive(data, peer)
                        case SyncDone(vector):
                            return vector
        return None

    def _name(self, peer: PeerId) -> str:
        return self._loop.machine.name_of(peer)
