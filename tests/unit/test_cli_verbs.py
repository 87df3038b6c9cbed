"""What each verb prints, and how it ends; the daemon's answers are canned."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clockmesh.daemon import cli, cli_mesh, cli_runs, cli_schedules, cli_submit
from clockmesh.daemon.cli_values import instant
from clockmesh.daemon.client import quoted
from clockmesh.daemon.exits import Exit, Trouble

RUN = "3f9a1c20b7d4" + "0" * 52


def job(key: str, **fields: Any) -> dict[str, Any]:
    return {
        "key": key, "status": "pending", "conclusion": None, "peer": None, "attempt": 0, "outputs": {}, "error": "",
        "started_at": None, "finished_at": None, "duplicates": 0, "annotations": [], "more_annotations": 0,
        "summary_bytes": 0,
    } | fields


def shown(*jobs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "v": 1, "run": RUN, "name": "Scrape", "status": "pending", "conclusion": None, "priority": 5.0,
        "submitted_by": "alpha", "submitted_at": "2026-01-02T03:04:05.000Z", "path": "scrape.yml", "guard": "quorum",
        "cancel_asked": False, "error": "", "jobs": list(jobs),
    } | fields


class Daemon:
    """Answers by method and path (without the query), and notes what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []

    def answer(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((f"{method} {path}", body))
        found = self.answers[f"{method} {path.partition('?')[0]}"]
        found = found.pop(0) if isinstance(found, list) and found and isinstance(found[0], list | Exception) else found
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Daemon:
    stub = Daemon()

    class Client:
        def __init__(self, home: str) -> None:
            self.home = home

        def answers(self) -> bool:
            return True

        def get(self, path: str, timeout: float | None = 0) -> Any:
            return stub.answer("GET", path)

        def post(self, path: str, body: Any = None, timeout: float | None = 0) -> Any:
            return stub.answer("POST", path, body)

        def lines(self, path: str) -> Iterator[Any]:
            yield from stub.answer("GET", path)

    for module in (cli_mesh, cli_runs, cli_schedules, cli_submit):
        monkeypatch.setattr(module, "Client", Client)
    monkeypatch.setenv("CLOCKMESH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return stub


def out(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err.rstrip("\n")


def test_list_shows_a_table_of_runs(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    minute_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 61))
    first = {**shown(), "peers": ["alpha", "beta"], "submitted_at": minute_ago, "status": "in_progress"}
    daemon.answers["GET /v1/runs"] = {"v": 1, "runs": [first], "total": 31}
    assert cli.main(["run", "list"]) == 0
    assert out(capsys).splitlines() == [
        "RUN           NAME    STATUS       AGE    PEERS",
        "3f9a1c20b7d4  Scrape  in_progress  1 min  alpha beta",
        "and 30 older; --limit 0 shows all",
    ]


def test_json_is_one_value_and_nothing_else(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["GET /v1/runs"] = told = {"v": 1, "runs": [], "total": 0}
    assert cli.main(["run", "list", "--json"]) == 0
    assert json.loads(out(capsys)) == told
    assert daemon.asked == [("GET /v1/runs?limit=0", None)]


def test_show_tells_jobs_outputs_and_errors(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    done = job("fetch", status="completed", conclusion="success", peer="beta", attempt=1, outputs={"n": "1\n2"},
               started_at="2026-01-02T03:04:06.000Z", finished_at="2026-01-02T03:04:07.500Z")
    bad = job("build", status="failed", conclusion="failure", peer="alpha", attempt=2, error="step 'make': exit code 2")
    daemon.answers[f"GET /v1/runs/{RUN[:4]}"] = shown(done, bad, status="failed", conclusion="failure")
    assert cli.main(["run", "show", RUN[:4]]) == 0
    text = out(capsys)
    assert "fetch  success  beta   1        1.5 s" in text.splitlines()
    assert "build  failure  alpha  2" in text.splitlines()
    assert "  n = 1 … and 1 line more" in text.splitlines()
    assert "build: step 'make': exit code 2" in text.splitlines()


def test_show_tells_annotations_and_the_summary(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"level": "warning", "message": "late\nby 3 s", "step": "Fetch", "title": "Slow", "file": "a.py", "line": 3,
            "column": None}
    bare = {"level": "error", "message": "gone\x1b[2J", "step": "Fetch", "title": "", "file": "", "line": None,
            "column": None}
    build = job("build", annotations=[told, bare], more_annotations=4, summary_bytes=9)
    daemon.answers[f"GET /v1/runs/{RUN[:4]}"] = shown(build, conclusion="success")
    parts = [{"job": "build", "text": "# T\n"}, {"job": "build", "text": "x"}]
    daemon.answers[f"GET /v1/runs/{RUN[:4]}/summary"] = parts
    assert cli.main(["run", "show", RUN[:4]]) == 0
    lines = out(capsys).splitlines()
    assert "  warning a.py:3: Slow: late … and 1 line more" in lines
    assert "  error gone?[2J" in lines
    assert "  and 4 more in its log" in lines
    assert f"The jobs wrote a summary of 9 bytes:  clockmesh run show {RUN[:12]} --summary" in lines
    assert cli.main(["run", "show", RUN[:4], "--summary"]) == 0
    assert out(capsys) == "# T\nx\n"
    assert cli.main(["run", "show", RUN[:4], "--summary", "--json"]) == 0
    assert json.loads(out(capsys)) == {"v": 1, "summaries": [{"job": "build", "text": "# T\nx"}]}


@pytest.mark.parametrize(
    ("conclusion", "status"), [("success", 0), ("skipped", 0), ("failure", 1), ("cancelled", 8)]
)
def test_wait_ends_as_the_run(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], conclusion: str, status: int
) -> None:
    daemon.answers[f"GET /v1/runs/{RUN}/wait"] = shown(conclusion=conclusion)
    assert cli.main(["run", "wait", RUN]) == status
    assert out(capsys) == f"run {RUN[:12]} {conclusion}\n"


def test_wait_gives_up_with_124(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["GET /v1/runs/abcd/wait"] = Trouble(Exit.TIMED_OUT, "timed_out", "run abcd has not ended in time")
    assert cli.main(["run", "wait", "abcd", "--timeout", "1"]) == 124
    assert "has not ended in time" in complaint(capsys)


def test_wait_outlives_a_restart_of_the_daemon(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_runs, "_RETRY_S", 0)
    lost = Trouble(Exit.UNREACHABLE, "connection_lost", "lost")
    gone = Trouble(Exit.UNREACHABLE, "unreachable", "no daemon runs")
    daemon.answers["GET /v1/runs/abcd/wait"] = [lost, gone, gone, [shown(conclusion="success")]]
    monkeypatch.setattr(Daemon, "answer", _pop_and_unwrap(Daemon.answer))
    assert cli.main(["run", "wait", "abcd"]) == 0
    assert len(daemon.asked) == 4


def _pop_and_unwrap(answer: Any) -> Any:
    def unwrapped(self: Daemon, method: str, path: str, body: Any = None) -> Any:
        found = answer(self, method, path, body)
        return found[0] if isinstance(found, list) else found

    return unwrapped


def test_logs_are_prefixed_by_their_job_unless_one_is_asked_for(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/runs/abcd/logs"] = [
        {"job": "build (a, 1)", "time": None, "step": "s", "text": "one\x1b[2J"}
    ]
    assert cli.main(["run", "logs", "abcd"]) == 0
    assert out(capsys) == "build (a, 1) | one[2J\n"
    assert cli.main(["run", "logs", "abcd", "--job", "build (a, 1)"]) == 0
    assert out(capsys) == "one[2J\n"
    assert daemon.asked[1][0] == "GET /v1/runs/abcd/logs?follow=0&job=build%20%28a%2C%201%29"


def test_a_part_of_a_log_that_nobody_gives_is_said_on_standard_error(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = {"job": "a", "missing": "gamma runs it and does not answer: its log is missing here"}
    daemon.answers["GET /v1/runs/abcd/logs"] = [gap, {"job": "b", "text": "1"}]
    assert cli.main(["run", "logs", "abcd"]) == 0
    told = capsys.readouterr()
    assert told.out == "b | 1\n"
    assert told.err == "clockmesh: a: gamma runs it and does not answer: its log is missing here\n"
    assert cli.main(["run", "logs", "abcd", "--json"]) == 0
    assert [line["text"] for line in json.loads(capsys.readouterr().out)["lines"]] == ["1"]


def test_logs_as_json_are_one_value_or_lines_when_followed(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["GET /v1/runs/abcd/logs"] = [{"job": "a", "text": "1"}, {"job": "a", "text": "2"}]
    assert cli.main(["run", "logs", "abcd", "--json"]) == 0
    assert [line["text"] for line in json.loads(out(capsys))["lines"]] == ["1", "2"]
    assert cli.main(["run", "logs", "abcd", "-f", "--json"]) == 0
    assert [json.loads(line)["text"] for line in out(capsys).splitlines()] == ["1", "2"]


def test_submit_sends_the_file_and_says_how_to_see_it_run(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "flow.yml").write_text("name: x\n")
    daemon.answers["POST /v1/runs"] = {"v": 1, "run": RUN}
    words = "flow.yml --input a=b --priority 2 --guard lease --force"
    assert cli.main(["run", "submit", *words.split()]) == 0
    assert f"clockmesh run logs {RUN[:12]} -f" in out(capsys)
    [(_, body)] = daemon.asked
    assert base64.b64decode(body["workflow_b64"]) == b"name: x\n"
    assert (body["path"], body["inputs"], body["priority"]) == ("flow.yml", {"a": "b"}, 2.0)
    assert (body["guard"], body["force"]) == ("lease", True)


def test_submit_says_at_which_commit_the_work_tree_is(daemon: Daemon, tmp_path: Path) -> None:
    daemon.answers["POST /v1/runs"] = {"v": 1, "run": RUN}
    (tmp_path / "flow.yml").write_text("name: x\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for words in (["init", "-qb", "trunk"], ["add", "."], ["commit", "-qm", "first"],
                  ["remote", "add", "origin", "https://ann:secret@example.invalid/x.git"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert cli.main(["run", "submit", "flow.yml"]) == 0
    standing = {"sha": head, "ref": "refs/heads/trunk", "origin": "https://example.invalid/x.git"}
    assert daemon.asked[0][1]["snapshot"] == standing


def test_submit_follows_to_the_end_and_ends_as_the_run(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "flow.yml").write_text("name: x\n")
    daemon.answers["POST /v1/runs"] = {"v": 1, "run": RUN}
    daemon.answers[f"GET /v1/runs/{RUN}/events"] = [
        {"event": "job", **job("build")},
        {"event": "job", **job("build", status="assigned", peer="beta", attempt=1)},
        {"event": "job", **job("build", status="in_progress", peer="beta", attempt=1)},
        {"event": "log", "job": "build", "text": "hello"},
        {"event": "job", **job("build", status="failed", conclusion="failure", peer="beta", attempt=1, error="exit 3")},
        {"event": "end", "run": RUN, "conclusion": "failure", "error": ""},
    ]
    assert cli.main(["run", "submit", "flow.yml", "--follow"]) == 1
    assert out(capsys).splitlines() == [
        f"run {RUN[:12]} submitted",
        "build > claimed by beta",
        "build > runs on beta",
        "build | hello",
        "build > failure on beta: exit 3",
        f"run {RUN[:12]} failure",
    ]


def test_with_a_remote_the_file_is_not_read_here(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["POST /v1/runs"] = {"v": 1, "run": RUN}
    words = "./a/flow.yml --remote git://x/y --ref main --json"
    assert cli.main(["run", "submit", *words.split()]) == 0
    assert json.loads(out(capsys)) == {"v": 1, "run": RUN}
    [(_, body)] = daemon.asked
    assert (body["path"], body["remote"]) == ("a/flow.yml", {"url": "git://x/y", "ref": "main"})
    assert "workflow_b64" not in body


def test_a_workflow_error_names_the_file_as_it_was_typed(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/flow.yml").write_text("name: x\n")
    message = "flow.yml:12:5: job 'build' needs 'fetch', which does not exist"
    place: dict[str, str | int] = {"file": "flow.yml", "line": 12, "column": 5}
    daemon.answers["POST /v1/runs"] = Trouble(Exit.USAGE, "bad_workflow", message, place)
    assert cli.main(["run", "submit", "repo/flow.yml"]) == 2
    assert complaint(capsys) == "repo/flow.yml:12:5: job 'build' needs 'fetch', which does not exist"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("run submit nowhere.yml", "nowhere.yml: no such file"),
        ("run submit folder", "folder: a directory; name the workflow file in it"),
        ("run submit big.yml", "big.yml: larger than 1 MiB, so hardly a workflow"),
        ("run submit flow.yml --ref main", "clockmesh: --ref names a branch of --remote URL, which is missing"),
        ("run submit flow.yml -i a=1 -i a=2", "clockmesh: --input a is given twice"),
        ("run submit /abs.yml --remote git://x", "/abs.yml: with --remote, FILE is"),
        ("run submit ../up.yml --remote git://x", "../up.yml: with --remote, FILE is"),
    ],
)
def test_a_bad_file_or_option_is_found_before_the_daemon_is_asked(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str, wanted: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "flow.yml").write_text("x")
    (tmp_path / "big.yml").write_bytes(b"#" * ((1 << 20) + 1))
    assert cli.main(words.split()) == 2
    assert complaint(capsys).startswith(wanted)
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("file", "known_as"),
    [
        ("git/.github/workflows/a.yml", ".github/workflows/a.yml"),
        ("git/sub/.github/workflows/a.yml", "sub/.github/workflows/a.yml"),
        ("git/a.yml", "a.yml"),
        ("plain/.github/workflows/a.yml", ".github/workflows/a.yml"),
        ("plain/a.yml", "a.yml"),
    ],
)
def test_a_file_is_known_by_its_path_in_its_repository(tmp_path: Path, file: str, known_as: str) -> None:
    (tmp_path / "git/.git").mkdir(parents=True)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert cli_submit.path_in_repository(str(tmp_path / file)) == known_as


def test_peer_list_shows_who_lives(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["GET /v1/peers"] = {"v": 1, "peers": [
        {"id": "12D3", "name": "alpha", "self": True, "live": True, "slots": 2, "labels": ["linux", "x64"]},
        {"id": "12D4", "name": "beta", "self": False, "live": False, "slots": 0, "labels": []},
    ]}
    assert cli.main(["peer", "list"]) == 0
    assert out(capsys).splitlines()[1:] == [
        "alpha (this peer)  live    2      linux, x64",
        "beta               silent  0",
    ]


def test_invite_prints_the_line_alone(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["POST /v1/invitations"] = {"v": 1, "line": "clockmesh-invite-1-abc"}
    assert cli.main(["invite", "--ttl", "90s"]) == 0
    assert out(capsys) == "clockmesh-invite-1-abc\n"
    assert daemon.asked == [("POST /v1/invitations", {"ttl_s": 90.0})]


def test_init_through_a_running_daemon_says_what_to_type_next(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["POST /v1/init"] = {"v": 1, "mesh": "ab" * 32, "peer": "alpha"}
    assert cli.main(["init", "--name", "alpha"]) == 0
    text = out(capsys)
    assert "alpha founded mesh abababababab" in text
    assert "clockmesh invite" in text
    assert "clockmeshd" not in text


def test_a_peer_without_a_mesh_is_told_the_commands_for_its_own_home(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/peers"] = Trouble(Exit.CONFIGURATION, "no_mesh", "...")
    assert cli.main(["peer", "list", "--home", "d"]) == 78
    said = complaint(capsys)
    assert "clockmesh init --home d" in said
    assert "clockmesh join LINE --home d" in said


def test_what_is_wrong_with_inputs_names_the_file_as_it_was_typed(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/flow.yml").write_text("x")
    daemon.answers["POST /v1/runs"] = Trouble(Exit.USAGE, "bad_input", "sub/flow.yml has no input 'a'")
    assert cli.main(["run", "submit", "./sub/flow.yml", "--input", "a=1"]) == 2
    assert complaint(capsys) == "clockmesh: ./sub/flow.yml has no input 'a'"


@pytest.mark.parametrize(
    "words",
    [["a\udcff.yml"], ["f.yml", "--input", "a=\udcff"], ["f.yml", "--remote", "x\udcff"],
     ["f.yml", "--remote", "x", "--ref", "\udcff"]],
)  # fmt: skip
def test_bytes_that_are_no_text_are_refused_in_one_line(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "f.yml").write_text("x")
    assert cli.main(["run", "submit", *words]) == 2
    assert "is not UTF-8" in complaint(capsys)
    assert daemon.asked == []


def test_a_run_that_is_asked_for_by_bytes_that_are_no_text_is_sent_as_a_question_mark() -> None:
    assert quoted("a\udcff") == "a%3F"


def test_an_empty_file_name_is_said_so(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run", "submit", ""], ["run", "submit", "", "--remote", "git://host/x"]):
        assert cli.main(words) == 2
        assert "FILE is empty" in complaint(capsys)
    assert daemon.asked == []


def test_a_defect_is_one_line_and_70(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOCKMESH_DEBUG", raising=False)
    assert cli.main(["status"]) == 70
    assert "KeyError" in complaint(capsys)


def test_an_interrupted_follower_says_that_the_run_goes_on(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "flow.yml").write_text("x")
    daemon.answers["POST /v1/runs"] = {"v": 1, "run": RUN}

    def interrupted() -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    daemon.answers[f"GET /v1/runs/{RUN}/events"] = interrupted()
    assert cli.main(["run", "submit", "flow.yml", "--follow"]) == 130
    assert f"clockmesh run cancel {RUN[:12]}" in capsys.readouterr().err


# ---- as a process ----


def command(*words: str, home: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clockmesh.daemon.cli", *words, "--home", str(home)],
        capture_output=True, text=True, timeout=60, **options,
    )


@pytest.mark.parametrize("words", ["status", "run list", "run show abcd", "peer list", "invite", "why abcd"])
def test_without_a_daemon_every_verb_says_how_to_start_it(tmp_path: Path, words: str) -> None:
    done = command(*words.split(), home=tmp_path / "a b")
    assert (done.returncode, done.stdout) == (4, "")
    start = f"clockmeshd --home '{tmp_path}/a b'"
    assert done.stderr == f"clockmesh: no daemon runs for {tmp_path}/a b; start it: {start}\n"


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "clockmesh.daemon.cli", "version"], stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("word", ["version", "--help"])
def test_a_full_disk_is_one_line_and_no_defect(word: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "clockmesh.daemon.cli", word], stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == 70
    assert done.stderr == b"clockmesh: what came cannot be printed: No space left on device\n"


def test_without_an_output_the_command_is_done_all_the_same() -> None:
    words = [sys.executable, "-m", "clockmesh.daemon.cli", "version"]
    done = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh", *words], stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_short_command_imports_nothing_heavy(tmp_path: Path) -> None:
    """Starting up is at most four times a bare python's, which only lean imports keep."""
    program = (
        "import sys; from clockmesh.daemon.cli import main; main(['status', '--home', sys.argv[1]]);"
        "import clockmesh.daemon.cli_runs, clockmesh.daemon.cli_submit, clockmesh.daemon.cli_mesh;"
        "heavy = {'trio', 'yaml', 'libp2p', 'structlog', 'msgpack', 'h11', 'dataclasses', 'typing', 'subprocess',"
        " 'http', 'urllib', 'shutil', 'inspect', 'asyncio', 'ssl'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done


def scheduled(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "schedule": "175a1edd3ff7" + "0" * 52, "name": name, "path": "scrape.yml", "remote": None,
        "lines": [{"cron": "0 6 * * *", "timezone": "Europe/Berlin"}, {"cron": "5 * * * *", "timezone": "UTC"}],
        "guard": "quorum", "electorate": ["alpha"], "catch_up": "last", "overlap": "skip", "jitter_s": 0,
        "priority": 5.0, "paused": False, "next_at": None, "last": None,
        "warning": None,
    } | fields


def iso_in(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + seconds))


def test_schedules_are_listed_with_their_next_and_last_ticks(daemon: Daemon, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    last = {"due_at": iso_in(-7300), "run": RUN, "status": "completed", "conclusion": "success"}
    skipped = {"due_at": iso_in(-90), "run": None, "status": "skipped", "conclusion": None}
    daemon.answers["GET /v1/schedules"] = {"v": 1, "now_at": iso_in(0), "schedules": [
        scheduled("scrape", next_at=iso_in(3700), last=last),
        scheduled("paused", paused=True, last=skipped),
        scheduled("new", next_at=iso_in(150), warning="new: one more\nloss stops it"),
    ]}
    assert cli.main(["schedule", "list"]) == Exit.OK
    head, scrape, paused, new, warning = out(capsys).splitlines()
    assert warning == "warning: new: one more?loss stops it"
    assert head.split() == ["SCHEDULE", "NAME", "CRON", "NEXT", "LAST", "RUN", "STATUS"]
    assert re.split(" {2,}", scrape) == [
        "175a1edd3ff7", "scrape", "0 6 * * * Europe/Berlin, 5 * * * *", "in 1 h", "2 h ago", RUN[:12], "success"]
    assert paused.split()[-5:] == ["paused", "1", "min", "ago", "skipped"]
    assert new.split()[-3:] == ["in", "2", "min"]


def test_an_empty_list_of_schedules_says_how_to_add_one(daemon: Daemon, capsys) -> None:
    daemon.answers["GET /v1/schedules"] = {"v": 1, "schedules": []}
    assert cli.main(["schedule", "list"]) == Exit.OK
    assert "clockmesh schedule add FILE" in out(capsys)


def test_a_schedules_name_is_encoded_in_the_path(daemon: Daemon, capsys) -> None:
    daemon.answers["POST /v1/schedules/my%20scrape/pause"] = {"v": 1, "schedule": "ab"}
    assert cli.main(["schedule", "pause", "my scrape"]) == Exit.OK
    assert "schedule my scrape is paused" in out(capsys)


def test_a_rescue_names_who_may_still_run_ticks(daemon: Daemon, capsys) -> None:
    daemon.answers["POST /v1/schedules/nightly/rescue"] = {
        "v": 1, "schedule": "ab" * 32, "instead_of": "cd" * 32, "may_be_running": ["beta", "gamma"]}
    assert cli.main(["schedule", "rescue", "nightly", "--abandon"]) == Exit.OK
    assert out(capsys).splitlines() == [
        "schedule nightly begins anew as abababababab, with the peers that are there",
        "warning: beta, gamma may run ticks of the old one until its end is heard of there"]


def test_a_backfill_lists_the_ticks_that_were_missed(daemon: Daemon, capsys) -> None:
    ticks = [{"due_at": "2026-01-31T06:00:00.000Z", "run": RUN}]
    daemon.answers["POST /v1/schedules/nightly/backfill"] = {"v": 1, "schedule": "ab" * 32, "ticks": ticks}
    words = ["schedule", "backfill", "nightly", "--since", "2026-01-31", "--until", "2026-01-31T06:30+00:30"]
    assert cli.main(words) == Exit.OK
    assert out(capsys).splitlines()[1].split() == ["2026-01-31T06:00:00.000Z", RUN[:12]]
    daemon.answers["POST /v1/schedules/nightly/backfill"] = {"v": 1, "schedule": "ab" * 32, "ticks": []}
    assert cli.main(["schedule", "backfill", "nightly"]) == Exit.OK
    assert "nightly missed no tick in that time" in out(capsys)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("2026-01-31", 1769817600000), ("2026-01-31T06:00", 1769839200000), ("2026-01-31T06:00+01:00", 1769835600000)],
)
def test_a_time_is_utc_unless_it_names_an_offset(text: str, ms: int) -> None:
    assert instant(text) == ms


def test_an_age_is_a_time_and_what_is_neither_is_refused() -> None:
    assert abs(instant("6h") - (time.time() - 6 * 3600) * 1000) < 5000
    for text in ("yesterday", "6", "2026-13-01", "1.2.3s"):
        with pytest.raises(argparse.ArgumentTypeError):
            instant(text)
