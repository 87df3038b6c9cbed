"""Words for people: tables that fit the terminal, ages, colours, and nothing that a stranger's text could smuggle in.

Pure but for `terminal_width`, and light: every command imports it.
"""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

PLAIN_WIDTH = 80
"""Columns where nobody says how many there are."""
RUN_DIGITS = 12
"""How much of a run's id people see."""

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
_COLOURS = {
    "success": "32",
    "completed": "32",
    "live": "32",
    "in_progress": "36",
    "assigned": "36",
    "failure": "31",
    "failed": "31",
    "cancelled": "33",
}


def clean(text: str) -> str:
    """One line without control characters, so that no name or error of another peer moves the cursor."""
    return _CONTROLS.sub("?", text)


def log_text(text: str, colour: bool) -> str:
    """A line of a job's log: its colours only where they are shown, its other controls never."""
    if not colour:
        return _CONTROLS.sub("", _COLOUR_CODES.sub("", text))
    parts = _COLOUR_CODES.split(text)
    codes = [*_COLOUR_CODES.findall(text), "\x1b[0m" if len(parts) > 1 else ""]
    return "".join(_CONTROLS.sub("", part) + code for part, code in zip(parts, codes, strict=True))


def terminal_width(stream: TextIO) -> int:
    """Columns of the terminal that the stream is, else 80; COLUMNS, where set, wins."""
    if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or PLAIN_WIDTH
    except (OSError, ValueError):
        return PLAIN_WIDTH


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """A terminal that can, and nobody said NO_COLOR (https://no-color.org: any value but an empty one)."""
    return not environment.get("NO_COLOR") and environment.get("TERM") != "dumb" and stream.isatty()


def coloured(word: str, colour: bool) -> str:
    code = _COLOURS.get(word.strip())
    return f"\x1b[{code}m{word}\x1b[0m" if colour and code else word


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, colour: bool = False, give: Sequence[int] = ()
) -> str:
    """Columns that line up within `width`: of those in `give` (default: all) the widest give way first, what does not
    fit ends in `…`; the cells of known words are coloured. No cell is cut below its column's head, so on a very narrow
    terminal lines may still wrap."""
    give = give or range(len(heads))
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [list(heads), *cleaned]) for place in range(len(heads))]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        place = max(give, key=lambda at: widths[at] - len(heads[at]))
        if widths[place] <= len(heads[place]):
            break
        widths[place] -= 1
    lines = ["  ".join(head.ljust(size) for head, size in zip(heads, widths, strict=True)).rstrip()]
    for row in cleaned:
        cells = [_cell(cell, size, colour) for cell, size in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cell(text: str, size: int, colour: bool) -> str:
    cut = text if len(text) <= size else text[: size - 1] + "…"
    return coloured(cut, colour) + " " * (size - len(cut))


def span(seconds: float) -> str:
    """A length of time in at most two units: `0.04 s`, `1.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 0.995:
        return f"{max(seconds, 0.0):.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, below, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def age(seconds: float) -> str:
    """How long ago, in one unit: `now`, `12 s`, `3 min`, `2 h`, `3 d`."""
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s" if whole > 0 else "now"


def moment(iso: str) -> float:
    """Seconds since the epoch of a time in JSON (`2026-01-02T03:04:05.678Z`). By hand: `time.strptime` and `datetime`
    cost a short command a tenth of its time to import."""
    year, month, day = int(iso[:4]), int(iso[5:7]), int(iso[8:10])
    months = (month - 3) % 12  # The year begins in March, so that a leap day is its last.
    years = year - (month < 3)
    days = years * 365 + years // 4 - years // 100 + years // 400 + (153 * months + 2) // 5 + day - 719_469
    return days * 86_400 + int(iso[11:13]) * 3600 + int(iso[14:16]) * 60 + float(iso[17:].removesuffix("Z"))


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def complain(line: str) -> None:
    """One line on standard error."""
    print(f"clockmesh: {clean(line)}", file=sys.stderr)
