"""From a step's `shell` and `run` to a command: DESIGN 7, after ScriptHandler of `actions/runner`."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

_DEFAULT = "bash -e {0}"
"""Without `shell`: no pipefail."""
_TEMPLATES = {
    "bash": "bash --noprofile --norc -eo pipefail {0}",
    "sh": "sh -e {0}",
    "python": "python {0}",
    "pwsh": "pwsh -command \". '{0}'\"",
}
_SUFFIXES = {"bash": ".sh", "sh": ".sh", "python": ".py", "pwsh": ".ps1"}
_STANDS_FOR = {"python": "python3", "bash": "sh"}
"""What is tried where a program is not installed; for bash only where the step names no shell."""


class ShellError(Exception):
    """A shell that cannot run the step; the step fails. `str()` is for the log."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script file still to be written, and what runs it."""

    path: Path
    contents: str
    command: tuple[str, ...]
    shown: str
    """For the log: the template with the program's full path."""


def prepare(shell: str, run: str, path: Path, search: str) -> Script:
    """How to run the text `run`, kept in a file `path` plus the shell's suffix, programs being looked for in the PATH
    `search`. `shell` is '' for the default, the name of a built-in, or a template with `{0}`. ShellError."""
    template = _DEFAULT if not shell else _TEMPLATES.get(shell.strip().lower(), shell)
    if "{0}" not in template:
        raise ShellError(
            "Invalid shell option. Shell must be a valid built-in (bash, sh, python, pwsh) or a format string "
            "containing '{0}'"
        )
    name = template.split(None, 1)[0]
    program = shutil.which(name, path=search)
    if program is None and name in _STANDS_FOR and (name != "bash" or not shell):
        program = shutil.which(_STANDS_FOR[name], path=search)
    if program is None:
        raise ShellError(f"{name}: command not found (it is the step's shell)")
    file = path.with_name(path.name + _SUFFIXES.get(os.path.basename(name).lower(), ""))
    return Script(
        path=file,
        contents=_contents(name, run),
        command=(program, *_arguments(template, file)),
        shown=f"{program} {template.split(None, 1)[1]}",
    )


def _arguments(template: str, file: Path) -> list[str]:
    """`{0}` may stand inside an argument; `{{` and `}}` are braces, as in a .NET format string."""
    try:
        words = shlex.split(template)[1:]
    except ValueError as error:
        raise ShellError(f"Invalid shell option {template!r}: {error}") from error
    return [_filled(word, str(file)) for word in words]


def _filled(word: str, file: str) -> str:
    parts = word.replace("{{", "\0").replace("}}", "\1").split("{0}")
    return file.join(part.replace("\0", "{").replace("\1", "}") for part in parts)


def _contents(name: str, run: str) -> str:
    if name != "pwsh":
        return run
    last = "if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }"
    return f"$ErrorActionPreference = 'stop'\n{run}\n{last}\n"
