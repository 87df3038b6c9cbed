"""How a command ends: the exit statuses of `clockmesh`, and the one exception that carries one to the user.

Imported by every run of the command, so nothing heavy is imported here.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    """Wrong arguments, or a bad workflow."""
    NOT_FOUND = 3
    UNREACHABLE = 4
    """No daemon answers."""
    NOT_ALLOWED = 5
    CONFLICT = 6
    BUSY = 7
    CANCELLED = 8
    INTERNAL = 70
    CONFIGURATION = 78
    """Also: this home is in no mesh yet."""
    TIMED_OUT = 124
    INTERRUPTED = 130


class Trouble(Exception):
    """What the user asked for cannot be: one line that says what happened, to what, and what to do.

    `code` names the case for programs (`not_found`); `place` may hold `file`, `line` and `column` of bad input.
    """

    def __init__(self, exit_: Exit, code: str, message: str, place: dict[str, str | int] | None = None) -> None:
        super().__init__(message)
        self.exit = exit_
        self.code = code
        self.message = message
        self.place = place or {}
