"""Founding and joining while the daemon is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from clockmesh.daemon.alone import init_alone, join_alone
from clockmesh.daemon.errors import Conflict, HomeLocked, Unreachable
from clockmesh.daemon.home import Home
from clockmesh.daemon.network import JoinDenied
from clockmesh.protocol.errors import RemoteError
from tests.integration.daemon_support import bench, ended, live, until, workflow


async def test_a_home_that_joined_alone_is_a_member_once_its_daemon_runs(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await trio.to_thread.run_sync(init_alone, Home(tmp_path / "alpha"), "alpha", 1)
        alpha = await made.start("alpha")
        line = await alpha.service.invite(60)
        mesh, name = await trio.to_thread.run_sync(join_alone, Home(tmp_path / "beta"), line, "beta", 0)
        assert (mesh, name) == (alpha.service.status().mesh, "beta")
        beta = await made.start("beta")
        await until(lambda: live(alpha) == live(beta) == 2, "both see one another")
        assert {peer.name: peer.slots for peer in beta.service.peers()} == {"alpha": 1, "beta": 0}
        run = await beta.service.submit(workflow("true"), "t.yml")
        view = await ended(beta, run)
        assert view.jobs[0].peer == alpha.service.me


async def test_what_cannot_be_joined_is_said_in_one_error(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        line, unused = await alpha.service.invite(60), await alpha.service.invite(60)
        await trio.to_thread.run_sync(join_alone, Home(tmp_path / "beta"), line, "beta", 0)
        with pytest.raises(JoinDenied, match="has been used"):
            await trio.to_thread.run_sync(join_alone, Home(tmp_path / "gamma"), line, "gamma", 0)
        with pytest.raises(RemoteError, match="copy the whole line"):
            await trio.to_thread.run_sync(join_alone, Home(tmp_path / "gamma"), line[:-3], "gamma", 0)
        with pytest.raises(Conflict, match="already"):
            await trio.to_thread.run_sync(join_alone, Home(tmp_path / "beta"), unused, "beta", 0)
        with pytest.raises(HomeLocked):
            await trio.to_thread.run_sync(join_alone, alpha.home, unused, "alpha", 0)
        await alpha.stop()
        with pytest.raises(Unreachable):
            await trio.to_thread.run_sync(join_alone, Home(tmp_path / "gamma"), unused, "gamma", 0)
