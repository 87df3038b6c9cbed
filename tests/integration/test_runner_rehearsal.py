"""The small job that a host runs in itself before it serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from clockmesh.runner.rehearsal import rehearse
from tests.integration.runner_support import in_child


def test_a_rehearsal_leaves_no_file_and_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "rehearsal"

    def rehearsed() -> tuple[bool, bool]:
        good = rehearse(folder, "test.")
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return good, False
        return good, True

    assert in_child(rehearsed) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_begins_with_what_a_killed_host_left(tmp_path: Path) -> None:
    (tmp_path / "rehearsal/0").mkdir(parents=True)
    assert in_child(rehearse, tmp_path / "rehearsal", "test.")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_keeps_no_host_from_serving(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert in_child(rehearse, tmp_path / "file/rehearsal", "test.")


def test_a_host_that_is_told_to_end_in_its_rehearsal_ends(tmp_path: Path) -> None:
    bash = tmp_path / "bash"
    bash.write_text(f"#!/bin/sh\n: > {tmp_path}/begun\nsleep 20\n")
    bash.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    host = subprocess.Popen([sys.executable, "-m", "clockmesh.runner.host", "--home", str(tmp_path / "home")],
                            env=environment)
    try:
        until = time.monotonic() + 20
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        host.send_signal(signal.SIGTERM)
        assert host.wait(20) == 0
    finally:
        host.kill()
        host.wait()
    assert not (tmp_path / "home/rehearsal").exists()
    assert not (tmp_path / "home/host.sock").exists()
