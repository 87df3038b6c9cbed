"""How a verb prints: JSON for programs, words for people, on standard output."""

from __future__ import annotations

import json
import os
import sys

from clockmesh.daemon.exits import Exit
from clockmesh.daemon.text import terminal_width, wants_colour

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDS = {"success": Exit.OK, "skipped": Exit.OK, "failure": Exit.RUN_FAILED, "cancelled": Exit.CANCELLED}


def print_json(value: Mapping[str, object]) -> None:
    """One line, at once: a follower reads it now."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def say(text: str) -> None:
    print(text, flush=True)


def note(text: str) -> None:
    """Beside the output, for people."""
    print(f"note: {text}", file=sys.stderr, flush=True)


def width() -> int:
    return terminal_width(sys.stdout)


def colour() -> bool:
    return wants_colour(sys.stdout, os.environ)


def exit_of(conclusion: str | None) -> Exit:
    """How a command ends that waited for a run."""
    return _ENDS.get(conclusion or "", Exit.INTERNAL)
