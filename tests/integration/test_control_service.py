"""The whole way of a command: client, control socket, verbs, a real service and its runner host."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from clockmesh.daemon.answers import ANSWERS
from clockmesh.daemon.client import Client
from clockmesh.daemon.control import serve_control
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.routes import VERBS
from tests.integration.daemon_support import Bench, Peer, bench, live, until, workflow

SLOW = workflow("echo began\nwhile ! test -e {gate}; do sleep 0.05; done\necho over")
CHECKOUT = b"""\
name: p2p-workflow
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: cat here.txt
"""


@asynccontextmanager
async def controlled(folder: Path) -> AsyncIterator[tuple[Bench, Peer]]:
    """One peer whose control socket answers; `in_thread` talks to it as a command would."""
    async with bench(folder) as made, trio.open_nursery() as nursery:
        peer = await made.start("alpha")
        await nursery.start(partial(serve_control, peer.service, peer.home))
        yield made, peer
        nursery.cancel_scope.cancel()


async def in_thread(work: Callable[..., Any], *words: Any, **options: Any) -> Any:
    return await trio.to_thread.run_sync(partial(work, *words, **options), abandon_on_cancel=True)


async def command(peer: Peer, *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    return await typed(*words, "--home", str(peer.home.path))


async def typed(*words: str) -> tuple[int, str, str]:
    done = await trio.run_process([sys.executable, "-m", "clockmesh.daemon.cli", *words],
                                  check=False, capture_stdout=True, capture_stderr=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def founded(peer: Peer) -> Client:
    client = Client(peer.home.path)
    await in_thread(client.post, "/v1/init", {"name": "alpha", "slots": 2})
    return client


async def refused(client: Client, method: str, *words: Any) -> Trouble:
    with pytest.raises(Trouble) as caught:
        await in_thread(getattr(client, method), *words)
    return caught.value


def order(content: bytes, **fields: Any) -> dict[str, Any]:
    return {"workflow_b64": base64.b64encode(content).decode(), "path": "t.yml", **fields}


def test_every_verb_of_the_table_has_an_answer_and_no_answer_lacks_a_verb() -> None:
    assert {verb.name for verb in VERBS if verb.method} == set(ANSWERS)


async def test_without_a_mesh_status_answers_and_the_rest_says_what_to_do(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (_, peer):
        client = Client(peer.home.path)
        status = await in_thread(client.get, "/v1/status")
        assert {key: status[key] for key in ("v", "peer", "mesh", "heads", "nodes")} == {
            "v": 1, "peer": None, "mesh": None, "heads": [], "nodes": 0,
        }
        submission = ("post", "/v1/runs", order(workflow("true")))
        for method, *words in (("get", "/v1/runs"), ("get", "/v1/peers"), submission):
            trouble = await refused(client, method, *words)
            assert (trouble.exit, trouble.code) == (Exit.CONFIGURATION, "no_mesh")
            assert "clockmesh init" in trouble.message


async def test_a_run_reads_from_submission_to_its_end(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (_, peer):
        client = await founded(peer)
        run = (await in_thread(client.post, "/v1/runs", order(workflow("echo hello"), priority=2.5)))["run"]
        shown = await in_thread(client.get, f"/v1/runs/{run[:8]}/wait?timeout=20")
        assert (shown["status"], shown["conclusion"], shown["priority"]) == ("completed", "success", 2.5)
        assert (shown["submitted_by"], shown["jobs"][0]["peer"], shown["jobs"][0]["attempt"]) == ("alpha", "alpha", 1)
        assert shown == await in_thread(client.get, f"/v1/runs/{run}")
        listed = (await in_thread(client.get, "/v1/runs"))["runs"]
        assert [(item["run"], item["peers"]) for item in listed] == [(run, ["alpha"])]
        lines = await in_thread(lambda: list(client.lines(f"/v1/runs/{run}/logs")))
        assert "hello" in [line["text"] for line in lines]
        assert {line["job"] for line in lines} == {"a"}
        assert any("success" in line for line in (await in_thread(client.get, f"/v1/runs/{run}/why"))["why"])
        ended = await refused(client, "post", f"/v1/runs/{run}/cancel")
        assert (ended.exit, ended.code) == (Exit.CONFLICT, "conflict")


async def test_events_tell_a_job_its_lines_and_its_end_in_this_order(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (_, peer):
        client = await founded(peer)
        run = (await in_thread(client.post, "/v1/runs", order(workflow("echo hello\nexit 3"))))["run"]
        told = await in_thread(lambda: list(client.lines(f"/v1/runs/{run}/events?logs=1")))
        kinds = [(event["event"], event.get("conclusion")) for event in told]
        assert kinds[-2:] == [("job", "failure"), ("end", "failure")]
        assert [event["text"] for event in told if event["event"] == "log"].count("hello") == 1
        assert "exit code 3" in told[-2]["error"]
        without = await in_thread(lambda: list(client.lines(f"/v1/runs/{run}/events")))
        assert [event["event"] for event in without] == ["job", "end"]


async def test_lines_come_while_the_job_runs_and_a_wait_can_time_out(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with controlled(tmp_path / "home") as (_, peer):
        client = await founded(peer)
        body = order(SLOW.replace(b"{gate}", str(gate).encode()))
        run = (await in_thread(client.post, "/v1/runs", body))["run"]
        late = await refused(client, "get", f"/v1/runs/{run}/wait?timeout=0.2")
        assert (late.exit, late.code) == (Exit.TIMED_OUT, "timed_out")
        lines = client.lines(f"/v1/runs/{run}/logs?follow=1&job=a")
        seen = [await in_thread(next, lines)]
        while seen[-1]["text"] != "began":
            seen.append(await in_thread(next, lines))
        gate.touch()
        rest = await in_thread(lambda: [line["text"] for line in lines])
        assert rest == ["over"]


async def test_a_cancelled_run_ends_with_8(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (_, peer):
        client = await founded(peer)
        run = (await in_thread(client.post, "/v1/runs", order(workflow("exec sleep 300"))))["run"]
        await until(lambda: peer.job(bytes.fromhex(run)).status == "in_progress", "the job runs")
        assert (await in_thread(client.post, f"/v1/runs/{run}/cancel"))["run"] == run
        assert (await command(peer, "run", "wait", run[:6]))[:2] == (8, f"run {run[:12]} cancelled\n")


async def test_a_run_runs_again_and_one_that_has_not_ended_only_if_it_is_abandoned(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with controlled(tmp_path / "home") as (_, peer):
        client = await founded(peer)
        body = order(SLOW.replace(b"{gate}", str(gate).encode()))
        run = (await in_thread(client.post, "/v1/runs", body))["run"]
        await until(lambda: peer.job(bytes.fromhex(run)).status == "in_progress", "the job runs")
        code, _, told = await command(peer, "run", "rerun", run)
        assert (code, "--abandon gives it up" in told) == (Exit.CONFLICT, True)
        code, told, _ = await command(peer, "run", "rerun", run, "--abandon")
        assert code == Exit.OK
        assert f"warning: alpha may be running {run[:12]} until" in told
        assert (await command(peer, "run", "wait", run))[0] == Exit.CANCELLED
        gate.touch()
        again = (await in_thread(client.post, f"/v1/runs/{run}/rerun"))
        assert (again["again"], again["may_be_running"]) == (run, [])
        assert (await command(peer, "run", "wait", again["run"]))[0] == Exit.OK


async def test_the_work_tree_is_sent_where_the_workflow_checks_it_out(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/flow.yml").write_bytes(CHECKOUT)
    (tmp_path / "tree/here.txt").write_text("carried along\n")
    async with controlled(tmp_path / "home") as (_, peer):
        client = await founded(peer)
        needs = await refused(client, "post", "/v1/runs", order(CHECKOUT))
        assert (needs.exit, needs.code) == (Exit.USAGE, "needs_snapshot")
        status, out, err = await command(peer, "run", "submit", str(tmp_path / "tree/flow.yml"), "--follow")
        assert (status, err) == (0, "")
        assert "a | carried along" in out.splitlines()
        assert out.splitlines()[-1].endswith("success")


async def test_bad_input_names_its_place_and_stores_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_bytes(workflow("true").replace(b"    runs-on", b"    needs: gone\n    runs-on"))
    async with controlled(tmp_path / "home") as (_, peer):
        client = await founded(peer)
        before = await in_thread(client.get, "/v1/status")
        status, out, err = await command(peer, "run", "submit", str(bad))
        assert (status, out) == (2, "")
        assert err.startswith(f"{bad}:5:12: job 'a' needs 'gone'")
        assert err.count("\n") == 1
        for fields in ({"priority": "high"}, {"guard": "none"}, {"inputs": {"a": 1}}, {"workflow_b64": "%"},
                       {"path": None}, {"snapshot": {"blob": "00", "size": 1}}, {"remote": {"ref": "x"}}):
            trouble = await refused(client, "post", "/v1/runs", order(workflow("true"), **fields) | fields)
            assert (trouble.exit, trouble.code) == (Exit.USAGE, "bad_request"), fields
        after = await in_thread(client.get, "/v1/status")
        assert (after["nodes"], after["heads"], after["runs"]) == (before["nodes"], before["heads"], 0)


async def test_runs_are_found_by_a_prefix_that_means_one(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (_, peer):
        client = await founded(peer)
        run = (await in_thread(client.post, "/v1/runs", order(workflow("true"))))["run"]
        assert (await in_thread(client.get, f"/v1/runs/{run[:4].upper()}"))["run"] == run
        assert (await refused(client, "get", f"/v1/runs/{run[:3]}")).exit is Exit.USAGE
        for wrong in ("deadbeef" * 8, "nonsense", run + "0"):
            for path in ("", "/logs", "/wait", "/why", "/events"):
                assert (await refused(client, "get", f"/v1/runs/{wrong}{path}")).exit is Exit.NOT_FOUND
        no_job = await refused(client, "get", f"/v1/runs/{run}/logs?job=nix")
        assert (no_job.exit, "it has: a" in no_job.message) == (Exit.NOT_FOUND, True)


async def test_what_is_not_in_the_table_is_said_so(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (_, peer):
        client = await founded(peer)
        assert (await refused(client, "get", "/v2/status")).exit is Exit.NOT_FOUND
        wrong = await refused(client, "post", "/v1/status")
        assert (wrong.exit, "possible: GET" in wrong.message) == (Exit.USAGE, True)


async def test_a_second_peer_joins_through_its_daemon_and_names_stay_unique(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (made, peer):
        await founded(peer)
        other = await made.start("beta")
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_control, other.service, other.home))
            line = (await command(peer, "invite", "--ttl", "60s"))[1].strip()
            status, _, err = await command(other, "join", line, "--name", "alpha")
            assert (status, "another --name" in err) == (6, True)
            assert (await command(other, "join", line, "--name", "beta"))[0] == 0
            assert (await command(other, "join", line))[0] == 6
            assert (await command(other, "init"))[0] == 6

            await until(lambda: live(peer) == 2, "alpha sees beta")
            listed = json.loads((await command(peer, "peer", "list", "--json"))[1])
            assert [(item["name"], item["self"]) for item in listed["peers"]] == [("alpha", True), ("beta", False)]
            nursery.cancel_scope.cancel()


async def test_init_works_with_the_daemon_stopped_and_refuses_a_second_mesh(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "home"))
    status, told, _ = await typed("init", "--name", "lonely", "--slots", "1", *home)
    assert (status, f"clockmeshd --home {tmp_path}/home" in told) == (0, True)
    for words in (("init", "--name", "again"), ("join", "clockmesh-invite-1-nonsense")):
        status, told, complaint = await typed(*words, *home)
        assert (status in (2, 6), told, complaint.count("\n")) == (True, "", 1)
