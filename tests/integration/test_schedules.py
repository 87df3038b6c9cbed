"""Three peers and their schedules, the wall clock sped up: what is due runs once, on what the tick before has left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from clockmesh.coordinator.errors import Conflict
from clockmesh.coordinator.inputs import Change
from clockmesh.coordinator.schedules import ScheduleState
from clockmesh.daemon import cli_remote
from clockmesh.daemon.control import dispatch, serve_control
from clockmesh.daemon.control_http import Request
from clockmesh.daemon.errors import NeedsSnapshot, NotFound, UsageError
from clockmesh.daemon.exits import Trouble
from clockmesh.daemon.member import Timing
from clockmesh.daemon.scheduling import ScheduleOrder
from clockmesh.daemon.submitting import Order
from clockmesh.protocol.ids import ScheduleId
from clockmesh.protocol.plan import Remote
from clockmesh.protocol.result import Conclusion
from clockmesh.protocol.schedules import CatchUp, Overlap
from clockmesh.runner.errors import WorkflowError
from tests.integration.daemon_support import Peer, bench, ended, live, until

SPEED = 30.0
"""Seconds of the wall clock in one: a minute passes in two."""


def fast_wall() -> Callable[[], float]:
    """A wall clock that shows a full hour now and then runs fast."""
    began, hour = time.monotonic(), time.time() // 3600 * 3600 + 3600
    return lambda: hour + (time.monotonic() - began) * SPEED


def timing(wall: Callable[[], float]) -> Timing:
    return Timing(beacon_period=0.2, lease=3.0, wall=wall)


def workflow(*steps: str, cron: str = "* * * * *", more: str = "") -> bytes:
    lines = ["name: tick p2p-workflow", "on:", "  schedule:", f"    - cron: '{cron}'", *more.splitlines()]
    lines += ["jobs:", "  a:", "    runs-on: ubuntu-latest", "    steps:"]
    for step in steps:
        if step.startswith("uses: "):
            lines.append(f"      - {step}")
        else:
            lines += ["      - run: |", *(f"          {line}" for line in step.splitlines())]
    return ("\n".join(lines) + "\n").encode()


def ordered(body: bytes, *, remote: Remote | None = None, name: str | None = None, **more: object) -> ScheduleOrder:
    order = Order(body, "tick.yml", {}, 5.0, None, False, None, remote)
    return replace(ScheduleOrder(order, name, CatchUp.LAST, Overlap.SKIP, 0), **more)


def state(peer: Peer, schedule: ScheduleId) -> ScheduleState:
    return peer.service.machine.state.schedules[schedule]


async def ticked(peer: Peer, schedule: ScheduleId, count: int, seconds: float = 40.0) -> None:
    """Wait until so many ticks of it have ended."""

    def ready() -> bool:
        known = peer.service.machine.state.schedules.get(schedule)
        runs = [peer.run(run) for run in known.ticks.values()] if known else []
        return sum(run.conclusion is not None for run in runs) >= count

    await until(ready, f"{count} ticks have ended", seconds)


async def test_every_tick_runs_once_though_peers_come_and_go(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    body = workflow(f"echo $CLOCKMESH_PEER >> {marks}/$CLOCKMESH_RUN")
    async with bench(tmp_path / "homes", timing(fast_wall())) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        schedule = await alpha.service.add_schedule(ordered(body, overlap=Overlap.ALLOW))
        await ticked(beta, schedule, 2)
        await alpha.stop()
        await ticked(beta, schedule, 4)
        alpha = await made.start("alpha")
        await ticked(alpha, schedule, 6)
        known = state(gamma, schedule)
        dues = sorted(known.ticks)
        assert {later - due for due, later in pairwise(dues)} == {60_000}
        for run in known.ticks.values():
            assert (await ended(gamma, run)).conclusion is Conclusion.SUCCESS
            assert len((marks / run.hex()).read_text().split()) == 1


async def test_each_tick_knows_its_line(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"echo \"${{{{ github.event_name }}}} ${{{{ github.event.schedule }}}}\" >> {told}"
    body = workflow(script, cron="*/2 * * * *", more="    - cron: '1-59/2 * * * *'\n      timezone: Europe/Berlin")
    async with bench(tmp_path / "homes", timing(fast_wall())) as made:
        (alpha,) = await made.mesh("alpha")
        schedule = await alpha.service.add_schedule(ordered(body))
        await ticked(alpha, schedule, 2)
        assert set(told.read_text().splitlines()) == {"schedule */2 * * * *", "schedule 1-59/2 * * * *"}


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def repository(tmp_path: Path, body: bytes) -> tuple[Path, Path]:
    """A bare repository with this workflow, and a work tree of it."""
    bare, tree = tmp_path / "site.git", tmp_path / "tree"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(tmp_path, "clone", "--quiet", str(bare), str(tree))
    git(tree, "checkout", "--quiet", "-B", "main")
    (tree / "tick.yml").write_bytes(body)
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "begin")
    git(tree, "push", "--quiet", "origin", "main")
    return bare, tree


PUSH = """wc -l < log > before 2>/dev/null || echo 0 > before
date >> log
git add log before
git -c user.name=t -c user.email=t@example.org commit --quiet -m tick
git push --quiet"""


async def test_each_tick_of_a_remote_stands_on_what_the_tick_before_pushed(tmp_path: Path) -> None:
    body = workflow("uses: actions/checkout@v4", PUSH)
    bare, tree = repository(tmp_path, body)
    assert cli_remote.origin_of(str(tree / "tick.yml")) == (str(bare), "refs/heads/main")
    assert cli_remote.read_remote_file(str(bare), "main", "tick.yml") == body
    async with bench(tmp_path / "homes", timing(fast_wall())) as made:
        alpha, beta, _ = await made.mesh("alpha", "beta", "gamma")
        with pytest.raises(NeedsSnapshot):
            await alpha.service.add_schedule(ordered(body))
        schedule = await alpha.service.add_schedule(ordered(body, remote=Remote(str(bare), "main")))
        await ticked(beta, schedule, 3)
        runs = [run for run in map(beta.run, state(beta, schedule).ticks.values()) if run.conclusion]
        assert {run.conclusion for run in runs} == {Conclusion.SUCCESS}
        assert int(git(bare, "rev-list", "--count", "main")) >= 1 + 3
        assert int(git(bare, "show", "main:before")) >= 2


async def ask(peer: Peer, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    async def content() -> AsyncIterator[bytes]:
        yield json.dumps(body or {}).encode()

    answer = await dispatch(peer.service, Request(method, path, {}, content))
    assert isinstance(answer, dict)
    return json.loads(json.dumps(answer))


async def test_a_schedule_is_listed_paused_resumed_triggered_and_removed_by_name_or_id(tmp_path: Path) -> None:
    body = workflow("true", cron="0 6 * * *")
    async with bench(tmp_path / "homes", timing(time.time)) as made:
        alpha, beta = await made.mesh("alpha", "beta")
        schedule = await alpha.service.add_schedule(ordered(body))
        await until(lambda: schedule in beta.service.machine.state.schedules, "beta knows the schedule")
        (told,) = (await ask(beta, "GET", "/v1/schedules"))["schedules"]
        assert told["next_at"].endswith("T06:00:00.000Z")
        assert told | {"next_at": ""} == {
            "schedule": schedule.hex(), "name": "tick", "path": "tick.yml", "remote": None,
            "lines": [{"cron": "0 6 * * *", "timezone": "UTC"}], "guard": "lease", "electorate": ["alpha", "beta"],
            "catch_up": "last", "overlap": "skip", "jitter_s": 0, "priority": 5.0, "paused": False, "pause_after": 0,
            "next_at": "", "last": None, "warning": None,
        }
        with pytest.raises(Conflict, match="another --name"):
            await beta.service.add_schedule(ordered(body, name="TICK"))
        await ask(beta, "POST", "/v1/schedules/Tick/pause")
        assert beta.service.schedules()[0].next_ms is None
        await ask(beta, "POST", f"/v1/schedules/{schedule.hex()[:6]}/resume")
        assert beta.service.schedules()[0].next_ms is not None
        triggered = await ask(beta, "POST", "/v1/schedules/tick/trigger")
        run = beta.service.find_run(str(triggered["run"]))
        assert (await ended(beta, run)).conclusion is Conclusion.SUCCESS
        await beta.service.change_schedule(schedule, Change.REMOVE)
        assert (await ask(beta, "GET", "/v1/schedules"))["schedules"] == []
        with pytest.raises(NotFound, match="schedule list"):
            await ask(beta, "POST", "/v1/schedules/tick/trigger")
        await alpha.service.add_schedule(ordered(body, name="nightly"))
        with pytest.raises(NotFound, match=r"no schedule nigthly; did you mean nightly\?"):
            await ask(alpha, "POST", "/v1/schedules/nigthly/remove")


async def test_a_schedule_that_lost_its_quorum_says_so_and_is_rescued_by_a_persons_word(tmp_path: Path) -> None:
    async with bench(tmp_path / "homes", timing(fast_wall())) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        schedule = await alpha.service.add_schedule(ordered(workflow("true"), name="nightly", overlap=Overlap.ALLOW))
        await ticked(alpha, schedule, 1)
        assert (await ask(alpha, "GET", "/v1/status"))["warnings"] == []
        await gamma.stop()
        await beta.stop()
        await until(lambda: live(alpha) == 1, "alpha is alone")
        (warning,) = (await ask(alpha, "GET", "/v1/status"))["warnings"]
        assert warning.startswith("nightly has stopped: only alpha is left of its electorate of 3 and 2 are needed")
        assert (await ask(alpha, "GET", "/v1/schedules"))["schedules"][0]["warning"] == warning
        with pytest.raises(Conflict, match="say --abandon"):
            await ask(alpha, "POST", "/v1/schedules/nightly/rescue")
        rescued = await ask(alpha, "POST", "/v1/schedules/nightly/rescue", {"abandon": True})
        assert (rescued["instead_of"], rescued["may_be_running"]) == (schedule.hex(), ["beta", "gamma"])
        new = alpha.service.find_schedule("nightly")
        assert new.hex() == rescued["schedule"] != schedule.hex()
        await ticked(alpha, new, 2)
        assert (await ask(alpha, "GET", "/v1/status"))["warnings"] == []


async def test_a_failing_schedule_pauses_itself_and_what_it_missed_is_backfilled(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    async with bench(tmp_path / "homes", timing(fast_wall())) as made:
        alpha, beta, gamma = await made.mesh("alpha", "beta", "gamma")
        body = workflow(f"test -e {mended}")
        schedule = await alpha.service.add_schedule(ordered(body, overlap=Overlap.ALLOW, pause_after=2))
        await ticked(beta, schedule, 2)
        for peer in (alpha, beta, gamma):
            await until(lambda peer=peer: peer.service.schedules()[0].paused, "it has paused itself on every peer")
        (told,) = (await ask(gamma, "GET", "/v1/schedules"))["schedules"]
        assert (told["paused"], told["next_at"]) == (True, None)
        assert told["warning"] == ("tick has paused itself: its last 2 ticks failed; to go on: "
                                   "clockmesh schedule resume tick")
        failed = set(state(beta, schedule).ticks)
        await trio.sleep(3 * 60 / SPEED)
        assert set(state(alpha, schedule).ticks) == failed
        mended.touch()
        await ask(beta, "POST", "/v1/schedules/tick/resume")
        filled = (await ask(beta, "POST", "/v1/schedules/tick/backfill"))["ticks"]
        assert len(filled) >= 2
        for tick in filled:
            run = beta.service.find_run(str(tick["run"]))
            assert (await ended(beta, run)).conclusion is Conclusion.SUCCESS
        assert not beta.service.schedules()[0].paused


async def test_the_command_adds_what_it_lists_and_ends_it(tmp_path: Path) -> None:
    body = workflow("uses: actions/checkout@v4", "true", cron="0 6 * * *")
    bare, tree = repository(tmp_path, body)
    (tree / "plain.yml").write_bytes(b"name: p2p-workflow\non: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n")
    async with bench(tmp_path / "homes", timing(time.time)) as made, trio.open_nursery() as nursery:
        (alpha,) = await made.mesh("alpha")
        await nursery.start(partial(serve_control, alpha.service, alpha.home))

        async def typed(*words: str) -> tuple[int, str]:
            done = await trio.run_process(
                [sys.executable, "-m", "clockmesh.daemon.cli", *words, "--home", str(alpha.home.path)],
                check=False, capture_stdout=True, capture_stderr=True, cwd=tree,
            )
            return done.returncode, (done.stdout + done.stderr).decode()

        status, told = await typed("schedule", "add", "tick.yml", "--jitter", "30s", "--overlap", "buffer")
        assert status == 0
        assert f"each tick takes main of {bare}" in told
        status, told = await typed("schedule", "add", "tick.yml", "--remote", str(bare), "--name", "again", "--json")
        assert (status, json.loads(told)["remote"]) == (0, {"url": str(bare), "ref": ""})
        status, told = await typed("schedule", "list")
        assert status == 0
        assert [line.split()[1] for line in told.splitlines()] == ["NAME", "again", "tick"]
        assert "0 6 * * *" in told
        assert await typed("schedule", "pause", "again") == (
            0, "schedule again is paused; its ticks come again after: clockmesh schedule resume again "
               f"--home {alpha.home.path}\n")
        assert "paused" in (await typed("schedule", "list"))[1]
        status, told = await typed("schedule", "trigger", "tick", "--json")
        run = alpha.service.find_run(json.loads(told)["run"])
        assert (await ended(alpha, run)).conclusion is Conclusion.SUCCESS
        assert (await typed("schedule", "remove", "tick"))[0] == 0
        assert (await typed("schedule", "remove", "tick"))[0] == 3
        status, told = await typed("schedule", "add", "plain.yml")
        assert (status, told) == (
            2, "plain.yml:1:1: the workflow has no `on.schedule`; add `schedule: [{cron: '0 6 * * *'}]` under `on:`\n")
        status, told = await typed("schedule", "add", "tick.yml", "--name", "again")
        assert status == 6
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        (ordered(b"name: p2p-workflow\non: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n"), WorkflowError,
         "tick.yml:1:1: the workflow has no `on.schedule`; add `schedule:"),
        (ordered(workflow("x", more="      timezone: Mars/Base")), WorkflowError,
         "tick.yml:4:13: there is no timezone `Mars/Base`; names are"),
        (ordered(workflow("x", more="      timezone: Europe/Belin")), WorkflowError, "did you mean `Europe/Berlin`?"),
        (ordered(workflow("x", cron="0 0 31 11 *")), WorkflowError, "names a day that no calendar has"),
        (ordered(workflow("x"), jitter_s=100_000), UsageError, "jitter is 100000 s"),
        (ordered(workflow("x"), pause_after=1001), UsageError, "pause_after is 1001 failures; give 1 to 1000"),
        (ordered(workflow("x"), name="a/b"), UsageError, "give --name"),
        (ordered(workflow("x").replace(b" p2p-workflow", b"")), WorkflowError, "p2p-workflow"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused_with_what_to_do(
    tmp_path: Path, wanted: ScheduleOrder, error: type[Exception], said: str
) -> None:
    async with bench(tmp_path / "homes", timing(time.time)) as made:
        (alpha,) = await made.mesh("alpha")
        with pytest.raises(error) as caught:
            await alpha.service.add_schedule(wanted)
        assert said in str(caught.value)
        assert alpha.service.schedules() == []


def test_a_remote_that_is_not_there_is_a_users_error(tmp_path: Path) -> None:
    bare, _ = repository(tmp_path, b"on: push\n")
    for url, ref, path, said in (
        (str(tmp_path / "none.git"), "", "tick.yml", "check --remote"),
        (str(bare), "nobranch", "tick.yml", "check --remote"),
        (str(bare), "", "other.yml", "other.yml is not a file of"),
        ("ext::sh -c x", "", "tick.yml", "is not a git repository"),
    ):
        with pytest.raises(Trouble, match=said):
            cli_remote.read_remote_file(url, ref, path)
    assert cli_remote.origin_of(str(tmp_path / "tick.yml")) is None


async def test_a_peer_whose_clock_is_ahead_fires_nothing_early(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    minute = time.time() // 60 * 60 + 600
    ahead = [time.time() - minute + 30.0]  # until the mesh is ready their clocks show half a minute before it

    def wall() -> float:
        return time.time() - ahead[0]

    async with bench(tmp_path / "homes", timing(wall)) as made:
        alpha, beta = await made.mesh("alpha", "beta")
        gamma = await made.start("gamma", timing(lambda: wall() + 60.0))
        await gamma.service.join(await alpha.service.invite(60), "gamma", 2)
        await until(lambda: all(live(peer) == 3 for peer in (alpha, beta, gamma)), "three members")
        ahead[0] += wall() - (minute - 6.0)
        schedule = await alpha.service.add_schedule(ordered(workflow(f"echo x >> {marks}")))
        await until(lambda: schedule in gamma.service.machine.state.schedules and state(gamma, schedule).ticks,
                    "the peer that is ahead submits", 5)
        assert wall() < minute - 0.5
        assert not marks.exists()
        await until(marks.exists, "the tick has started")
        assert wall() >= minute - 0.5
        await ticked(beta, schedule, 1)
        assert marks.read_text() == "x\n"
