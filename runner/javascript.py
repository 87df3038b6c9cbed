"""A JavaScript action: run by the Node.js of this machine, its post part after all steps."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.runner.environment import host_environment
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.model_action import Script
from clockmesh.runner.process import Ended

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

_VERSION_S = 10.0
"""For `node --version`."""


class NodeError(RunnerError):
    """There is no Node.js for the action; one line."""


def run_script(run: StepRun, env: dict[str, str], script: Script, folder: Path, inputs: Mapping[str, str]) -> Ended:
    """Its main part. The post part is noted before, so that it runs whatever becomes of this one."""
    node = find_node(run, script.version)
    if script.pre:
        run.say("Warning: `pre` execution is not supported for local actions")
    environment = inputs_environment(inputs)
    if not script.post:
        return run.command([node, str(folder / script.main)], run.around.places.workspace,
                           run.environment(env | environment))  # fmt: skip

    def clean_up(post: StepRun, later: dict[str, str]) -> Ended:
        post.say(f"Run {script.post}")
        saved = {f"STATE_{name}": value for name, value in run.saved.items()}
        return post.command(
            [node, str(folder / script.post)],
            post.around.places.workspace,
            post.environment(later | environment | saved),
        )

    run.leave(clean_up, script.post_condition)
    return run.command([node, str(folder / script.main)], run.around.places.workspace,
                       run.environment(env | environment))  # fmt: skip


def inputs_environment(inputs: Mapping[str, str]) -> dict[str, str]:
    """INPUT_ variables: upper case, spaces as `_`, all else as it is."""
    return {f"INPUT_{name.replace(' ', '_').upper()}": value for name, value in inputs.items()}


def find_node(run: StepRun, version: int) -> str:
    """The host's own `node`: no step chooses it. An older one than the action asks for is said, and tried."""
    wanted = max(version, 20)
    node = shutil.which("node", path=host_environment()["PATH"])
    if node is None:
        why = f"the action runs on Node.js {wanted}, and there is no `node` in the PATH of this peer"
        raise NodeError(f"{why}; install it (Debian: apt-get install nodejs)")
    found = _version(node)
    if found < wanted:
        run.say(f"Warning: the action asks for Node.js {wanted}; this peer has {found or 'one of unknown version'}")
    return node


def _version(node: str) -> int:
    try:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.match(r"v(\d+)\.", told.stdout)
    return int(match[1]) if match else 0
