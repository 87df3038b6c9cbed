"""hashFiles: one hash over the files of the workspace that match, as the official runner's `hashFiles` script has it.

SHA-256 over the SHA-256 digests of the files, in the order of a depth-first walk; '' when nothing matches.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from clockmesh.runner.errors import ExpressionError, Stage
from clockmesh.runner.expressions import HashFiles


def hash_files_in(workspace: Path) -> HashFiles:
    """The function for jobs of this workspace."""
    return lambda patterns: _hash(workspace, patterns)


def _hash(workspace: Path, patterns: Sequence[str]) -> str:
    rules = [
        (not line.startswith("!"), _pattern(line.lstrip("!").strip()))
        for text in patterns
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    ]
    total = sha256()
    count = 0
    try:
        for name in _walk(workspace):
            if _matches(name, rules):
                total.update(sha256((workspace / name).read_bytes()).digest())
                count += 1
    except OSError as error:
        raise ExpressionError(Stage.EVALUATION, f"hashFiles cannot read {error.filename}: {error.strerror}") from error
    return total.hexdigest() if count else ""


def _matches(name: str, rules: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    """The last rule that fits decides."""
    wanted = False
    for includes, pattern in rules:
        if pattern.fullmatch(name):
            wanted = includes
    return wanted


def _walk(workspace: Path) -> Iterator[str]:
    """Files below the workspace, in the order of their paths."""
    found = []
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if name != ".git"]
        found += [(Path(folder) / name).relative_to(workspace).as_posix() for name in files]
    return iter(sorted(name for name in found if (workspace / name).is_file()))


def _pattern(glob: str) -> re.Pattern[str]:
    """`**` is any depth, `*` and `?` stay within one part; a folder stands for all that is in it."""
    glob = glob.removeprefix("./").strip("/")
    made = ""
    position = 0
    while position < len(glob):
        if glob.startswith("**/", position):
            made, position = made + "(?:[^/]+/)*", position + 3
        elif glob.startswith("**", position):
            made, position = made + ".*", position + 2
        elif glob[position] == "*":
            made, position = made + "[^/]*", position + 1
        elif glob[position] == "?":
            made, position = made + "[^/]", position + 1
        elif glob[position] == "[" and (end := glob.find("]", position + 2)) > 0:
            # `[`, and pairs such as `&&`, are kept for sets of sets in later versions of `re`.
            inside = re.sub(r"([\\\[&|~]|(?<=-)-)", r"\\\1", glob[position + 1 : end])
            made, position = made + "[" + ("^" + inside[1:] if inside[0] == "!" else inside) + "]", end + 1
        else:
            made, position = made + re.escape(glob[position]), position + 1
    return re.compile(made + "(?:/.*)?", re.DOTALL)
