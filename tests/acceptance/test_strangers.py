"""Who is no member gets no node, beacon, blob or log of a real daemon; who sends junk, member or not, does no harm."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from clockmesh.daemon.demo.peers import Mesh, Peer, stopped_at_end, wait_until
from clockmesh.daemon.identity import load
from clockmesh.daemon.network_ask import joining
from clockmesh.daemon.network_attend import BEACON
from clockmesh.daemon.network_router import MESHSUB
from clockmesh.daemon.network_serve import ASK, JOIN
from clockmesh.daemon.network_stream import Channel, open_channel
from clockmesh.daemon.network_switch import Link
from clockmesh.daemon.network_types import JoinDenied, StreamLost, Timing
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import JobKey, RunId
from clockmesh.protocol.invitation import Invitation
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.messages import BlobRequest, JoinRequest, LogRequest, Message, SyncRequest, encode_message
from tests.acceptance import junk
from tests.acceptance.conftest import join_all
from tests.acceptance.intruders import Intruder, Target, intruder
from tests.acceptance.test_mesh import HELLO, write

STRANGER_S = Timing().stranger
IDLE_MIB = 120
"""What an idle daemon may take; some 80 of them are libp2p and Python."""
NOISE_S = 4.0
"""By which a busy machine may be late."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Three members, of whom gamma runs no daemon: a test may take its key. Its invitation is in its home."""
    with tempfile.TemporaryDirectory(prefix="cm-") as folder, stopped_at_end(Mesh(Path(folder))) as mesh:
        join_all(mesh, "alpha", "beta")
        gamma, line = mesh.new_peer("gamma"), mesh["alpha"].run("invite").strip()
        gamma.run("join", line, "--name", "gamma")
        (gamma.home / "invitation").write_text(line)
        yield mesh


def _another_mesh(folder: Path) -> SigningKey:
    """The key of a peer that has a mesh, but another one."""
    other = Peer("other", folder / "other")
    other.run("init", "--name", "other")
    return load(other.home / "identity.key")


def _requests(run: str) -> list[Message]:
    """For what the daemon has: its nodes, a blob, a log."""
    return [
        SyncRequest({}),
        BlobRequest(manifest_of(HELLO.encode()).blob, 0),
        LogRequest(RunId(bytes.fromhex(run)), JobKey("one"), 1, 0, False),
    ]


async def _given_for(link: Link, protocol: str, request: Message) -> bytes:
    """What comes back on a stream where the request follows the protocol's name at once, agreed upon or not, beside the
    words of the agreement."""
    assert link.conn is not None
    channel = Channel(link, await link.conn.new_stream())
    words = [_word("/multistream/1.0.0"), _word(protocol), _word("na")]
    given = b""
    try:
        data = encode_message(request)
        await channel.write(words[0] + words[1] + len(data).to_bytes(4, "big") + data)
        with trio.move_on_after(3):
            while piece := await channel.read():
                given += piece
    except StreamLost:
        pass
    finally:
        await channel.reset()
    for word in words:
        given = given.replace(word, b"")
    return given


def _word(text: str) -> bytes:
    """A line of multistream-select."""
    return bytes([len(text) + 1]) + text.encode() + b"\n"


async def _tries_everything(key: SigningKey, target: Target, run: str) -> None:
    async with intruder(key, target) as stranger:
        link = await stranger.link()
        begun = trio.current_time()
        for protocol in (MESHSUB, BEACON, ASK):
            with pytest.raises(StreamLost):
                await open_channel(link, protocol, limit=5)
            for request in _requests(run):
                assert await _given_for(link, protocol, request) == b""
        for request in _requests(run):
            assert await _given_for(link, JOIN, request) == b""
        await link.pipe.closed.wait()
        assert trio.current_time() - begun < STRANGER_S + NOISE_S
        assert stranger.recorder.nodes == stranger.recorder.beacons == []
        assert stranger.network.connected == frozenset()


async def _knocks(key: SigningKey, target: Target, line: str, words: str) -> None:
    """An invitation that is not good gets these words, and no more time than others have."""
    invitation = Invitation.from_line(line)
    wish = JoinRequest(invitation.invitation, invitation.secret, Description("mallory", 1, ("linux",)))
    async with intruder(key, target) as stranger:
        link = await stranger.link()
        begun = trio.current_time()
        with pytest.raises(JoinDenied, match=words):
            await joining(link, wish, Timing())
        await link.pipe.closed.wait()
        assert trio.current_time() - begun < STRANGER_S + NOISE_S
        assert stranger.recorder.nodes == stranger.recorder.beacons == []


