"""The built-in actions/upload-artifact and actions/download-artifact: files that a job leaves to others of its run."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.runner.errors import RunnerError, quoted
from clockmesh.runner.files import write_whole
from clockmesh.runner.pack import absolute, pack, paths_of, unpack
from clockmesh.runner.process import Ended, How

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

INDEX = "index.json"
"""In the attempt's folder `artifacts`: what it uploaded."""

_FORBIDDEN = frozenset('"\\:<>|*?/\r\n')
_SHOWN = " ".join(sorted(_FORBIDDEN - set("\r\n")))
_GLOB = frozenset("*?[")
_DEFAULT_NAME = "artifact"


class ArtifactError(RunnerError):
    """An artifact cannot be uploaded or downloaded; one line."""


@dataclass(slots=True)
class Artifacts:
    """Those of the run that a job knows of: of the jobs that had ended when it began, and its own."""

    folder: Path | None
    """Where its own are kept; None where this run keeps none."""
    files: dict[str, Path]
    """By name, the archives."""
    own: dict[str, dict[str, object]] = field(default_factory=dict)
    """What the index says of each."""

    def add(self, name: str, archive: Path, facts: dict[str, object]) -> None:
        assert self.folder is not None
        self.files[name] = archive
        self.own[name] = {"file": archive.name} | facts
        write_whole(self.folder / INDEX, json.dumps(self.own).encode(), durable=False)


def read_index(folder: Path) -> dict[str, Path]:
    """The artifacts that an attempt left in its folder `artifacts`, by name."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
    except FileNotFoundError:
        return {}
    return {name: folder / facts["file"] for name, facts in index.items()}


def upload(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    artifacts = run.around.artifacts
    name = given.get("name", "").strip() or _DEFAULT_NAME
    _check(artifacts, name, overwrite=_flag(given, "overwrite"))
    assert artifacts.folder is not None
    environment = run.environment(env)
    workspace = run.around.places.workspace
    patterns = [absolute(line, workspace, environment["HOME"]) for line in paths_of(given.get("path", ""))]
    if not any(not pattern.startswith("!") for pattern in patterns):
        raise ArtifactError("upload-artifact needs a `path`: the files to upload")
    root = root_of(patterns)
    artifacts.folder.mkdir(exist_ok=True)
    archive = artifacts.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}-{len(artifacts.own)}.tgz"
    count = pack(run, environment, root, [_below(root, pattern) for pattern in patterns], archive,
                 folders=False, hidden=_flag(given, "include-hidden-files"))  # fmt: skip
    if not count:
        return _nothing(run, given)
    digest = _digest(archive)
    days = given.get("retention-days", "").strip()
    artifacts.add(name, archive, {"sha256": digest, "size": archive.stat().st_size, "files": count, "days": days})
    run.outputs = {"artifact-id": str(int(digest[:12], 16)), "artifact-digest": digest, "artifact-url": ""}
    run.say(f"Artifact {name} has been uploaded: {count} file{'s' if count > 1 else ''}, "
            f"{archive.stat().st_size} bytes")  # fmt: skip
    return Ended(0, How.ITSELF)


def _check(artifacts: Artifacts, name: str, *, overwrite: bool) -> None:
    if artifacts.folder is None:
        raise ArtifactError("no artifacts are kept here yet: on a mesh, or in a sandbox")
    if not name.isprintable() or _FORBIDDEN & set(name) or name in (".", "..") or len(name) > 255:
        raise ArtifactError(f"the artifact name {quoted(name)!r} is not valid: none of {_SHOWN}, up to 255 letters")
    if name in artifacts.files and not overwrite:
        raise ArtifactError(f"(409) Conflict: an artifact with this name already exists on the workflow run: {name}")


def _nothing(run: StepRun, given: Mapping[str, str]) -> Ended:
    wanted = given.get("if-no-files-found", "warn").strip().lower() or "warn"
    paths = " ".join(paths_of(given.get("path", "")))
    message = f"No files were found with the provided path: {paths}. No artifacts will be uploaded."
    if wanted == "error":
        raise ArtifactError(message)
    if wanted not in ("warn", "ignore"):
        raise ArtifactError(f"if-no-files-found is {quoted(wanted)!r}; there are: error, ignore, warn")
    run.say(f"Warning: {message}" if wanted == "warn" else message)
    return Ended(0, How.ITSELF)


def download(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    environment = run.environment(env)
    for name in ("repository", "run-id", "artifact-ids"):
        if given.get(name, "").strip():
            raise ArtifactError(f"`{name}` of download-artifact is not supported: artifacts are those of this run")
    target = Path(absolute(given.get("path", "").strip() or ".", run.around.places.workspace, environment["HOME"]))
    known = run.around.artifacts.files
    name, pattern = given.get("name", "").strip(), given.get("pattern", "").strip()
    if name:
        if name not in known:
            told = f"Artifact not found for name: {name}; there are: {', '.join(sorted(known)) or 'none'}"
            raise ArtifactError(f"Unable to download artifact(s): {told}")
        unpack(run, environment, known[name], target)
        count = 1
    else:
        chosen = [each for each in sorted(known) if not pattern or fnmatch.fnmatchcase(each, pattern)]
        for each in chosen:
            place = target if _flag(given, "merge-multiple") else target / each
            unpack(run, environment, known[each], place)
        count = len(chosen)
    run.outputs = {"download-path": str(target)}
    run.say(f"Total of {count} artifact(s) downloaded to {target}")
    return Ended(0, How.ITSELF)


def _flag(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").strip().lower() == "true"


def root_of(patterns: list[str]) -> Path:
    """What paths in the artifact are relative to: the folder that all patterns, as far as they are plain, lie in."""
    plain = [_plain(pattern) for pattern in patterns if not pattern.startswith("!")]
    root = os.path.commonpath(plain)
    return Path(root if os.path.isdir(root) else os.path.dirname(root))


def _plain(pattern: str) -> str:
    """The path up to its first part that is a pattern."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if _GLOB & set(part):
            break
        parts.append(part)
    return "/".join(parts) or "/"


def _below(root: Path, pattern: str) -> str:
    mark, bare = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    return mark + os.path.relpath(bare, root)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
