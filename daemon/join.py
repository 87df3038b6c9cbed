"""Joining a mesh: the joiner's side, and the inviter's.

The inviter admits in one commit that also uses up the invitation, and answers with all nodes once that is durable. The
joiner checks every node from the founding on, stores them in one commit, and is a member.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator

import structlog
import trio

from clockmesh.coordinator.errors import CoordinatorError
from clockmesh.coordinator.inputs import AdmitWanted
from clockmesh.daemon.errors import NotAllowed
from clockmesh.daemon.invitations import Invitations
from clockmesh.daemon.loop import Loop
from clockmesh.daemon.network import Network
from clockmesh.daemon.setup import Setup
from clockmesh.daemon.store import META_MESH
from clockmesh.daemon.waiting import Answers
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.codec import decode_node
from clockmesh.protocol.errors import ProtocolError, RemoteError
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.invitation import Invitation
from clockmesh.protocol.messages import JoinAccepted, JoinRefused, JoinRequest, Message, batches
from clockmesh.protocol.node import Node

log = structlog.get_logger()


async def join(setup: Setup, network: Network, invitation: Invitation, description: Description) -> MeshId:
    """Join; durable before it returns. The store must hold no mesh, the network must run.

    NotAllowed when the invitation has expired; the network's JoinDenied when the inviter refuses, and Unreachable when
    it does not answer; RemoteError when it answers with what is no mesh."""
    if invitation.expires_ms <= time.time() * 1000:
        raise NotAllowed("this invitation has expired; ask for a new one (`clockmesh invite`)")
    request = JoinRequest(invitation.invitation, invitation.secret, description)
    answers = await network.join(invitation.inviter, invitation.addresses, request)
    nodes = await trio.to_thread.run_sync(_check, invitation, setup.key.peer, answers)
    with trio.CancelScope(shield=True):  # who has been admitted and stored it must go on to enter
        await trio.to_thread.run_sync(setup.store.commit, nodes, {META_MESH: invitation.mesh})
    log.info("mesh_joined", mesh=invitation.mesh.hex(), peer=description.name, nodes=len(nodes))
    return invitation.mesh


def _check(invitation: Invitation, me: PeerId, answers: Iterable[JoinAccepted]) -> list[Node]:
    """The mesh's nodes, every one verified and in its place, this peer's admission among them."""
    clock = Clock(invitation.mesh)
    nodes = []
    for answer in answers:
        if answer.mesh != invitation.mesh:
            raise RemoteError("the inviter answered with another mesh than that of the invitation")
        for data in answer.nodes:
            node = decode_node(invitation.mesh, data)
            try:
                clock.add_branch(node)
            except ProtocolError as error:
                raise RemoteError(f"the inviter's nodes do not fit together: {error}") from error
            nodes.append(node)
    if not clock.is_admitted(me):
        raise RemoteError("the inviter's nodes do not admit this peer")
    return nodes


class Door:
    """The inviter's side: lets in who brings a good invitation."""

    def __init__(self, loop: Loop, mesh: MeshId, invitations: Invitations, answers: Answers) -> None:
        self._loop = loop
        self._mesh = mesh
        self._invitations = invitations
        self._answers = answers

    async def answer(self, peer: PeerId, request: JoinRequest) -> AsyncIterator[Message]:
        """What a stranger hears."""
        try:
            await self._admit(peer, request)
        except (NotAllowed, CoordinatorError) as error:
            log.info("join_refused", stranger=peer.hex(), reason=str(error))
            yield JoinRefused(str(error))
            return
        for nodes, more in _with_more(batches(self._all_nodes())):
            yield JoinAccepted(self._mesh, nodes, more)

    async def _admit(self, peer: PeerId, request: JoinRequest) -> None:
        """Admit `peer`, or make sure that its earlier admission is durable."""
        facts = self._invitations.redeem(request.invitation, request.secret, peer)
        if peer in self._loop.machine.members:
            await self._loop.keep()
            return
        token = self._answers.token()
        try:
            self._loop.take(AdmitWanted(token, request.invitation, peer, request.description), facts)
        except CoordinatorError:
            self._answers.forget(token)
            raise
        self._invitations.use(request.invitation, peer)
        await self._answers.wait(token)
        log.info("invitation_redeemed", invitation=request.invitation.hex(), peer=request.description.name)

    def _all_nodes(self) -> Iterator[bytes]:
        return (node.data for node in self._loop.durable_nodes({}))


def _with_more(groups: Iterator[tuple[bytes, ...]]) -> Iterator[tuple[tuple[bytes, ...], bool]]:
    """Each group, and whether another one follows."""
    group = next(groups, ())
    for following in groups:
        yield group, True
        group = following
    yield group, False
