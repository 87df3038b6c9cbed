"""Three small jobs of one workflow file: by `act` on this machine, by `clockmesh run local`, and by a mesh."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks._measure import timed_s
from clockmesh.daemon.demo.peers import Peer

_THREE = """\
name: three small jobs (p2p-workflow)
on: push
jobs:
  fetch:
    runs-on: ubuntu-latest
    steps:
      - id: page
        run: echo "lines=3" >> "$GITHUB_OUTPUT"
      - run: test "${{ steps.page.outputs.lines }}" = 3
  build:
    runs-on: ubuntu-latest
    steps: [{run: 'seq 100 > numbers'}, {run: 'test "$(wc -l < numbers)" = 100'}]
  check:
    runs-on: ubuntu-latest
    steps: [{run: 'test "$CI" = true'}, {run: 'echo checked'}]
"""


@dataclass(frozen=True)
class SmallJobs:
    """A repository with that workflow, and the commands that run it."""

    folder: Path
    act: str
    peer: Peer

    @property
    def _file(self) -> Path:
        return self.folder / ".github/workflows/three.yml"

    def by_act(self) -> float:
        """Seconds. Its images are never asked for: the jobs run on this machine itself."""
        return self._timed(self.act, "push", "--platform", "ubuntu-latest=-self-hosted", "--workflows", str(self._file))

    def local(self) -> float:
        return self._timed(*_COMMAND, "run", "local", str(self._file))

    def by_mesh(self) -> float:
        return self._timed(*_COMMAND, "run", "submit", str(self._file), "--follow", "--home", str(self.peer.home))

    def _timed(self, *command: str) -> float:
        environment = {**os.environ, "HOME": str(self.folder), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
        return timed_s(lambda: subprocess.run(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                                              capture_output=True, check=True))


_COMMAND = (str(Path(sys.executable).with_name("clockmesh")),)


def small_jobs(folder: Path, peer: Peer) -> SmallJobs | None:
    """None where `act` is not installed."""
    act = shutil.which("act", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if act is None:
        return None
    jobs = SmallJobs(folder, act, peer)
    jobs._file.parent.mkdir(parents=True)
    jobs._file.write_text(_THREE)
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.invalid", "-C", str(folder)]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "three small jobs"]):
        subprocess.run([*git, *words], check=True)
    return jobs
