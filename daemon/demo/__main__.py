"""Run the demo: exit 0 when all it showed was so, else 1 with what failed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from clockmesh.daemon.demo import story
from clockmesh.daemon.demo.peers import DemoError, Mesh, stopped_at_end, why_no_sandbox
from clockmesh.daemon.demo.repository import served_repository
from clockmesh.daemon.demo.site import served_site
from clockmesh.daemon.demo.telling import Teller, table

_FILES = Path(__file__).parent / "files"


def main() -> int:
    began = time.monotonic()
    tell = Teller()
    try:
        rows = _play(tell)
    except (DemoError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        tell.news()
        print(f"\ndemo failed: {_reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo stopped", file=sys.stderr)
        return 130
    took = time.monotonic() - began
    print(f"\nAll {len(rows)} jobs are done, by three peers, in {took:.0f} s. Nothing is left behind.")
    return 0


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename == "git":
        return "git is not installed"
    said = str(error.stderr).strip() if isinstance(error, subprocess.CalledProcessError) else ""
    return f"{error} {said}".strip()


def _play(tell: Teller) -> list[tuple[str, ...]]:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clockmesh-demo-")))
        workflows = folder / "workflows"
        workflows.mkdir()
        for name in ("matrix.yml", "long.yml"):
            (workflows / name).write_bytes((_FILES / name).read_bytes())
        site = cleanup.enter_context(served_site())
        repository = cleanup.enter_context(served_repository(folder))
        mesh = cleanup.enter_context(stopped_at_end(Mesh(folder)))
        if reason := why_no_sandbox(folder):
            mesh.sandbox = "none"
            print(f"The jobs run without a sandbox, which cannot be made here: {reason}")
        tell.follow(mesh)
        told = story.Story(mesh, tell)
        story.found_mesh(told)
        story.scrape(told, repository, site)
        story.matrix(told, workflows)
        story.kill_holder(told, workflows)
        tell.chapter("What ran")
        tell.text(table(("what", "run", "job", "peer", "attempt", "conclusion"), told.rows))
        return told.rows


if __name__ == "__main__":
    raise SystemExit(main())
