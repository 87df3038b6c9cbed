"""The places of a job on disk, and the environment of its steps."""

from __future__ import annotations

import json
import os
import platform
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clockmesh.runner.contexts import Machine
from clockmesh.runner.expressions import Value, to_text
from clockmesh.runner.proctree import MARK
from clockmesh.runner.spec import JobSpec

_GITHUB = (
    "action", "actor", "api_url", "base_ref", "event_name", "event_path", "graphql_url", "head_ref", "job", "ref",
    "ref_name", "ref_protected", "ref_type", "repository", "repository_owner", "retention_days", "run_attempt",
    "run_id", "run_number", "server_url", "sha", "triggering_actor", "workflow", "workflow_ref", "workflow_sha",
    "workspace",
)  # fmt: skip
"""Members of the `github` context that are variables as well, as in the official runner (GitHubContext)."""

_OF_THE_HOST = ("CLOCKMESH_", "NOTIFY_", "WATCHDOG_", "LISTEN_", "INVOCATION_", "JOURNAL_", "SYSTEMD_", "GITHUB_",
                "RUNNER_", "VIRTUAL_ENV")  # fmt: skip
"""Beginnings of variables that are about the host, or about a job that the host itself runs in."""

_ARCHITECTURES = {"x86_64": "X64", "amd64": "X64", "aarch64": "ARM64", "arm64": "ARM64", "i686": "X86"}


@dataclass(frozen=True, slots=True)
class Places:
    """All below the attempt's `work/`, which is removed when the attempt is forgotten."""

    workspace: Path
    temp: Path
    tools: Path
    scripts: Path
    """Of the steps, and the files through which they speak."""
    event: Path


def make_places(spec: JobSpec, folder: Path) -> Places:
    """Empty folders in the attempt's directory, or where the sandbox has them."""
    work = Path(spec.work) if spec.work else folder / "work"
    places = Places(work / "repository", work / "temp", work / "tools", work / "scripts", work / "event.json")
    for place in (places.workspace, places.temp, places.tools, places.scripts):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return places


def machine(spec: JobSpec, places: Places) -> Machine:
    return Machine(
        name=spec.peer,
        arch=_ARCHITECTURES.get(platform.machine().lower(), platform.machine().upper()),
        workspace=str(places.workspace),
        temp=str(places.temp),
        tool_cache=str(places.tools),
        event_path=str(places.event),
    )


def write_event(places: Places, github: Value) -> None:
    """The file GITHUB_EVENT_PATH."""
    event = github.get("event") if isinstance(github, dict) else None
    places.event.write_text(json.dumps(event if event is not None else {}, ensure_ascii=False))


def host_environment() -> dict[str, str]:
    """What jobs inherit of the host's own environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_HOST)}
    if "HOME" not in kept:
        kept["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return kept


def step_environment(
    spec: JobSpec, mark: str, contexts: Mapping[str, Value], env: Mapping[str, str], paths: Iterable[str]
) -> dict[str, str]:
    """Of one step: the host's, then `env` (workflow, job, GITHUB_ENV, step), then what no workflow can change. `paths`
    are those of GITHUB_PATH in the order written."""
    github, runner = contexts["github"], contexts["runner"]
    environment = host_environment() | {"CI": "true"} | dict(env)
    if isinstance(github, dict):
        environment |= {f"GITHUB_{name.upper()}": to_text(github.get(name)) for name in _GITHUB}
        if path := to_text(github.get("action_path")):
            environment["GITHUB_ACTION_PATH"] = path
    if isinstance(runner, dict):
        environment |= {f"RUNNER_{name.upper()}": to_text(value) for name, value in runner.items() if name != "debug"}
    environment |= {
        "GITHUB_ACTIONS": "true",
        "RUNNER_WORKSPACE": str(Path(environment["GITHUB_WORKSPACE"]).parent),
        "CLOCKMESH_ATTEMPT": str(spec.attempt),
        "CLOCKMESH_RUN": spec.run,
        "CLOCKMESH_PEER": spec.peer,
        MARK: mark,
    }
    environment["PATH"] = ":".join([*reversed(list(dict.fromkeys(paths))), environment["PATH"]])
    return environment
