"""Files of a job in one archive, and out of it: by the job's own `tar`, so that a cancel and a time limit hold."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.runner.errors import RunnerError
from clockmesh.runner.git import Interrupted
from clockmesh.runner.process import Command, How

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

_NOTHING = 3
"""Exit status of the script when no file matches."""

_SCRIPT = r"""
shopt -s globstar nullglob dotglob
set -o pipefail
base=$1 list=$2 kinds=$3 hidden=$4 count=$5
shift 5
includes=("${@:1:count}") excludes=("${@:count+1}")
cd -- "$base" || exit 2
IFS=
found() {
    for pattern in "${includes[@]}"; do
        for path in $pattern; do
            if [ -d "$path" ] && [ ! -L "$path" ]; then
                if [ "$kinds" = all ]; then find "./$path" -mindepth 1 \( ! -type d -o -empty \) -print0
                else find "./$path" -mindepth 1 ! -type d -print0; fi
            elif [ -e "$path" ] || [ -L "$path" ]; then
                printf '%s\0' "./$path"
            fi
        done
    done
}
wanted() {
    while read -r -d '' path; do
        path=${path#./} path=${path#./}
        if [ "$hidden" = no ]; then case "/$path" in */.*) continue ;; esac; fi
        for exclude in "${excludes[@]}"; do case "$path" in $exclude | $exclude/*) continue 2 ;; esac; done
        printf '%s\0' "$path"
    done
}
found | wanted | sort -zu > "$list" || exit 2
[ -s "$list" ] || exit 3
exec tar --create --file=- --gzip --null --no-recursion --verbatim-files-from --files-from="$list"
"""


class PackError(RunnerError):
    """Files could not be packed or unpacked; one line."""


def pack(
    run: StepRun, environment: Mapping[str, str], base: Path, patterns: Sequence[str], archive: Path, *,
    folders: bool, hidden: bool = True,
) -> int:
    """What matches the patterns below `base` (those with `!` take away), in a new archive; the number of files, 0 for
    none, which makes no archive. `folders`: empty ones too. PackError, Interrupted."""
    includes = [_relative(pattern) for pattern in patterns if not pattern.startswith("!")]
    excludes = [_relative(pattern[1:]) for pattern in patterns if pattern.startswith("!")]
    listed = run.around.places.temp / f"{archive.name}.list"
    words = [str(base), str(listed), "all" if folders else "files", "yes" if hidden else "no", str(len(includes))]
    code = _run(run, environment, ["bash", "-c", _SCRIPT, "pack", *words, *includes, *excludes], stdout=archive)
    if code not in (0, _NOTHING):
        archive.unlink(missing_ok=True)
        raise PackError(f"the files could not be packed (exit code {code})")
    if code == _NOTHING:
        archive.unlink(missing_ok=True)
        return 0
    return listed.read_bytes().count(b"\0")


def unpack(run: StepRun, environment: Mapping[str, str], archive: Path, folder: Path) -> None:
    """The files of an archive, below a folder. PackError, Interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    code = _run(run, environment, ["tar", "--extract", f"--file={archive}", "--gzip", f"--directory={folder}",
                                   "--no-same-owner"])  # fmt: skip
    if code:
        raise PackError(f"{archive.name} could not be unpacked (exit code {code})")


def _run(
    run: StepRun, environment: Mapping[str, str], argv: Sequence[str], *, stdout: Path | None = None
) -> int:
    ended = run.around.processes.run(
        Command(argv, run.around.places.workspace, environment, stdout),
        run.write,
        timeout=run.timeout(),
        survives_cancel=run.survives_cancel,
    )
    if ended.how is not How.ITSELF:
        raise Interrupted(ended)
    return ended.code


def _relative(pattern: str) -> str:
    """A pattern as the shell expands it below the base: no option of a command, and no more than its own meaning."""
    return posixpath.normpath(pattern)


def paths_of(text: str) -> list[str]:
    """The lines of an input that names paths; comments and empty ones say nothing."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def absolute(pattern: str, workspace: Path, home: str) -> str:
    """A path or pattern as an absolute one; `!` stays in front."""
    mark, bare = ("!", pattern[1:].strip()) if pattern.startswith("!") else ("", pattern)
    if bare == "~" or bare.startswith("~/"):
        bare = home + bare[1:]
    return mark + os.path.normpath(os.path.join(workspace, bare))
