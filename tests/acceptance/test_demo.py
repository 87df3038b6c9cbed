"""The demo is the first thing that a new user runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
