"""`secret` and `remote`: where values come from, what is asked of the daemon, what is shown."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from clockmesh.daemon import cli, cli_secrets, cli_submit

SET = {"v": 1, "name": "TOKEN", "workflows": [], "set_at": None, "set_by": "alpha", "opened_by": ["alpha", "beta"],
       "opened_by_all": True}  # fmt: skip
REMOTE = {"v": 1, "url": "http://example.org/x", "set_at": "2026-01-02T03:04:05.000Z", "set_by": "alpha",
          "opened_by": ["alpha"], "opened_by_all": False}  # fmt: skip


class Daemon:
    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {}


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Daemon:
    stub = Daemon()

    class Client:
        def __init__(self, home: str) -> None:
            self.home = home

        def get(self, path: str) -> Any:
            return stub.answers[path]

        def post(self, path: str, body: Any = None) -> Any:
            stub.posted.append((path, body))
            return stub.answers[path]

    for module in (cli_secrets, cli_submit):
        monkeypatch.setattr(module, "Client", Client)
    monkeypatch.setenv("CLOCKMESH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return stub


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "value"), [(b"hunter2", "hunter2"), (b"hunter2\n", "hunter2"), (b"a\nb\n\n", "a\nb\n"), (b"x\r\n", "x")]
)
def test_a_value_is_read_from_standard_input_without_its_last_line_feed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, data: bytes, value: str
) -> None:
    daemon.answers["/v1/secrets"] = SET
    typed(monkeypatch, data)
    assert cli.main(["secret", "set", "token", "--workflow", "Scrape"]) == 0
    assert daemon.posted == [("/v1/secrets", {"name": "TOKEN", "workflows": ["Scrape"], "value": value})]


def test_a_value_is_read_from_a_file(daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["/v1/secrets"] = SET
    (tmp_path / "f").write_text("hunter2\n")
    assert cli.main(["secret", "set", "TOKEN", "--file", "f"]) == 0
    assert daemon.posted[0][1]["value"] == "hunter2"
    assert capsys.readouterr().out == "secret TOKEN is set for all workflows, sealed to alpha, beta\n"


@pytest.mark.parametrize(
    "words",
    [
        ["secret", "set", "TOKEN", "hunter2"],
        ["secret", "set", "TOKEN", "--workflow", "Scrape", "hunter2"],
        ["secret", "set", "TOKEN", "--value=hunter2"],
        ["secret", "set", "TOKEN=hunter2"],
        ["secret", "set", "1hunter2"],
        ["secret", "set", "GITHUB_HUNTER2"],
        ["remote", "add", "https://example.org/x", "hunter2"],
        ["secret", "set", "TOKEN", "--file", "nowhere"],
        ["secret", "set", "TOKEN", "--file", "binary"],
        ["secret", "set", "TOKEN", "--file", "large"],
    ],
)
def test_what_is_no_value_or_name_is_refused_without_repeating_it(
    daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"hunter2\xff")
    (tmp_path / "large").write_bytes(b"hunter2" * 10_000)
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert "hunter2" not in (told.out + told.err).lower()
    assert told.err.count("\n") == 1
    assert daemon.posted == []


def test_the_lists_show_who_set_what_and_who_can_open_it(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["/v1/secrets"] = {"v": 1, "secrets": [{**SET, "workflows": ["Scrape"]}]}
    daemon.answers["/v1/remotes"] = {"v": 1, "remotes": [REMOTE]}
    assert cli.main(["secret", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "SECRET  WORKFLOWS  SET  BY     OPENED BY", "TOKEN   Scrape     now  alpha  all"]  # fmt: skip
    assert cli.main(["remote", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["ago", "alpha", "alpha"]
    daemon.answers["/v1/secrets"] = {"v": 1, "secrets": []}
    assert cli.main(["secret", "list"]) == 0
    assert capsys.readouterr().out == "no secrets yet; set one: clockmesh secret set NAME\n"
    assert cli.main(["secret", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"v": 1, "secrets": []}


def test_removing_says_that_a_value_is_never_unseen(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["/v1/secrets/remove"] = {"v": 1, "name": "TOKEN"}
    daemon.answers["/v1/remotes/remove"] = {"v": 1, "url": "https://example.org/x"}
    assert cli.main(["secret", "remove", "token"]) == 0
    assert cli.main(["remote", "remove", "https://example.org/x"]) == 0
    assert capsys.readouterr().out.count("change it where it is good") == 2
    assert daemon.posted == [("/v1/secrets/remove", {"name": "TOKEN"}),
                             ("/v1/remotes/remove", {"url": "https://example.org/x"})]  # fmt: skip


def test_credentials_over_http_are_warned_of(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["/v1/remotes"] = REMOTE
    typed(monkeypatch, b"ann:hunter2\n")
    assert cli.main(["remote", "add", "http://example.org/x"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("note: http sends the credentials in clear")
    assert "hunter2" not in told.out + told.err
    assert daemon.posted[0][1] == {"url": "http://example.org/x", "credential": "ann:hunter2"}


def test_a_secret_that_a_workflow_looks_for_in_vain_is_said_beside_the_output(
    daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flow.yml").write_text("on: push\n")
    daemon.answers["/v1/runs"] = {"v": 1, "run": "ab" * 32, "unset_secrets": ["TOKEN"]}
    assert cli.main(["run", "submit", "flow.yml", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["run"] == "ab" * 32
    assert told.err == ("note: secrets.TOKEN is not set for this workflow: it is '' in its runs; "
                        "clockmesh secret set TOKEN\n")  # fmt: skip
