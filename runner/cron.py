"""Whether a cron line is one: five fields, each a `*`, number, name, list, range or step, as GitHub takes them."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_PART = re.compile(r"(?:\*|([A-Za-z]{3}|[0-9]{1,9})(?:-([A-Za-z]{3}|[0-9]{1,9}))?)(?:/([0-9]{1,9}))?")


def cron_problem(line: str) -> str | None:
    """What is wrong with a cron line and what it should be; None if it is right."""
    fields = line.split()
    if len(fields) != len(_FIELDS):
        has = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        return f"it has {has}, not 5 (minute, hour, day of the month, month, day of the week)"
    for text, (name, least, most, names) in zip(fields, _FIELDS, strict=True):
        if not all(_part_fits(part, least, most, names) for part in text.split(",")):
            return f"the {name} `{text[:40]}` is not within {least}-{most}, nor a list, range or step (`*/5`) of such"
    return None


def _part_fits(part: str, least: int, most: int, names: dict[str, int]) -> bool:
    match = _PART.fullmatch(part)
    if match is None:
        return False
    first, last, step = match.groups()
    if step is not None and not 1 <= int(step) <= most:
        return False
    if first is None:
        return True
    low = _number(first, names)
    high = low if last is None else _number(last, names)
    return least <= low <= high <= most


def _number(text: str, names: dict[str, int]) -> int:
    return int(text) if text.isdigit() else names.get(text.lower(), -1)
