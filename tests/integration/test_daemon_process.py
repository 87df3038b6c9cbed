"""clockmeshd as a process: how it starts, says so, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clockmesh.daemon.alone import init_alone
from clockmesh.daemon.home import Home
from tests.integration.daemon_support import end_hosts

_LIMIT_S = 30.0


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "clockmesh.daemon.app", "--home", str(home), *words]


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@contextmanager
def daemon(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A daemon that systemd would call ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(home.parent / "notify"))
        manager.settimeout(_LIMIT_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(home.parent / "notify"), "WATCHDOG_USEC": "1000000"}
        process = subprocess.Popen(command(home, *words), stderr=subprocess.PIPE, text=True, env=environment)
        try:
            assert manager.recv(4096).startswith(b"READY=1")
            assert manager.recv(4096) == b"WATCHDOG=1"
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            end_hosts(Home(home))
            os.unlink(home.parent / "notify")


def test_a_daemon_starts_says_so_and_ends_in_order(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    init_alone(home, "alpha", 1)
    home.config.write_text("sandbox: none\n")
    with daemon(home.path, "--listen", "127.0.0.1:0") as process:
        assert home.control_socket.exists()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=_LIMIT_S)
        assert process.returncode == 0
        assert time.monotonic() - began < 5
    assert not home.control_socket.exists()
    events = lines(told)
    started = next(line for line in events if line["event"] == "daemon_started")
    assert started["peer"] == "alpha"
    assert str(started["listen"]).startswith("127.0.0.1:")
    assert sum("without a sandbox" in str(line.get("text")) for line in events) == 1
    assert events[-1]["event"] == "daemon_stopped"


def test_a_second_daemon_of_one_home_is_turned_away(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with daemon(home, "--listen", "127.0.0.1:0") as process:
        second = subprocess.run(command(home), capture_output=True, text=True, timeout=_LIMIT_S)
        assert second.returncode == 6
        assert f"in use by process {process.pid}" in second.stderr
        assert process.poll() is None


def test_a_wrong_configuration_ends_it_with_the_place(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.yml").write_text("name: alpha\nslotz: 3\n")
    done = subprocess.run(command(home), capture_output=True, text=True, timeout=_LIMIT_S)
    assert done.returncode == 78
    assert "config.yml:2: unknown key 'slotz'; did you mean 'slots'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_fault_ends_daemon_and_host_with_the_points(tmp_path: Path) -> None:
    (tmp_path / "faults").write_text("crash before-lunch\n")
    environment = {**os.environ, "CLOCKMESH_FAULTS": str(tmp_path / "faults")}
    host = [sys.executable, "-m", "clockmesh.runner.host", "--home", str(tmp_path / "home")]
    for words in (command(tmp_path / "home"), host):
        done = subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S, env=environment)
        assert done.returncode == 78
        assert "faults:1: there is no point 'before-lunch'; the points are before-commit, after-commit" in done.stderr


def test_a_taken_port_ends_it_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(command(tmp_path / "home", "--listen", f"127.0.0.1:{port}"), capture_output=True,
                              text=True, timeout=_LIMIT_S)
    assert done.returncode == 78
    assert f"port {port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_arguments_end_it_with_usage(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path / "home", "--listen", "nowhere"), capture_output=True, text=True,
                          timeout=_LIMIT_S)
    assert done.returncode == 2
    assert "cannot listen at 'nowhere'" in done.stderr


def test_a_damaged_store_ends_it_with_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    init_alone(home, "alpha", 1)
    for path in home.path.glob("state.db*"):
        path.write_bytes(b"junk" * 3000)
    done = subprocess.run(command(home.path), capture_output=True, text=True, timeout=_LIMIT_S)
    assert done.returncode == 78
    assert "join again as a new peer" in done.stderr


def test_wrong_usage_of_the_daemon_is_one_line(tmp_path: Path) -> None:
    for words in (["--listen", "nowhere"], ["--frob"], ["extra"]):
        done = subprocess.run(command(tmp_path / "home", *words), capture_output=True, text=True, timeout=_LIMIT_S)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert words[-1] in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_daemons_help_has_an_example_and_fits_80_columns(tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(command(tmp_path, "--help"), capture_output=True, text=True, env=environment)
    assert "example:\n  clockmeshd --home" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
