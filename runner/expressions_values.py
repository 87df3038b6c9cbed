"""What expressions compute with: six kinds of values and the coercions between them, as on GitHub.

Null is None, Boolean bool, Number float (int is taken too), String str, Array list, Object dict. Objects are looked up
without regard to letter case, except `CaseSensitive` ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value] | None"


class FilteredArray(list[Value]):
    """What `.*` gives: an index on it applies to each of its items."""


class CaseSensitive(dict[str, Value]):
    """An object whose keys are matched exactly: `env`, because the environment's names are so on Linux."""


_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(r"0x[0-9A-Fa-f]{1,64}")
_OCTAL = re.compile(r"0o[0-7]{1,64}")


def parse_number(text: str) -> float:
    """The number that a text stands for; NaN if none. '' is 0; hexadecimal, octal and exponents are understood."""
    text = text.strip()
    if not text:
        return 0.0
    if len(text) > 1_000:
        return math.nan
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _HEX.fullmatch(text):
        return float(int(text[2:], 16))
    if _OCTAL.fullmatch(text):
        return float(int(text[2:], 8))
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def number_text(number: float) -> str:
    """At most 15 significant digits, no trailing zeros (.NET's G15, which actions/runner prints)."""
    if isinstance(number, int):
        try:
            number = float(number)
        except OverflowError:
            number = math.inf if number > 0 else -math.inf
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return format(number + 0.0 if number else 0.0, ".15g").replace("e", "E")


def is_primitive(value: Value) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def kind_of(value: Value) -> str:
    """The kind's name, for errors."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "an object" if isinstance(value, Mapping) else "an array"


def to_number(value: Value) -> float:
    """Coerced to a number: null 0, false 0, true 1, a text as `parse_number`, arrays and objects NaN."""
    if value is None:
        return 0.0
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return parse_number(value) if isinstance(value, str) else math.nan


def to_text(value: Value) -> str:
    """Coerced to a text: null '', true 'true', numbers as `number_text`, 'Array', 'Object'."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return "Object" if isinstance(value, Mapping) else "Array"


def truth(value: Value) -> bool:
    """False for null, false, 0, NaN and ''; true for all else."""
    if isinstance(value, bool | int | float):
        return value == value and value != 0
    if value is None or isinstance(value, str):
        return bool(value)
    return True


def fold(text: str) -> str:
    """For comparing without regard to case: each character's simple upper case (.NET's OrdinalIgnoreCase)."""
    return text.upper() if text.isascii() else "".join(map(_fold_one, text))


def _fold_one(character: str) -> str:
    upper = character.upper()
    # No character outside ASCII equals one inside (so neither the dotless i nor the long s does), and none becomes two.
    return upper if len(upper) == 1 and upper.isascii() == character.isascii() else character


def lookup(mapping: Mapping[str, Value], key: str) -> tuple[bool, Value]:
    """(found, value) of a key, in any letter case unless the mapping is case-sensitive."""
    if key in mapping:
        return True, mapping[key]
    if not isinstance(mapping, CaseSensitive):
        folded = fold(key)
        for name, value in mapping.items():
            if fold(name) == folded:
                return True, value
    return False, None


def equal(left: Value, right: Value) -> bool:
    """`==`: texts without regard to case, arrays and objects only with themselves, NaN with nothing."""
    left, right = _coerced(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return fold(left) == fold(right)
    if _numeric(left) and _numeric(right):
        return left == right
    return left is right


def greater(left: Value, right: Value) -> bool:
    """`>`; false where the two kinds cannot be compared."""
    left, right = _coerced(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return fold(left) > fold(right)
    if isinstance(left, bool | int | float) and isinstance(right, bool | int | float):
        return left > right
    return False


def _numeric(value: Value) -> bool:
    return isinstance(value, bool | int | float)


def _coerced(left: Value, right: Value) -> tuple[Value, Value]:
    """Both sides as they are compared: kinds that differ become numbers, where both are primitive."""
    if type(left) is type(right) or not (is_primitive(left) and is_primitive(right)):
        # A boolean or null against an array becomes a number there too, and then differs all the same.
        return left, right
    return to_number(left), to_number(right)
