"""The files through which a step speaks: GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH, GITHUB_STATE, GITHUB_STEP_SUMMARY.

Format and error texts are those of `actions/runner` (FileCommandManager).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

MAX_FILE_BYTES = 8 * 1024 * 1024
"""Of one such file; outputs are bounded far lower, this only keeps a runaway step from filling memory."""
MAX_SUMMARY_BYTES = 1024 * 1024
"""Of one step, as on GitHub."""
MAX_SUMMARIES = 20
"""Of one job, as GitHub shows."""

_KINDS = ("output", "env", "path", "state", "step_summary")
_BLOCKED = ("NODE_OPTIONS",)
"""Not to be set for later steps: what runs a process's first code is not a file's to choose."""
_RESERVED = ("GITHUB_", "RUNNER_")
"""Set anew for each step, so a value from GITHUB_ENV never shows."""


class CommandFileError(Exception):
    """A file does not hold what it must; the step fails. `str()` is the runner's text."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a step wrote. `errors` are for the log; `failed` says that the step fails by them."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    """In the order written: the last comes first in PATH."""
    state: Mapping[str, str] = field(default_factory=dict)
    """Of an action, for its own post step."""
    errors: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class CommandFiles:
    """Fresh files for one step."""

    paths: Mapping[str, Path]

    def env(self) -> dict[str, str]:
        """GITHUB_OUTPUT and the others."""
        return {f"GITHUB_{kind.upper()}": str(path) for kind, path in self.paths.items()}

    def read(self) -> Said:
        """All files that can be read count, also when another is malformed, as in the official runner."""
        errors: list[str] = []
        outputs = dict(self._pairs("output", errors))
        env = dict(self._pairs("env", errors))
        paths: list[str] = _or_error("path", errors, lambda: _lines(self._text("path")), [])
        state = dict(self._pairs("state", errors))
        failed = bool(errors)
        for name in [name for name in env if name.upper() in _BLOCKED]:
            del env[name]
            errors.append(f"Can't store {name.upper()} output parameter using '$GITHUB_ENV' command.")
        env = {name: value for name, value in env.items() if not name.upper().startswith(_RESERVED)}
        return Said(outputs, env, tuple(paths), state, tuple(errors), failed)

    def summary(self) -> str:
        """What the step wrote of its summary. CommandFileError when it is more than a summary may be."""
        text = self._text("step_summary")
        if (size := len(text.encode())) > MAX_SUMMARY_BYTES:
            raise CommandFileError(
                f"$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of {MAX_SUMMARY_BYTES // 1024}k, "
                f"got {size // 1024}k"
            )
        return text

    def _pairs(self, kind: str, errors: list[str]) -> list[tuple[str, str]]:
        return _or_error(kind, errors, lambda: parse_pairs(self._text(kind)), [])

    def _text(self, kind: str) -> str:
        try:
            with open(self.paths[kind], "rb", opener=_open_at_once) as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise CommandFileError("The file cannot be read: it is no regular file any more.")
                data = file.read(min(found.st_size, MAX_FILE_BYTES) + 1)
        except FileNotFoundError:
            return ""  # a step may remove it
        except OSError as error:
            raise CommandFileError(f"The file cannot be read: {error.strerror}") from error
        if len(data) > MAX_FILE_BYTES:
            raise CommandFileError(f"The file is larger than {MAX_FILE_BYTES // (1024 * 1024)} MiB.")
        return data.decode("utf-8-sig", errors="replace")


class Summaries:
    """The file that has the summaries of a job's steps, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def add(self, text: str) -> None:
        """Of one step; nothing for ''. CommandFileError when the job has enough."""
        if not text:
            return
        if self._count >= MAX_SUMMARIES:
            raise CommandFileError(f"a job may have {MAX_SUMMARIES} step summaries; this one is not kept")
        self._count += 1
        with self._path.open("a") as kept:
            kept.write(text if text.endswith("\n") else text + "\n")


def _open_at_once(path: str, flags: int) -> int:
    """A pipe that a step put there would be waited for, for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def new_files(folder: Path) -> CommandFiles:
    """Empty files with names that were not used before."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = secrets.token_hex(8)
    paths = {kind: folder / f"{kind}_{suffix}" for kind in _KINDS}
    for path in paths.values():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return CommandFiles(paths)


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """`name=value` lines and `name<<DELIMITER` blocks, in order; CommandFileError at the first that is neither."""
    pairs = []
    rest = iter(text.removesuffix("\n").split("\n"))
    for line in rest:
        if not line:
            continue
        equals, block = line.find("="), line.find("<<")
        if equals >= 0 and (block < 0 or equals < block):
            name, _, value = line.partition("=")
            if not name:
                raise CommandFileError(f"Invalid format '{line}'. Name must not be empty")
        elif block >= 0:
            name, _, delimiter = line.partition("<<")
            if not name or not delimiter:
                raise CommandFileError(
                    f"Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
                )
            value = _block(rest, delimiter, whole=text.endswith("\n"))
        else:
            raise CommandFileError(f"Invalid format '{line}'")
        pairs.append((name, value))
    return pairs


def _block(rest: Iterator[str], delimiter: str, *, whole: bool) -> str:
    """The lines up to the delimiter; `whole` says that the text's last line has its end."""
    value: list[str] = []
    for line in rest:
        if line == delimiter:
            return "\n".join(value)
        value.append(line)
    if value and not whole:
        raise CommandFileError("Invalid value. EOF marker missing new line.")
    raise CommandFileError(f"Invalid value. Matching delimiter not found '{delimiter}'")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def _or_error(kind: str, errors: list[str], read: Callable[[], Found], otherwise: Found) -> Found:
    try:
        return read()
    except CommandFileError as error:
        errors += [f"Unable to process file command '{kind}' successfully.", str(error)]
        return otherwise
