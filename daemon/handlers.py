"""What the network calls: each thing that comes in goes to the part that knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from clockmesh.daemon.member import Member
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.messages import JoinRefused, JoinRequest, Message, Refused


class PeerHandlers:
    """The network's `Handlers`. Until this peer is in a mesh, everything is refused."""

    def __init__(self) -> None:
        self._member: Member | None = None

    def enter(self, member: Member) -> None:
        """Members that connected while the mesh came up are synced with now."""
        self._member = member
        for peer in member.network.connected:
            self.connected(peer)

    async def gossiped(self, peer: PeerId, data: bytes) -> frozenset[PeerId] | None:
        return None if self._member is None else self._member.gossiped(peer, data)

    async def beaconed(self, peer: PeerId, data: bytes) -> None:
        if self._member is not None:
            self._member.hear(peer, data)

    async def asked(self, peer: PeerId, message: Message) -> AsyncIterator[Message]:
        if self._member is None:
            yield Refused("this peer is starting")
            return
        async for answer in self._member.serving.answer(peer, message):
            yield answer

    async def joined(self, peer: PeerId, request: JoinRequest) -> AsyncIterator[Message]:
        if self._member is None:
            yield JoinRefused("this peer belongs to no mesh, or is starting; try again in a moment")
            return
        async for answer in self._member.door.answer(peer, request):
            yield answer

    def connected(self, peer: PeerId) -> None:
        if self._member is not None:
            self._member.intake.want(peer)

    def disconnected(self, peer: PeerId) -> None:
        """Liveness is the beacons' to tell."""
