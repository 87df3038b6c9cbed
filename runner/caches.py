"""The built-in actions/cache: files under a key, kept by this machine from run to run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.runner.around import constant
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.expressions import to_text
from clockmesh.runner.files import remove_tree, write_whole
from clockmesh.runner.pack import absolute, pack, paths_of, unpack
from clockmesh.runner.process import Ended, How

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

MAX_KEY = 512
MAX_BYTES = 10 * 1024**3
"""Of all caches of one repository: GitHub's own bound. The longest unused goes first."""
_MAIN = ("refs/heads/main", "refs/heads/master", "")
"""Whose caches other branches may use too."""


class CacheError(RunnerError):
    """The cache cannot be used as asked; one line."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    key: str
    prefixes: tuple[str, ...]
    paths: tuple[str, ...]
    """Absolute."""
    version: str
    """Of the paths and the machine's kind: a cache of others does not fit."""
    ref: str


@dataclass(frozen=True, slots=True)
class _Kept:
    folder: Path
    key: str
    created: float


def cache(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    """Restore now; save after all steps, if they succeeded and the very key was not there."""
    hit = _restore(run, env, given)
    if not hit and not _flag(given, "lookup-only"):
        run.leave(lambda post, later: _save(post, later, given), constant(run.step, "success()"))
    return Ended(0, How.ITSELF)


def restore(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    _restore(run, env, given)
    return Ended(0, How.ITSELF)


def save(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    return _save(run, env, given)


def _restore(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> bool:
    """Whether the very key was there."""
    environment = run.environment(env)
    wanted = _wanted(run, environment, given)
    outputs = {"cache-primary-key": wanted.key, "cache-hit": "", "cache-matched-key": ""}
    found = _find(run, wanted)
    if found is None:
        run.outputs = outputs
        told = f"Cache not found for input keys: {', '.join([wanted.key, *wanted.prefixes])}"
        if _flag(given, "fail-on-cache-miss"):
            raise CacheError(f"Failed to restore cache entry. Exiting as fail-on-cache-miss is set. {told}")
        run.say(told)
        return False
    hit = found.key == wanted.key
    run.outputs = outputs | {"cache-hit": "true" if hit else "false", "cache-matched-key": found.key}
    if not _flag(given, "lookup-only"):
        for name, base in _bases(run, environment):
            if (archive := found.folder / f"{name}.tgz").exists():
                unpack(run, environment, archive, base)
        os.utime(found.folder)
    run.say(f"Cache restored from key: {found.key}")
    return hit


def _save(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    environment = run.environment(env)
    wanted = _wanted(run, environment, given)
    store = run.around.spec.caches
    if not store:
        run.say("No cache is kept here: nothing is saved")
        return Ended(0, How.ITSELF)
    if any(kept.key == wanted.key for kept in _kept(Path(store), wanted, (wanted.ref,))):
        run.say(f"Cache {wanted.key} is there already: nothing is saved")
        return Ended(0, How.ITSELF)
    made = run.around.places.temp / f"cache-{hashlib.sha256(wanted.key.encode()).hexdigest()[:16]}"
    made.mkdir()
    count = 0
    for name, base in _bases(run, environment):
        if patterns := _below(run, environment, wanted, name, base):
            count += pack(run, environment, base, patterns, made / f"{name}.tgz", folders=True)
    if not count:
        run.say("Warning: none of the cache's paths is there: nothing is saved")
        return Ended(0, How.ITSELF)
    _keep(Path(store), wanted, made)
    run.say(f"Cache saved with key: {wanted.key}")
    return Ended(0, How.ITSELF)


def _wanted(run: StepRun, environment: Mapping[str, str], given: Mapping[str, str]) -> _Wanted:
    key = given.get("key", "").strip()
    workspace, home = run.around.places.workspace, environment["HOME"]
    lines = paths_of(given.get("path", ""))
    if not key or not lines:
        raise CacheError(f"the cache action needs a `{'path' if key else 'key'}`")
    if len(key) > MAX_KEY or "," in key:
        raise CacheError(f"the cache key has a comma or more than {MAX_KEY} characters: {key[:40]}...")
    github = run.contexts["github"]
    ref = to_text(github.get("ref")) if isinstance(github, dict) else ""
    version = hashlib.sha256("\n".join([*lines, platform.machine()]).encode()).hexdigest()[:16]
    paths = tuple(absolute(line, workspace, home) for line in lines)
    return _Wanted(key, tuple(paths_of(given.get("restore-keys", ""))), paths, version, ref)


def _bases(run: StepRun, environment: Mapping[str, str]) -> list[tuple[str, Path]]:
    """What the paths of a cache are relative to, the nearest first: another run has other folders."""
    return [("workspace", run.around.places.workspace), ("home", Path(environment["HOME"])), ("root", Path("/"))]


def _below(run: StepRun, environment: Mapping[str, str], wanted: _Wanted, name: str, base: Path) -> list[str]:
    """The patterns whose nearest base is this one, relative to it."""
    found = []
    for pattern in wanted.paths:
        mark, bare = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
        nearest = next(each for each, folder in _bases(run, environment) if Path(bare).is_relative_to(folder))
        if nearest == name:
            found.append(mark + os.path.relpath(bare, base))
    return found if any(not pattern.startswith("!") for pattern in found) else []


def _find(run: StepRun, wanted: _Wanted) -> _Kept | None:
    """The very key, else the newest that begins with a restore key, the branch's own first."""
    store = run.around.spec.caches
    if not store:
        return None
    for refs in ((wanted.ref,), _MAIN):
        kept = _kept(Path(store), wanted, refs)
        for fits in (lambda key: key == wanted.key, *(_begins(prefix) for prefix in (wanted.key, *wanted.prefixes))):
            if found := [each for each in kept if fits(each.key)]:
                return max(found, key=lambda each: each.created)
    return None


def _begins(prefix: str) -> Callable[[str], bool]:
    return lambda key: key.startswith(prefix)


def _kept(store: Path, wanted: _Wanted, refs: tuple[str, ...]) -> list[_Kept]:
    found = []
    for path in store.glob(f"{wanted.version}-*/about.json"):
        about = json.loads(path.read_bytes())
        if about["ref"] in refs:
            found.append(_Kept(path.parent, about["key"], about["created"]))
    return found


def _keep(store: Path, wanted: _Wanted, made: Path) -> None:
    """Whole or not at all: others may be reading and writing here."""
    store.mkdir(parents=True, exist_ok=True)
    about = {"key": wanted.key, "ref": wanted.ref, "created": time.time()}
    digest = hashlib.sha256("\0".join((wanted.ref, wanted.key)).encode()).hexdigest()
    name = f"{wanted.version}-{digest[:24]}"
    beside = store / f".{name}.{os.getpid()}"
    shutil.copytree(made, beside)
    write_whole(beside / "about.json", json.dumps(about).encode(), durable=False)
    try:
        beside.rename(store / name)
    except OSError:
        remove_tree(beside)  # another run was faster
    _make_room(store)


def _make_room(store: Path) -> None:
    entries = sorted((path.parent for path in store.glob("*/about.json")), key=lambda path: path.stat().st_mtime)
    sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in entries}
    total = sum(sizes.values())
    while total > MAX_BYTES and len(entries) > 1:
        oldest = entries.pop(0)
        total -= sizes[oldest]
        remove_tree(oldest)


def _flag(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").strip().lower() == "true"