async def _all_strangers_knock(mesh: Mesh, tmp_path: Path) -> None:
    """At beta's door: two who have a valid key but are no members, three with an invitation that is not good."""
    alpha, beta, gamma = mesh
    run = beta.json("run", "submit", write(tmp_path, HELLO))["run"]
    beta.run("run", "wait", run, "--timeout", "30")
    used = (gamma.home / "invitation").read_text()
    expired, good = (beta.run("invite", "--ttl", ttl).strip() for ttl in ("1s", "60s"))
    wrong = replace(Invitation.from_line(good), secret=bytes(32)).to_line()
    target = Target.of(beta)
    await trio.sleep(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tries_everything, SigningKey(os.urandom(32)), target, run)
        nursery.start_soon(_tries_everything, _another_mesh(tmp_path), target, run)
        nursery.start_soon(_knocks, SigningKey(os.urandom(32)), target, used, "used")
        nursery.start_soon(_knocks, SigningKey(os.urandom(32)), target, expired, "expired")
        nursery.start_soon(_knocks, SigningKey(os.urandom(32)), target, wrong, "not known")
        await trio.sleep(2)  # while they look on, nodes and beacons go round among the members
        later = await trio.to_thread.run_sync(lambda: alpha.json("run", "submit", write(tmp_path, HELLO))["run"])
    alpha.run("run", "wait", later, "--timeout", "30")


async def _all_of(attacks: Sequence[junk.Attack], intruder: Intruder) -> None:
    for attack in attacks:
        await attack(intruder)


async def _besiege(mesh: Mesh) -> None:
    """Everything at once, of a stranger and of a member."""
    alpha, _, gamma = mesh
    target = Target.of(alpha)
    async with intruder(SigningKey(os.urandom(32)), target) as stranger, trio.open_nursery() as nursery:
        async with intruder(load(gamma.home / "identity.key"), target) as member:
            held = await junk.hold_open(target, 100)
            nursery.start_soon(junk.before_the_handshake, target)
            nursery.start_soon(junk.into_the_control_socket, alpha.home)
            nursery.start_soon(_all_of, junk.OF_A_STRANGER, stranger)
            await _all_of(junk.OF_A_MEMBER, member)
        for stream in held:
            await trio.aclose_forcefully(stream)


async def test_strangers_get_nothing_and_junk_on_every_protocol_does_no_harm(mesh: Mesh, tmp_path: Path) -> None:
    alpha, beta, _ = mesh
    target = Target.of(alpha)
    descriptors = target.descriptors
    target.forget_peak()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_all_strangers_knock, mesh, tmp_path)
        with trio.fail_after(120):
            await _besiege(mesh)
    took = await _answers_in(alpha)
    print(f"alpha has {target.rss:.1f} MiB, had {target.peak:.1f} at most; its status took {took:.2f} s")
    assert took < 3
    assert target.rss < IDLE_MIB
    assert target.peak < IDLE_MIB + 40, "what a member may make it keep for a while"
    wait_until(lambda: target.descriptors <= descriptors + 4, "the descriptors are closed", 15)
    run = await trio.to_thread.run_sync(lambda: beta.json("run", "submit", write(tmp_path, HELLO))["run"])
    alpha.run("run", "wait", run, "--timeout", "30")
    wait_until(lambda: alpha.json("status")["heads"] == beta.json("status")["heads"], "alpha and beta are in step", 10)
    assert {peer["name"] for peer in alpha.json("peer", "list")["peers"]} == {"alpha", "beta", "gamma"}
    for peer in (alpha, beta):
        assert peer.daemon is not None
        assert peer.daemon.poll() is None
        _no_defect_showed(peer)


@pytest.mark.long
async def test_a_daemons_memory_stays_flat_however_often_it_is_besieged(mesh: Mesh) -> None:
    target = Target.of(mesh["alpha"])
    seen = []
    for _ in range(8):
        with trio.fail_after(120):
            await _besiege(mesh)
        await trio.sleep(4)
        seen.append(round(target.rss, 1))
    print(f"MiB after each round: {seen}")
    assert max(seen[-2:]) - max(seen[1:3]) < 10, "hundreds of megabytes have come in between"
    _no_defect_showed(mesh["alpha"])


async def _answers_in(peer: Peer) -> float:
    began = trio.current_time()
    await trio.to_thread.run_sync(lambda: peer.json("status"))
    return trio.current_time() - began


def _no_defect_showed(peer: Peer) -> None:
    lines = [json.loads(line) for line in peer.log.read_text().splitlines() if line.startswith("{")]
    found = [line for line in lines if line["event"] in ("handler_failed", "stream_failed", "network_failed")]
    assert not found, found[:2]
