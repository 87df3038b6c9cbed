"""The demo is the first thing that a new user runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clockmesh.daemon.demo import repository
from tests.acceptance.readme import blocks, plain


def test_the_demo_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clockmesh.daemon.demo"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    came = {plain(line) for line in done.stdout.splitlines()}
    assert [line for line in blocks("text")[0].splitlines() if "[...]" not in line and plain(line) not in came] == []
    assert list(tmp_path.iterdir()) == []
    mark = str(tmp_path).encode()
    left = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark in command_line(entry)]
    assert left == []


def test_the_demos_files_may_have_been_compiled_by_an_installer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "files"
    shutil.copytree(repository._FILES, files, ignore=shutil.ignore_patterns("__pycache__"))
    (files / "__pycache__").mkdir()
    monkeypatch.setattr(repository, "_FILES", files)
    with repository.served_repository(tmp_path / "served") as served:
        assert [subject for _, _, subject in served.log()] == ["The scraper and its workflows"]


def test_without_git_the_demo_says_so_and_ends_with_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clockmesh.daemon.demo"], env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "demo failed: git is not installed"


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
