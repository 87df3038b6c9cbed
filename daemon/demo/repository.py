"""The repository that the demo scrapes into, served by `git daemon` on loopback with pushing allowed."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FILES = Path(__file__).parent / "files"
_START_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Repository:
    bare: Path
    url: str

    def log(self) -> list[tuple[str, str, str]]:
        """Commits from the oldest: (hash, parent's hash or '', subject)."""
        lines = git(self.bare, "log", "--reverse", "--format=%H|%P|%s", "main").splitlines()
        return [(parts[0], parts[1], parts[2]) for parts in (line.split("|", 2) for line in lines)]

    def file(self, name: str) -> str:
        return git(self.bare, "show", f"main:{name}")


def git(where: Path, *arguments: str) -> str:
    """What git prints, run in `where` by an author of its own; CalledProcessError when it fails."""
    who = {"GIT_AUTHOR_NAME": "demo", "GIT_AUTHOR_EMAIL": "demo@example.invalid"}
    who |= {"GIT_COMMITTER_NAME": "demo", "GIT_COMMITTER_EMAIL": "demo@example.invalid"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=where,
        env=os.environ | who | {"GIT_CONFIG_NOSYSTEM": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@contextmanager
def served_repository(folder: Path) -> Iterator[Repository]:
    """A repository with the demo's files as its first commit, served until the block ends."""
    served = folder / "git"
    bare = served / "prices.git"
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    _first_commit(folder / "first", bare)
    port = _free_port()
    command = ["git", "daemon", "--reuseaddr", "--export-all", "--enable=receive-pack", "--listen=127.0.0.1"]
    with subprocess.Popen(
        [*command, f"--port={port}", f"--base-path={served}", str(served)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            _wait_for(port, server)
            yield Repository(bare, f"git://127.0.0.1:{port}/prices.git")
        finally:
            # git daemon is a child of git: the whole group must go.
            os.killpg(server.pid, 15)


def _first_commit(work: Path, bare: Path) -> None:
    workflows = work / ".github" / "workflows"
    workflows.mkdir(parents=True)
    for file in sorted(entry for entry in _FILES.iterdir() if entry.is_file()):  # an installer compiles beside them
        folder = workflows if file.suffix == ".yml" else work
        (folder / file.name).write_bytes(file.read_bytes())
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "The scraper and its workflows")
    git(work, "push", "--quiet", str(bare), "main")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < limit and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("git daemon did not start (is git installed with its daemon?)")
