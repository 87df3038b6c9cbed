"""One daemon, alone: from founding to a job's end, and what survives it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import trio

from clockmesh.daemon.demo.peers import host_pids
from clockmesh.daemon.errors import Conflict, NeedsSnapshot, NoMesh, NotFound, UsageError
from clockmesh.protocol.ids import JobKey
from clockmesh.protocol.result import Conclusion
from tests.integration.daemon_support import bench, ended, until, workflow


async def texts(service: object, run: object, **options: object) -> list[str]:
    return [json.loads(line.line)["text"] async for line in service.read_log(run, **options)]  # type: ignore[attr-defined]


async def test_a_run_goes_from_submission_to_its_result_log_and_output(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(workflow("echo hello\necho again"), "t.yml")
        view = await ended(alpha, run)
        assert view.conclusion is Conclusion.SUCCESS
        assert (view.jobs[0].key, view.jobs[0].attempt) == ("a", 1)
        assert {"hello", "again"} <= set(await texts(alpha.service, run))
        assert alpha.service.find_run(run.hex()[:6]) == run


async def test_jobs_that_depend_on_results_are_planned_when_these_are_there(tmp_path: Path) -> None:
    head = b"name: p2p-workflow\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
    text = head + b"""\
    outputs: {list: '${{ steps.s.outputs.list }}'}
    steps: [{id: s, run: 'echo list=[3,4] >> $GITHUB_OUTPUT'}]
  each:
    needs: a
    runs-on: ubuntu-latest
    strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.list) }}'}}
    steps: [{run: 'echo v=$((${{ matrix.v }} * 11))'}]
  none:
    needs: a
    if: needs.a.outputs.list == ''
    runs-on: ubuntu-latest
    strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.list) }}'}}
    steps: [{run: 'true'}]
  end:
    needs: [each, none]
    if: always()
    runs-on: ubuntu-latest
    steps: [{run: 'echo each=${{ needs.each.result }} none=${{ needs.none.result }}'}]
"""
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(text, "t.yml")
        view = await ended(alpha, run)
        assert view.conclusion is Conclusion.SUCCESS
        assert [job.key for job in view.jobs] == ["a", "each (3)", "each (4)", "(expand) none", "end"]
        assert {"v=33", "v=44", "each=success none=skipped"} <= set(await texts(alpha.service, run))


async def test_without_a_mesh_a_daemon_says_how_to_get_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        assert alpha.service.status().mesh is None
        with pytest.raises(NoMesh, match="clockmesh init"):
            await alpha.service.submit(workflow("true"), "t.yml")
        await alpha.service.init("alpha")
        with pytest.raises(Conflict, match="already"):
            await alpha.service.init("again")


async def test_bad_requests_leave_nothing_behind(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        nodes = alpha.service.status().nodes
        checkout = b"name: p2p-workflow\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n" \
                   b"      - uses: actions/checkout@v4\n"
        with pytest.raises(NeedsSnapshot):
            await alpha.service.submit(checkout, "t.yml")
        with pytest.raises(UsageError):
            await alpha.service.submit(workflow("true"), "t.yml", priority=float("nan"))
        with pytest.raises(NotFound):
            alpha.service.find_run("abcdef")
        assert alpha.service.status().nodes == nodes
        assert list(alpha.home.blobs.iterdir()) == []


async def test_a_followed_log_comes_while_the_job_runs(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        gate = tmp_path / "gate"
        script = f"echo first\nwhile [ ! -e {gate} ]; do sleep 0.05; done\necho last"
        run = await alpha.service.submit(workflow(script), "t.yml")
        seen = []
        async for line in alpha.service.read_log(run, JobKey("a"), follow=True):
            seen.append(json.loads(line.line)["text"])
            if seen[-1] == "first":
                assert alpha.run(run).conclusion is None
                gate.touch()
        assert seen[-1] == "last"


async def test_the_followed_log_of_what_has_ended_is_in_the_plans_order(tmp_path: Path) -> None:
    steps = "    runs-on: ubuntu-latest\n    steps: [{run: 'for i in 1 2 3; do echo $i; done'}]\n"
    jobs = "".join(f"  {job}:\n{steps}" for job in "xyz")
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(f"name: p2p-workflow\non: push\njobs:\n{jobs}".encode(), "t.yml")
        await ended(alpha, run)
        plain = [line async for line in alpha.service.read_log(run)]
        assert [line async for line in alpha.service.read_log(run, follow=True)] == plain
        assert [line.key for line in plain] == sorted(line.key for line in plain)


async def test_a_restarted_daemon_finds_its_job_running_and_brings_its_result(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    async with bench(tmp_path / "homes") as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(workflow(f"echo $CLOCKMESH_ATTEMPT >> {starts}\nsleep 3\necho done"), "t.yml")
        await until(starts.exists, "the job runs")
        hosts = host_pids(alpha.home.path)
        await alpha.stop()
        alpha = await made.start("alpha")
        view = await ended(alpha, run)
        assert view.conclusion is Conclusion.SUCCESS
        assert starts.read_text() == "1\n"
        assert host_pids(alpha.home.path)[0] == hosts[0]
        assert "done" in await texts(alpha.service, run)


async def test_a_job_that_ended_while_the_daemon_was_away_is_brought_in(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    async with bench(tmp_path / "homes") as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(workflow(f"echo $CLOCKMESH_ATTEMPT >> {starts}\nsleep 1\necho done"), "t.yml")
        await until(starts.exists, "the job runs")
        await alpha.stop()
        await trio.sleep(2)
        alpha = await made.start("alpha")
        assert (await ended(alpha, run)).conclusion is Conclusion.SUCCESS
        assert starts.read_text() == "1\n"


async def test_a_killed_runner_host_costs_one_attempt_and_the_job_is_done_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    async with bench(tmp_path / "homes") as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        script = f"echo $CLOCKMESH_ATTEMPT >> {starts}\nif [ $CLOCKMESH_ATTEMPT = 1 ]; then sleep 60; fi"
        run = await alpha.service.submit(workflow(script), "t.yml")
        await until(starts.exists, "the job runs")
        os.kill(host_pids(alpha.home.path)[0], signal.SIGKILL)
        assert (await ended(alpha, run)).conclusion is Conclusion.SUCCESS
        assert starts.read_text() == "1\n2\n"


async def test_a_cancelled_run_ends_cancelled(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    async with bench(tmp_path / "homes") as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(workflow(f"touch {starts}\nsleep 60"), "t.yml")
        await until(starts.exists, "the job runs")
        await alpha.service.cancel(run)
        assert (await ended(alpha, run)).conclusion is Conclusion.CANCELLED


async def test_runs_survive_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(workflow("echo hello"), "t.yml")
        before = await ended(alpha, run)
        listen = alpha.service.listen
        await alpha.stop()
        alpha = await made.start("alpha")
        assert alpha.run(run) == before
        assert alpha.service.listen == listen
        assert "hello" in await texts(alpha.service, run)
