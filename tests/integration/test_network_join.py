"""Redeeming an invitation: the only thing that a stranger may do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import trio

from clockmesh.daemon.network import JoinDenied, NetworkError, Unreachable
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.messages import JoinAccepted, JoinRefused, JoinRequest, Message
from tests.integration.network_support import PATIENT, Peer, admit, all_connected, meshed

_MESH = MeshId(bytes(32))


def _request(peer: Peer) -> JoinRequest:
    return JoinRequest(bytes(16), bytes(32), Description("newcomer", 1, (), peer.network.addresses))


async def test_a_newcomer_gets_all_answers_and_is_then_a_member_on_the_same_connection(nursery: trio.Nursery) -> None:
    async with meshed(2, PATIENT) as peers:
        inviter, mesh = peers[0], peers[0].network._mesh
        newcomer = Peer(PATIENT)
        await newcomer.start(nursery)
        seen: list[tuple[PeerId, JoinRequest]] = []

        async def welcome(peer: PeerId, request: JoinRequest) -> AsyncIterator[Message]:
            seen.append((peer, request))
            for number in range(40):
                yield JoinAccepted(mesh, (b"%d" % number + bytes(100_000),), number < 39)

        inviter.recorder.inviting = welcome
        answers = await newcomer.network.join(inviter.id, inviter.network.addresses, _request(newcomer))
        assert seen == [(newcomer.id, _request(newcomer))]
        assert [int(each.nodes[0][:-100_000]) for each in answers] == list(range(40))
        (link,) = newcomer.host.switch.links.values()
        admit(mesh, [*peers, newcomer])
        await all_connected([*peers, newcomer])
        assert link in newcomer.host.members[inviter.id].links
        nursery.cancel_scope.cancel()


async def test_a_refusal_is_told_with_its_reason(nursery: trio.Nursery) -> None:
    async with meshed(2) as (inviter, _):
        newcomer = Peer()
        await newcomer.start(nursery)

        async def refuse(_peer: PeerId, _request: JoinRequest) -> AsyncIterator[Message]:
            yield JoinRefused("this line was used already; ask for a new one")

        inviter.recorder.inviting = refuse
        with pytest.raises(JoinDenied, match="used already"):
            await newcomer.network.join(inviter.id, inviter.network.addresses, _request(newcomer))
        nursery.cancel_scope.cancel()


async def test_every_address_of_the_inviter_is_tried(nursery: trio.Nursery) -> None:
    async with meshed(2) as (inviter, other):
        newcomer = Peer()
        await newcomer.start(nursery)
        addresses = ["/ip4/127.0.0.1/tcp/9", "junk", "/ip4/192.0.2.1/tcp/4001", *other.network.addresses,
                     "/ip4/1.2.3.4/udp/4001/quic-v1", *inviter.network.addresses]
        with pytest.raises(JoinDenied, match="nobody may join"):
            await newcomer.network.join(inviter.id, addresses, _request(newcomer))
        nursery.cancel_scope.cancel()


async def test_an_inviter_that_is_not_there_is_named_with_what_was_tried(nursery: trio.Nursery) -> None:
    newcomer = Peer()
    await newcomer.start(nursery)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9: .*refused"):
        await newcomer.network.join(Peer().id, ["/ip4/127.0.0.1/tcp/9"], _request(newcomer))
    with pytest.raises(Unreachable, match="no address"):
        await newcomer.network.join(Peer().id, [], _request(newcomer))
    nursery.cancel_scope.cancel()


async def test_another_peer_at_the_inviters_address_gets_no_secret(nursery: trio.Nursery) -> None:
    async with meshed(2) as (impostor, _):
        asked: list[PeerId] = []

        async def note(peer: PeerId, _request: JoinRequest) -> AsyncIterator[Message]:
            asked.append(peer)
            yield JoinRefused("caught")

        impostor.recorder.inviting = note
        newcomer = Peer()
        await newcomer.start(nursery)
        with pytest.raises(Unreachable, match="something else"):
            await newcomer.network.join(Peer().id, impostor.network.addresses, _request(newcomer))
        assert asked == []
        nursery.cancel_scope.cancel()


async def test_an_inviter_that_stops_half_way_is_unreachable(nursery: trio.Nursery) -> None:
    async with meshed(2) as (inviter, _):
        newcomer = Peer()
        await newcomer.start(nursery)

        async def half(_peer: PeerId, _request: JoinRequest) -> AsyncIterator[Message]:
            yield JoinAccepted(_MESH, (os.urandom(10),), True)

        inviter.recorder.inviting = half
        with pytest.raises(Unreachable, match="before all nodes"):
            await newcomer.network.join(inviter.id, inviter.network.addresses, _request(newcomer))
        nursery.cancel_scope.cancel()


async def test_a_network_that_does_not_run_says_so() -> None:
    newcomer = Peer()
    with pytest.raises(NetworkError, match="does not run"):
        await newcomer.network.join(Peer().id, [], _request(newcomer))
