"""`python -m tests.conformance.probes [FOLDER]`: a folder of behaviour probes through `clockmesh run local`.

Each probe is a small repository whose run GitHub's documentation decides; it is run in a fresh git copy of its folder
and judged by the folder's own `judge.py`. One line for each, and last `N passed, N failed`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.conformance.cases import ROOT

FOLDER = Path(os.environ.get("CLOCKMESH_PROBES", ROOT.parent / "shared" / "probes"))
LIMIT_S, LONG_LIMIT_S = 60.0, 120.0
"""For each run; the longer one where the probe waits for a time limit of a whole minute."""
_ACT_AFTER_S = 1.0
"""Between the text that a probe waits for and what it then does."""
_AT_ONCE = 3
"""Probes at a time: some measure how jobs overlap, and most of them only sleep."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.probes", description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="TEXT", help="probes with this in their id")
    parser.add_argument("--sandbox", action="store_true", help="each as `run local --sandbox`")
    options = parser.parse_args(arguments)
    more = ("--sandbox",) if options.sandbox else ()
    if not (options.folder / "probes.json").is_file():
        print(f"no probes here: {options.folder / 'probes.json'} is absent")
        return 2
    listed = json.loads((options.folder / "probes.json").read_text(encoding="utf-8"))["probes"]
    probes = [probe for probe in listed if options.only in probe["id"]]
    judge = _judge(options.folder)
    failed = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        judged = pool.map(lambda probe: check(judge, options.folder, probe, more), probes)
        for probe, bad in zip(probes, judged, strict=True):
            failed += bool(bad)
            print(f"{'FAILED' if bad else 'passed'} {probe['id']}{': ' if bad else ''}{'; '.join(bad)}", flush=True)
    print(f"{len(probes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def check(judge: Any, folder: Path, probe: dict[str, Any], more: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with how a probe went; nothing, where it passed. `more`: words for the command."""
    with tempfile.TemporaryDirectory(prefix="probe-") as made:
        work = Path(made)
        _copy(folder / probe["dir"], work / "repository")
        _write_secrets(work / "secrets", probe.get("secrets") or {})
        starts = [run["start_s"] for run in probe.get("runs", [{"start_s": 0}])]
        with ThreadPoolExecutor(len(starts)) as pool:
            seen = list(pool.map(lambda start: observe(probe, work, start, more), starts))
    expects = probe["expect"] if isinstance(probe["expect"], list) else [probe["expect"]]
    bad = []
    for expect, observed in zip(expects, seen, strict=True):
        wrong, blind = judge.judge(expect, observed)
        bad += wrong + [f"{what} is not observed" for what in blind]
    if together := probe.get("overlap_between_runs"):
        spans = [span for observed in seen for span in judge._intervals(observed, together)]
        if len(spans) != len(seen) or judge.max_overlap(spans) > together["max"]:
            bad.append(f"{len(spans)} intervals of {len(seen)} runs, {judge.max_overlap(spans)} at once")
    return bad


def observe(probe: dict[str, Any], work: Path, start_s: float, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """The record of one run of the probe."""
    time.sleep(start_s)
    process = subprocess.Popen(
        [sys.executable, "-m", "clockmesh.daemon.cli", *_words(probe, work), *more],
        cwd=work / "repository",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    limit = LONG_LIMIT_S if probe.get("min_wall_s", 0) >= LIMIT_S else LIMIT_S
    timer = threading.Timer(limit, process.kill)
    timer.start()
    told: list[str] = []
    watcher = threading.Thread(target=_watch, args=(process, list(probe.get("actions", [])), told))
    watcher.start()
    assert process.stdout is not None
    printed = process.stdout.read()
    process.wait()
    watcher.join()
    timer.cancel()
    try:
        return json.loads(printed)
    except ValueError:
        status = f"exit status {process.returncode} and no record within {limit:g} s: {''.join(told[-3:])}"
        return {"result": status, "run_name": None, "jobs": [], "logs": [], "summary": None, "outputs": None,
                "errors": "".join(told), "wall_s": limit}  # fmt: skip


def _words(probe: dict[str, Any], work: Path) -> list[str]:
    words = ["run", "local", probe["workflow"], "--json", "--event", probe["event"]]
    words += [word for name, value in (probe.get("inputs") or {}).items() for word in ("--input", f"{name}={value}")]
    words += [word for name, value in (probe.get("vars") or {}).items() for word in ("--var", f"{name}={value}")]
    return words + (["--secret-file", str(work / "secrets")] if probe.get("secrets") else [])


def _watch(process: subprocess.Popen[str], actions: list[dict[str, str]], told: list[str]) -> None:
    """Read what it tells while it runs, and do what the probe wants done then."""
    assert process.stderr is not None
    for line in process.stderr:
        told.append(line)
        if actions and actions[0]["when_log"] in line:
            assert actions.pop(0)["do"] == "cancel"
            time.sleep(_ACT_AFTER_S)
            process.send_signal(signal.SIGINT)


def _copy(source: Path, repository: Path) -> None:
    shutil.copytree(source, repository)
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["commit", "-q", "-m", "probe"],
        ["remote", "add", "origin", "https://github.com/probe/probe.git"],
    ):
        subprocess.run(["git", *words], cwd=repository, env=_environment(), check=True)


def _write_secrets(path: Path, values: dict[str, str]) -> None:
    path.write_text("".join(f"{name}<<end of {name}\n{value}\nend of {name}\n" for name, value in values.items()))


def _environment() -> dict[str, str]:
    """Without what a runner or a git of this process's own surroundings has set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GITHUB_", "RUNNER_", "ACTIONS_", "GIT_"))
    }
    who = {f"GIT_{role}_{what}": f"probe{end}" for role in ("AUTHOR", "COMMITTER")
           for what, end in (("NAME", ""), ("EMAIL", "@example.invalid"))}  # fmt: skip
    return kept | who | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def _judge(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("probe_judge", folder / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
