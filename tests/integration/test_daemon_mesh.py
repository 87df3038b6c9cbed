"""Three daemons: what one takes on, all see; what one loses, another does."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import trio

from clockmesh.coordinator.view import explain, run_view
from clockmesh.daemon.errors import ConfigurationError, NotAllowed
from clockmesh.daemon.member import Timing
from clockmesh.daemon.network import JoinDenied
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import RunId
from clockmesh.protocol.invitation import Invitation
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.result import Conclusion
from tests.integration.daemon_support import Peer, bench, end_hosts, ended, live, until, workflow

HASTY = Timing(beacon_period=0.2, lease=3.0)
"""Takeover within seconds instead of a quarter of a minute."""


async def log_of(peer: Peer, run: RunId) -> list[str]:
    return [json.loads(line.line)["text"] async for line in peer.service.read_log(run)]


async def test_all_peers_show_the_same_run_and_the_same_log(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        peers = await made.mesh("alpha", "beta", "gamma")
        run = await peers[0].service.submit(workflow("echo hello"), "t.yml")
        views = [await ended(peer, run) for peer in peers]
        assert views[0] == views[1] == views[2]
        logs = [await log_of(peer, run) for peer in peers]
        assert logs[0] == logs[1] == logs[2]
        assert "hello" in logs[0]


async def test_many_runs_start_once_each_and_on_every_peer(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    starts.mkdir()
    async with bench(tmp_path / "homes") as made:
        peers = await made.mesh("alpha", "beta", "gamma")
        body = workflow(f"echo $CLOCKMESH_PEER >> {starts}/$CLOCKMESH_RUN")
        runs = [await peers[0].service.submit(body, "t.yml") for _ in range(30)]
        for run in runs:
            assert (await ended(peers[2], run)).conclusion is Conclusion.SUCCESS
        ran = [(starts / run.hex()).read_text().split() for run in runs]
        assert all(len(started) == 1 for started in ran)
        assert {peer for started in ran for peer in started} == {"alpha", "beta", "gamma"}


async def test_a_peer_that_was_away_catches_up(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        await gamma.stop()
        run = await alpha.service.submit(workflow("echo hello"), "t.yml")
        await ended(beta, run)
        gamma = await made.start("gamma")
        assert (await ended(gamma, run)) == alpha.run(run)
        await until(lambda: gamma.service.status().heads == alpha.service.status().heads, "the clocks are equal")


async def test_the_job_of_a_dead_peer_moves_without_overlap(tmp_path: Path) -> None:
    marks, last = tmp_path / "marks", tmp_path / "last"
    script = (f"echo start $CLOCKMESH_PEER $CLOCKMESH_ATTEMPT $(date +%s.%N) >> {marks}\n"
              f"if [ $CLOCKMESH_ATTEMPT = 1 ]; then while sleep 0.05; do date +%s.%N > {last}; done; fi")
    async with bench(tmp_path / "homes", HASTY) as made:
        peers = await made.mesh("alpha", "beta", "gamma")
        run = await peers[0].service.submit(workflow(script), "t.yml")
        await until(marks.exists, "the job runs")
        holder = next(peer for peer in peers if peer.name == marks.read_text().split()[1])
        await trio.sleep(0.3)
        await holder.stop()
        await trio.to_thread.run_sync(end_hosts, holder.home)
        dead_at = time.time()
        other = next(peer for peer in peers if peer is not holder)
        view = await ended(other, run)
        assert view.conclusion is Conclusion.SUCCESS
        assert view.jobs[0].attempt == 2
        first, second = (line.split() for line in marks.read_text().splitlines())
        assert first[1] != second[1]
        assert float(last.read_text()) < float(second[3])
        assert float(second[3]) - dead_at < 3 * HASTY.lease


async def test_a_running_jobs_log_is_followed_from_another_peer(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo first\nwhile [ ! -e {gate} ]; do sleep 0.05; done\necho last"
    async with bench(tmp_path / "homes") as made:
        peers = await made.mesh("alpha", "beta", "gamma")
        run = await peers[0].service.submit(workflow(script), "t.yml")
        await until(lambda: peers[0].job(run).status == "in_progress", "the job runs")
        other = next(peer for peer in peers if peer.service.me != peers[0].job(run).peer)
        await until(lambda: run in other.service.machine.runs, "the run is known there")
        seen = []
        async for line in other.service.read_log(run, follow=True):
            seen.append(json.loads(line.line)["text"])
            if seen[-1] == "first":
                gate.touch()
        assert seen[-1] == "last"


async def test_a_log_whose_peer_is_gone_is_said_to_be_missing(tmp_path: Path) -> None:
    async with bench(tmp_path / "homes") as made:
        alpha, beta = await made.mesh("alpha", "beta")
        run = await alpha.service.submit(workflow("echo first\nsleep 60"), "t.yml")
        await until(lambda: alpha.job(run).status == "in_progress", "the job runs")
        holder, other = sorted((alpha, beta), key=lambda peer: peer.service.me != alpha.job(run).peer)
        await until(lambda: run in other.service.machine.runs and other.job(run).status == "in_progress", "told")
        await holder.stop()
        await until(lambda: live(other) == 1, "its end is noticed")
        lines = [line async for line in other.service.read_log(run)]
        told = f"{holder.name} runs it and does not answer: its log is missing here"
        assert [(line.key, line.missing) for line in lines] == [("a", told)]


async def test_a_runs_content_outlives_the_peer_that_brought_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        run = await alpha.service.submit(workflow("echo hello"), "t.yml")
        await ended(alpha, run)
        plan = alpha.service.machine.state.runs[run].plan
        log = run_view(alpha.service.machine, run).jobs[0].log
        assert plan.workflow is not None
        assert log is not None
        for peer in (beta, gamma):
            await until(lambda peer=peer: peer.service.blobs.has(plan.workflow), "the workflow is there")
            await until(lambda peer=peer: peer.service.blobs.has(log), "the log is there")


async def test_an_invitation_lets_in_one_peer(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        line = await alpha.service.invite(60)
        beta, gamma = await made.start("beta"), await made.start("gamma")
        with pytest.raises(JoinDenied, match="alpha"):
            await beta.service.join(line, "alpha")
        await beta.service.join(line, "beta")
        with pytest.raises(JoinDenied, match="has been used"):
            await gamma.service.join(line, "gamma")
        assert not gamma.service.has_mesh
        assert [peer.name for peer in alpha.service.peers()] == ["alpha", "beta"]


async def test_an_expired_invitation_is_refused_by_the_joiner_itself(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        invitation = Invitation.from_line(await alpha.service.invite(1))
        beta = await made.start("beta")
        await trio.sleep(max(0.0, invitation.expires_ms / 1000 - time.time()) + 0.05)
        with pytest.raises(NotAllowed, match="expired"):
            await beta.service.join(invitation.to_line(), "beta")


async def test_what_has_lost_its_majority_is_abandoned_for_a_run_that_needs_none(tmp_path: Path) -> None:
    async with bench(tmp_path, HASTY) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        await beta.stop()
        await gamma.stop()
        await until(lambda: live(alpha) == 1, "alpha is alone")
        stuck = await alpha.service.submit(workflow("true"), "t.yml")
        (_, told, *_) = explain(alpha.service.machine, stuck, alpha.service.now())
        assert "start clockmeshd on beta, gamma, or if they are gone for good" in told
        assert f"clockmesh run rerun {stuck.hex()[:12]} --abandon --guard lease" in told
        again = await alpha.service.rerun(stuck, abandon=True, guard=Guard.LEASE)
        assert again.may_be_running == ()
        assert (await ended(alpha, again.run)).conclusion is Conclusion.SUCCESS
        beta = await made.start("beta")
        for peer in (alpha, beta):
            assert (await ended(peer, stuck)).conclusion is Conclusion.CANCELLED


async def test_a_home_restored_from_a_backup_never_appends_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha, beta = await made.mesh("alpha", "beta")
        await beta.stop()
        await trio.to_thread.run_sync(shutil.copytree, beta.home.path, tmp_path / "backup", False, ignore_sockets)
        beta = await made.start("beta")
        run = await beta.service.submit(workflow("true"), "t.yml")
        await ended(alpha, run)
        await beta.stop()
        await trio.to_thread.run_sync(end_hosts, beta.home)
        await trio.to_thread.run_sync(shutil.rmtree, beta.home.path)
        os.rename(tmp_path / "backup", beta.home.path)
        with pytest.RaisesGroup(ConfigurationError, flatten_subgroups=True, allow_unwrapped=True), beta.home.locked():
            await Service(beta.home).run()
        with pytest.raises(ConfigurationError, match="restored"), beta.home.locked():
            Service(beta.home)


def ignore_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".sock")]


def served_by(author: Peer, passer: Peer, other: Peer) -> bool:
    """In the eyes of `passer`: does `other` get `author`'s nodes from itself?"""
    reach = passer.service._in_mesh()._reach
    return other.service.me in reach.served(author.service.me, time.clock_gettime(time.CLOCK_BOOTTIME))


def part(one: Peer, other: Peer) -> None:
    """From now on these two are not connected."""
    for near, far in ((one, other), (other, one)):
        members = near.service.machine.members.items()
        near.service._network.set_mesh(near.service._in_mesh().mesh, {
            peer: member.description.addresses for peer, member in members
            if peer not in (near.service.me, far.service.me)})


async def test_nodes_are_passed_on_to_a_member_that_hears_their_author_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path, HASTY) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        await until(lambda: served_by(alpha, beta, gamma), "gamma hears alpha")
        part(alpha, gamma)
        await until(lambda: not served_by(alpha, beta, gamma), "gamma hears alpha no more")
        run = await alpha.service.submit(workflow("echo hello"), "t.yml")
        assert (await ended(gamma, run)).conclusion is Conclusion.SUCCESS
