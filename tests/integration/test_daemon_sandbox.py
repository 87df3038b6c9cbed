"""A peer that can make no sandbox stays a member, runs nothing, and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clockmesh.coordinator.explain import explain
from clockmesh.protocol.result import Conclusion
from tests.integration.daemon_support import Bench, Peer, bench, end_hosts, ended, until, workflow


def slots(peer: Peer) -> int:
    return next(other.slots for other in peer.service.peers() if other.is_self)


async def boxed(made: Bench, name: str, config: str = "sandbox: bubblewrap\n") -> Peer:
    home = made.folder / name
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yml").write_text(config)
    return await made.start(name)


async def test_without_bubblewrap_a_peer_votes_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"]
    async with bench(tmp_path) as made:
        monkeypatch.setenv("PATH", str(tmp_path))
        alpha = await boxed(made, "alpha")
        await alpha.service.init("alpha", 3)
        status = alpha.service.status()
        assert status.sandbox == "bubblewrap"
        assert status.refused == (
            "bubblewrap is not installed (there is no bwrap); install bubblewrap and allow it user namespaces, or set "
            "`sandbox: none` in config.yml; then restart"
        )
        await until(lambda: slots(alpha) == 0, "it offers no slots")
        run = await alpha.service.submit(workflow("echo hello"), "t.yml")
        why = explain(alpha.service.machine, run, alpha.service.now())
        assert any("no member has slots" in line or "no one member with slots" in line for line in why), why
        await alpha.stop()
        end_hosts(alpha.home)
        monkeypatch.setenv("PATH", path)
        alpha = await boxed(made, "alpha", "sandbox: none\n")
        await until(lambda: slots(alpha) == 3, "it has the slots again that it had")
        assert (await ended(alpha, run)).conclusion is Conclusion.SUCCESS


async def test_a_folder_that_is_not_there_is_told_and_no_job_is_lost(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await boxed(made, "alpha", "sandbox_paths: [/no/such/folder]\n")
        await alpha.service.init("alpha")
        assert alpha.service.status().refused == (
            "sandbox_paths: there is no folder /no/such/folder; put that right, or take the folder out of "
            "config.yml; then restart"
        )
        await until(lambda: slots(alpha) == 0, "it offers no slots")


async def test_a_sandboxed_peer_offers_to_keep_jobs_off_the_network(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await boxed(made, "alpha")
        await alpha.service.init("alpha")
        if reason := alpha.service.status().refused:
            pytest.skip(reason)
        beta = await made.start("beta")  # sandbox: none
        await beta.service.join(await alpha.service.invite(60), "beta")
        labels = {peer.name: peer.labels for peer in beta.service.peers()}
        assert "network-off" in labels["alpha"]
        assert "network-off" not in labels["beta"]


def test_a_choice_at_init_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [sys.executable, "-m", "clockmesh.daemon.cli", "--home", str(home), "init", "--name", "alpha"]
    done = subprocess.run([*words, "--sandbox", "none"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (home / "config.yml").read_text() == "sandbox: none\n"
