"""What README prints is what comes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import Mesh
from tests.acceptance.readme import blocks, plain


def test_the_first_workflow_prints_what_readme_shows(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hello.yml").write_text(blocks("yaml")[0])
    monkeypatch.chdir(tmp_path)
    shown = ""
    for session in ("\n" + blocks("console")[0]).split("\n$ clockmesh ")[1:]:
        command, *lines = session.rstrip().splitlines()
        words = [shown if word == "e23723a08c2c" else word for word in shlex.split(command)]
        came = mesh["beta"].run(*words)
        shown = shown or came.split()[1]
        assert lasting(came.rstrip().splitlines()) == lasting(lines)


def lasting(lines: list[str]) -> list[str]:
    """All but what a follower sees of a job only if it looks at the right moment, and how much memory there is."""
    return [plain(line) for line in lines if not re.search(r"> (claimed by|runs on) \w+$|in a sandbox", line)]


def test_readme_names_only_verbs_and_options_that_exist(mesh: Mesh) -> None:
    text = "\n".join(blocks("console") + blocks("text"))
    assert text.count("clockmesh ") > 5
    for verbs in (["run", "submit"], ["run", "list"], ["run", "logs"], ["run", "wait"], ["run", "cancel"], ["why"]):
        assert "example" in mesh["alpha"].run(*verbs, "--help").lower()
