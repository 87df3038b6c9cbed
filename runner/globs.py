"""Patterns of branches, tags and paths in `on`: what is wrong with one."""

from __future__ import annotations

from itertools import pairwise


def glob_problem(pattern: str, *, path: bool) -> str:
    """What is wrong with it, with the remedy; '' if nothing is."""
    bare = pattern.removeprefix("!")
    if not bare:
        return "it is `!` alone; write the pattern after it"
    if bare[0] in "?+":
        return f"`{bare[0]}` repeats what stands before it, and nothing does; write `\\{bare[0]}` for the character"
    if path and (bare.startswith(("./", "../")) or bare != bare.strip()):
        return "paths begin at the top of the repository and have no spaces around them"
    return _bracket_problem(bare) or _repeat_problem(bare)


def _bracket_problem(bare: str) -> str:
    opened = -1
    position = 0
    while position < len(bare):
        character = bare[position]
        if character == "\\":
            position += 1
        elif opened < 0 and character == "[":
            opened = position
        elif opened >= 0 and character == "]":
            if position == opened + 1:
                return "`[]` matches nothing; write characters between the brackets"
            opened = -1
        position += 1
    return "`[` is not closed; add `]`, or write `\\[` for the character" if opened >= 0 else ""


def _repeat_problem(bare: str) -> str:
    for first, second in pairwise(bare):
        if first in "?+" and second in "?+*":
            return f"`{first}{second}` repeats what is repeated already; keep one"
    return ""
