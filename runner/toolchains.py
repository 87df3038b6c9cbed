"""The built-in actions/setup-python and actions/setup-node: the version asked for, of those on this machine.

Nothing is downloaded. Python comes as a virtual environment of the job's own, so that `pip install` works and leaves
nothing behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.runner.errors import RunnerError, quoted
from clockmesh.runner.files import read_beneath
from clockmesh.runner.git import Interrupted
from clockmesh.runner.process import Command, Ended, How

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

_PATIENCE_S = 20.0
"""For one program to tell its version."""
_LARGEST_FILE = 4096
"""Of a file with a version."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_ANY = ("", "*", "x", "latest", "current", "node", "lts/*", "lts/-1", "stable")

Version = tuple[int, int, int]


class ToolError(RunnerError):
    """The version asked for is not here; one line."""


@dataclass(frozen=True, slots=True)
class Tool:
    version: Version
    program: str

    @property
    def text(self) -> str:
        return ".".join(map(str, self.version))


def setup_python(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    environment = run.environment(env)
    wanted = given.get("python-version", "").strip().splitlines()
    wanted = wanted or _from_file(run, given.get("python-version-file", ""), ".python-version")
    tools = _installed(_pythons(environment["PATH"]))
    for text in wanted or [""]:
        tool = _chosen("Python", text, tools, "python-version")
        folder = run.around.places.tools / f"Python-{tool.text}"
        if not folder.exists():
            _make_environment(run, environment, tool, folder)
        run.say(f"Python {tool.text} ({tool.program})")
        run.prepend_path(folder / "bin")
        for name in ("pythonLocation", "Python_ROOT_DIR", "Python3_ROOT_DIR", "VIRTUAL_ENV"):
            run.set_env(name, str(folder))
        run.outputs = {"python-version": tool.text, "python-path": str(folder / "bin" / "python"), "cache-hit": ""}
    _say_no_cache(run, given)
    return Ended(0, How.ITSELF)


def setup_node(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    environment = run.environment(env)
    wanted = [given.get("node-version", "").strip()]
    if not wanted[0]:
        wanted = _from_file(run, given.get("node-version-file", ""), "") or [""]
    tool = _chosen("Node.js", wanted[-1], _installed(_nodes(environment["PATH"])), "node-version")
    run.say(f"Node.js {tool.text} ({tool.program})")
    run.prepend_path(Path(tool.program).parent)
    run.outputs = {"node-version": f"v{tool.text}", "cache-hit": ""}
    _say_no_cache(run, given)
    return Ended(0, How.ITSELF)


def _say_no_cache(run: StepRun, given: Mapping[str, str]) -> None:
    if wanted := given.get("cache", "").strip():
        run.say(f"The {wanted} cache is not restored: packages come from their index, or from a cache step of its own")


def _from_file(run: StepRun, name: str, otherwise: str) -> list[str]:
    """The versions in a file of the workspace, the last of which counts; [] without one."""
    path = name.strip() or otherwise
    if not path:
        return []
    try:
        text = read_beneath(run.around.places.workspace, path, _LARGEST_FILE).decode(errors="replace")
    except OSError as error:
        if not name.strip():
            return []
        raise ToolError(f"the version file {quoted(path)} cannot be read: {error.strerror}") from error
    if path.endswith((".toml", ".json")):
        raise ToolError(f"a version in {quoted(path)} is not supported yet; name it in the step")
    lines = (line.split("#")[0].removeprefix("python-").strip() for line in text.splitlines())
    return [line for line in lines if line]


def _pythons(search: str) -> Iterator[str]:
    for folder in search.split(":"):
        yield from _programs(Path(folder), r"python3(\.\d+)?")
    yield from map(str, Path("/opt/hostedtoolcache/Python").glob("*/*/bin/python3"))
    yield from map(str, Path.home().glob(".pyenv/versions/*/bin/python3"))


def _nodes(search: str) -> Iterator[str]:
    for folder in search.split(":"):
        yield from _programs(Path(folder), "node")
    yield from map(str, Path("/opt/hostedtoolcache/node").glob("*/*/bin/node"))
    yield from map(str, Path.home().glob(".nvm/versions/node/*/bin/node"))


def _programs(folder: Path, pattern: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    yield from (str(folder / name) for name in names if re.fullmatch(pattern, name))


def _installed(programs: Iterable[str]) -> list[Tool]:
    """Each version once, the highest first; what does not tell its version is none."""
    found: dict[Version, str] = {}
    seen = set()
    for program in programs:
        real = os.path.realpath(program)
        if real not in seen:
            seen.add(real)
            if (version := _told_version(program)) is not None:
                found.setdefault(version, program)
    return [Tool(version, program) for version, program in sorted(found.items(), reverse=True)]


def _told_version(program: str) -> Version | None:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(told.stdout or told.stderr) if told.returncode == 0 else None
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _chosen(what: str, wanted: str, tools: list[Tool], name: str) -> Tool:
    """The highest version that fits."""
    for tool in tools:
        if fits(wanted.strip().strip("'\""), tool.version):
            return tool
    there = ", ".join(tool.text for tool in tools) or "none"
    raise ToolError(f"{what} {quoted(wanted)} is not on this peer; there are: {there}. Install it, or change `{name}`")


def fits(wanted: str, version: Version) -> bool:
    """Whether a version is in a range as npm writes it: `3.11`, `3.x`, `>=3.9 <3.13`, `^20.1`, `~3.10`, `18 || 20`."""
    return any(all(_fits_one(part, version) for part in _parts(choice)) for choice in wanted.split("||"))


def _parts(choice: str) -> list[str]:
    joined = re.sub(r"([<>=~^]+)\s+", r"\1", choice.replace(",", " ").strip())
    if match := re.fullmatch(r"(\S+) - (\S+)", joined):
        return [f">={match[1]}", f"<={match[2]}"]
    return joined.split() or [""]


def _fits_one(part: str, version: Version) -> bool:
    operator, text = re.match(r"([<>=~^]*)v?(.*)", part).groups()  # type: ignore[union-attr]
    text = text.removesuffix("-dev").lower()
    if text in _ANY:
        return True
    numbers = [int(each) for each in text.split(".") if each.isdecimal()]
    if not numbers or not re.fullmatch(r"\d+(\.(\d+|x|\*)){0,2}", text):
        return False
    own = version[: len(numbers)]
    match operator:
        case ">=":
            return version >= tuple(numbers)
        case ">":
            return own > tuple(numbers)
        case "<=":
            return own <= tuple(numbers)
        case "<":
            return version < tuple(numbers)
        case "^":
            return version[0] == numbers[0] and version >= tuple(numbers)
        case "~" | "~=" | "~>":
            return own[:2] == tuple(numbers[:2]) and version >= tuple(numbers)
        case "" | "=" | "==":
            return own == tuple(numbers)
    return False


def _make_environment(run: StepRun, environment: Mapping[str, str], tool: Tool, folder: Path) -> None:
    if not shutil.which(tool.program):
        raise ToolError(f"{tool.program} is gone")
    ended = run.around.processes.run(
        Command([tool.program, "-m", "venv", str(folder)], run.around.places.workspace, environment),
        run.write,
        timeout=run.timeout(),
        survives_cancel=run.survives_cancel,
    )
    if ended.how is not How.ITSELF:
        raise Interrupted(ended)
    if ended.code:
        raise ToolError(f"no virtual environment of Python {tool.text} could be made; Debian: apt-get install "
                        f"python{tool.version[0]}.{tool.version[1]}-venv")  # fmt: skip
