"""Texts that expressions make: `format` and `toJSON`, each bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from clockmesh.runner.errors import ExpressionError, Stage, quoted
from clockmesh.runner.expressions_values import Value, is_primitive, number_text, to_text

MAX_RESULT = 10_485_760
"""Characters that one expression may make altogether: GitHub's bound on its memory, 10 MiB."""

_SHOWN = 80


class Budget:
    """How many characters may still be made; ExpressionError once they are spent."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise ExpressionError(Stage.EVALUATION, "the expression makes more text than is allowed (10 MiB)")


_PART = re.compile(r"\{\{|\}\}|\{([0-9]{1,3})\}|[{}]|[^{}]+")


def format_text(pattern: str, arguments: Sequence[Value], budget: Budget) -> str:
    """`pattern` with `{0}` replaced by the first argument; `{{` and `}}` stand for braces."""
    parts = []
    for match in _PART.finditer(pattern):
        part = match.group()
        if match.group(1) is not None:
            index = int(match.group(1))
            if index >= len(arguments):
                raise ExpressionError(
                    Stage.EVALUATION, f"format has {part} but only {len(arguments)} arguments: {_whole(pattern)}"
                )
            part = to_text(arguments[index])
        elif part in ("{{", "}}"):
            part = part[0]
        elif part in "{}":
            message = f"format was given a text with a lone `{part}`: {_whole(pattern)}"
            raise ExpressionError(Stage.EVALUATION, message)
        budget.spend(len(part))
        parts.append(part)
    return "".join(parts)


def _whole(pattern: str) -> str:
    """For an error. A part of it could be a part of a secret, which no mask would find."""
    return quoted(pattern, _SHOWN) if len(pattern) <= _SHOWN else f"it has {len(pattern)} characters"


def to_json(value: Value, budget: Budget) -> str:
    """JSON with two spaces of indentation, as `toJSON` prints it."""
    parts = []
    for part in _json_parts(value, ""):
        budget.spend(len(part))
        parts.append(part)
    return "".join(parts)


def _json_parts(value: Value, indent: str) -> Iterator[str]:
    if is_primitive(value):
        yield _json_scalar(value)
        return
    inner = indent + "  "
    separator = "\n"
    if isinstance(value, Mapping):
        yield "{"
        for key, item in value.items():
            yield f"{separator}{inner}{_json_scalar(key)}: "
            yield from _json_parts(item, inner)
            separator = ",\n"
        yield f"\n{indent}}}" if value else "}"
    elif isinstance(value, Sequence):
        yield "["
        for item in value:
            yield f"{separator}{inner}"
            yield from _json_parts(item, inner)
            separator = ",\n"
        yield f"\n{indent}]" if value else "]"


# .NET's JSON writer escapes these three as well, so that the text is a JavaScript literal too.
_ALSO_ESCAPED = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def _json_scalar(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False).translate(_ALSO_ESCAPED)
