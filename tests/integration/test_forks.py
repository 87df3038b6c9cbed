"""A member whose key signs two histories: the others find both, agree on what counts, and go on without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.errors import ConfigurationError
from clockmesh.daemon.identity import load
from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.events import ForkProven, Noted
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.node import Node
from clockmesh.protocol.result import Conclusion
from tests.integration.daemon_support import Peer, bench, ended, until, workflow


def member(peer: Peer):
    """The live parts of a peer, for what only a test looks at."""
    return peer.service._member


def signed_elsewhere(peer: Peer, home: Path, text: str) -> Node:
    """A node that the key in `home` signs on top of what `peer` has, unknown to anybody."""
    clock = Clock(member(peer).mesh)
    for node in member(peer).clock:
        clock.add(node)
    return append(clock, load(home / "identity.key"), wall_ms=1, events=[Noted("t", text)])


def proofs(peer: Peer, author: PeerId) -> set[PeerId]:
    """Who wrote of the author's fork."""
    return {node.author for node in member(peer).clock for event in node.events
            if isinstance(event, ForkProven) and event.author == author}


async def test_peers_with_different_branches_find_both_and_go_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        key = beta.service.me
        await until(lambda: alpha.service.status().heads == gamma.service.status().heads, "all in step")
        left, right = (signed_elsewhere(alpha, beta.home.path, text) for text in ("left", "right"))
        await beta.stop()
        member(alpha).intake.receive(left.data, gamma.service.me)
        member(gamma).intake.receive(right.data, alpha.service.me)
        assert member(alpha).clock.vector() == member(gamma).clock.vector()
        run = await alpha.service.submit(workflow("echo hello"), "t.yml")
        assert (await ended(gamma, run)).conclusion is Conclusion.SUCCESS
        for peer in (alpha, gamma):
            await until(lambda peer=peer: {left.hash, right.hash} <= {node.hash for node in member(peer).clock}, "both")
            await until(lambda peer=peer: proofs(peer, key) == {alpha.service.me, gamma.service.me}, "both proofs")
            assert peer.service.status().forked == ("beta",)
        await until(lambda: alpha.service.status().heads == gamma.service.status().heads, "in step again")
        assert (await ended(alpha, run)) == gamma.run(run)

        heads = gamma.service.status().heads
        await gamma.stop()
        again = await made.start("gamma")
        assert again.service.status().forked == ("beta",)
        await until(lambda: set(heads) <= {node.hash for node in member(again).clock}, "it is where it was")
        later = await again.service.submit(workflow("echo again"), "t.yml")
        assert (await ended(alpha, later)).conclusion is Conclusion.SUCCESS


async def test_a_newcomer_joins_a_mesh_that_has_a_fork(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha, beta = await made.mesh("alpha", "beta")
        left, right = (signed_elsewhere(alpha, beta.home.path, text) for text in ("left", "right"))
        await beta.stop()
        for node in (left, right):
            member(alpha).intake.receive(node.data, beta.service.me)
        await until(lambda: alpha.service.status().forked == ("beta",), "the fork is known")
        gamma = await made.start("gamma")
        await gamma.service.join(await alpha.service.invite(60), "gamma", 2)
        assert gamma.service.status().forked == ("beta",)
        await until(lambda: alpha.service.status().heads == gamma.service.status().heads, "in step")


async def test_whoever_is_told_of_a_history_of_its_own_that_it_has_not_stops_for_good(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha, beta = await made.mesh("alpha", "beta")
        other = signed_elsewhere(alpha, beta.home.path, "from a copy of its home")
        await beta.stop()
        member(alpha).intake.receive(other.data, beta.service.me)
        with pytest.raises(BaseExceptionGroup) as caught:
            await _lives_until_it_stops(made, alpha)
        assert caught.group_contains(ConfigurationError, match="restored from a backup, or is in use twice")


async def _lives_until_it_stops(made, alpha) -> None:
    async with bench(made.folder) as second:
        beta = await second.start("beta")
        await beta.stopped.wait()
