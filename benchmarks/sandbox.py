"""What a sandbox costs: trivial jobs with and without one, side by side, and bubblewrap alone: `./dev bench sandbox`.

Each job is a runner host's own: started, led, ended, its result read; the two kinds alternate, so that a busy machine
troubles both alike. The mesh is not part of it. Ratios are against bubblewrap running `true` with the same mounts.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.plan import Snapshot
from clockmesh.runner.box import check
from clockmesh.runner.host_jobs import Jobs
from clockmesh.runner.host_messages import Ended, Report
from clockmesh.runner.job import lead
from clockmesh.runner.plan import make_plan, read_workflow
from clockmesh.runner.proctree import become_subreaper
from clockmesh.runner.sandbox import NO_SANDBOX, Sandbox
from clockmesh.runner.spec import JobSpec

_FLOW = b"on: push\njobs:\n  j:\n    runs-on: self-hosted\n    steps:\n%s"
_STEP = b"      - run: 'true'\n"
_RUN = "5a" * 32


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench sandbox", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="of each kind (default 50)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cm-") as name:
        home = Path(name)
        if reason := check(Sandbox(), home):
            raise SystemExit(f"no sandbox can be made here: {reason}")
        become_subreaper()
        bench = _Bench(home)
        bare, boxed = bench.alternate(options.jobs, 1)
        bare_10, boxed_10 = bench.alternate(max(5, options.jobs // 5), 10)
        alone = [_bwrap_s() for _ in range(options.jobs)]
    base = statistics.median(alone)
    print(f"bubblewrap alone, running `true`: {_told(alone)}")
    print(f"a job of one step without a sandbox: {_told(bare)}")
    print(f"a job of one step in a sandbox: {_told(boxed)}")
    added = statistics.median(boxed) - statistics.median(bare)
    print(f"added to a job: {added * 1e3:.1f} ms, {added / base:.2f} of bubblewrap alone")
    step = (statistics.median(boxed_10) - statistics.median(boxed)) / 9
    free = (statistics.median(bare_10) - statistics.median(bare)) / 9
    print(f"a further step: {free * 1e3:.1f} ms without, {step * 1e3:.1f} ms in a sandbox")


def _told(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds) * 1e3:.1f} ms, best {min(seconds) * 1e3:.1f} ms of {len(seconds)}"


class _Bench:
    def __init__(self, home: Path) -> None:
        self._home = home
        self._reports: list[Report] = []
        self._jobs = Jobs(home, "bench:", lead, self._reports.append, set())
        self._attempt = 0

    def alternate(self, jobs: int, steps: int) -> tuple[list[float], list[float]]:
        """Seconds of each job without and with a sandbox."""
        bare, boxed = [], []
        for _ in range(jobs):
            bare.append(self._run(NO_SANDBOX, steps))
            boxed.append(self._run(Sandbox(), steps))
        return bare, boxed

    def _run(self, sandbox: Sandbox, steps: int) -> float:
        self._attempt += 1
        self._jobs.sandbox = sandbox
        spec = replace(_spec(self._home, steps), attempt=self._attempt)
        began = time.perf_counter()
        self._jobs.start(spec, float("inf"))
        while self._jobs.running:
            for control in select.select(list(self._jobs.controls()), (), (), 0.1)[0]:
                self._jobs.hear(control)
        took = time.perf_counter() - began
        ended = self._reports.pop()
        if not isinstance(ended, Ended) or ended.result is None:
            raise SystemExit(f"a job did not end well: {ended}")
        self._jobs.forget(spec.ref)
        self._jobs.reap()
        return took


def _spec(home: Path, steps: int) -> JobSpec:
    data = _FLOW % (_STEP * steps)
    file = home / f"flow-{steps}.yml"
    file.write_bytes(data)
    plan = make_plan(
        read_workflow(data, "flow.yml"), path="flow.yml", workflow_blob=manifest_of(data).blob, source=Snapshot(),
        inputs={}, force=True,
    )  # fmt: skip
    return JobSpec(_RUN, plan.jobs[0].key, 1, plan, str(file))


def _bwrap_s() -> float:
    shown = [word for name in ("usr", "etc", "opt") for word in ("--ro-bind", f"/{name}", f"/{name}")]
    links = [word for name in ("lib", "lib64", "bin") if os.path.islink(f"/{name}")
             for word in ("--symlink", os.readlink(f"/{name}"), f"/{name}")]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(
        ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", *shown, *links, "--proc", "/proc", "--dev", "/dev",
         "--tmpfs", "/tmp", "/usr/bin/true"], check=True,
    )  # fmt: skip
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
