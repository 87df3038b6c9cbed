"""What a scalar of a YAML file stands for: YAML 1.2's core schema, as GitHub reads it."""

from __future__ import annotations

import math
import re

from clockmesh.runner.expressions_values import number_text

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def plain(text: str) -> bool | float | str | None:
    """The value of an unquoted scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] in "0123456789+-." and len(text) <= 1_000:
        if _NUMBER.fullmatch(text):
            return float(text)
        if _BASED.fullmatch(text):
            return _based(text)
        if _SPECIAL.fullmatch(text):
            return math.nan if text[1] in "nN" else math.copysign(math.inf, -1 if text[0] == "-" else 1)
    return text


def _based(text: str) -> float:
    number = int(text[2:], 16 if text[1] == "x" else 8)
    return float(number) if number.bit_length() <= 1_000 else math.inf


def scalar_text(value: bool | float | str | None) -> str:
    """A scalar as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else number_text(value)
