"""Expressions, the door: `evaluate` one, `interpolate` the `${{ }}` of a text, decide an `if`.

Contexts are plain data (None, bool, numbers, str, list, dict), keyed by name. A name that is not among them, a function
that was not given what it needs, and every error of evaluation raise ExpressionError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clockmesh.runner.errors import ExpressionError, Stage
from clockmesh.runner.expressions_evaluator import Evaluator, HashFiles, Status
from clockmesh.runner.expressions_parser import FILE_FUNCTIONS, STATUS_FUNCTIONS, Parsed, parse
from clockmesh.runner.expressions_values import CaseSensitive, Value, number_text, to_number, to_text, truth

__all__ = [
    "CaseSensitive",
    "HashFiles",
    "Span",
    "Status",
    "Value",
    "check",
    "condition",
    "contexts_in",
    "evaluate",
    "interpolate",
    "number_text",
    "resolve",
    "split",
    "to_number",
    "to_text",
    "whole_expression",
]


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of a text: an expression (the inside of a `${{ }}`) or what stands between two."""

    text: str
    is_expression: bool
    start: int
    """Offset of `text` in the whole."""


def evaluate(
    text: str,
    contexts: Mapping[str, Value],
    *,
    status: Status | None = None,
    hash_files: HashFiles | None = None,
) -> Value:
    """The value of one expression, given without `${{ }}`; '' is null.

    Without `status` there are no status functions, without `hash_files` there is no hashFiles.
    """
    parsed = parse(text)
    if parsed.root is None:
        return None
    _check_names(parsed, frozenset(name.lower() for name in contexts), _functions(status, hash_files))
    return Evaluator(contexts, status, hash_files).value(parsed.root)


def interpolate(text: str, contexts: Mapping[str, Value], *, hash_files: HashFiles | None = None) -> str:
    """`text` with each `${{ expression }}` replaced by its value as text."""
    return to_text(resolve(text, contexts, hash_files=hash_files)) if "${{" in text else text


def resolve(text: str, contexts: Mapping[str, Value], *, hash_files: HashFiles | None = None) -> Value:
    """As `interpolate`, but a text that is one expression and nothing else keeps its value's kind."""
    if (inner := whole_expression(text)) is not None:
        return evaluate(inner, contexts, hash_files=hash_files)
    made = []
    for span in split(text):
        try:
            value = evaluate(span.text, contexts, hash_files=hash_files) if span.is_expression else span.text
            made.append(to_text(value))
        except ExpressionError as error:
            raise ExpressionError(error.stage, error.message, span.start + error.position) from None
    return "".join(made)


def condition(
    text: str, contexts: Mapping[str, Value], status: Status, *, hash_files: HashFiles | None = None
) -> bool:
    """Whether an `if` holds. Without a status function in it, `success()` must hold as well; '' is `success()`."""
    if not (status.success or uses_status(text)):
        return False
    if not text.strip():
        return True
    inner = whole_expression(text)
    if inner is None and "${{" in text:
        # Text around an expression makes a text, and a text that is not empty is true: GitHub's own rule.
        return truth(_with_status(text, contexts, status, hash_files))
    return truth(evaluate(text if inner is None else inner, contexts, status=status, hash_files=hash_files))


def uses_status(text: str) -> bool:
    """Whether an `if` calls a status function itself."""
    spans = list(split(text)) if "${{" in text else [Span(text, True, 0)]
    return any(
        call.name in STATUS_FUNCTIONS for span in spans if span.is_expression for call in parse(span.text).calls
    )


def check(text: str, names: frozenset[str], functions: frozenset[str]) -> None:
    """Refuses an expression with other contexts or functions than these (lower case). Raises ExpressionError."""
    parsed = parse(text)
    if parsed.root is None:
        raise ExpressionError(Stage.PARSING, "an expression is missing between `${{` and `}}`")
    _check_names(parsed, names, functions)


def contexts_in(text: str) -> frozenset[str]:
    """The contexts that an expression names, lower case. Raises ExpressionError."""
    return frozenset(name.name.lower() for name in parse(text).names)


def whole_expression(text: str) -> str | None:
    """The inside of a text that is one `${{ }}` and nothing else (spaces around it apart), else None."""
    stripped = text.strip()
    if not stripped.startswith("${{"):
        return None
    end = _end_of(stripped, 3)
    return stripped[3:end] if end == len(stripped) - 2 else None


def split(text: str) -> Iterator[Span]:
    """The pieces of a text. Raises ExpressionError where a `${{` is not closed."""
    position = 0
    while (start := text.find("${{", position)) >= 0:
        if start > position:
            yield Span(text[position:start], False, position)
        end = _end_of(text, start + 3)
        if end < 0:
            raise ExpressionError(Stage.LEXING, "the expression is not closed; add `}}`", start)
        yield Span(text[start + 3 : end], True, start + 3)
        position = end + 2
    if position < len(text):
        yield Span(text[position:], False, position)


def _with_status(
    text: str, contexts: Mapping[str, Value], status: Status, hash_files: HashFiles | None
) -> str:
    return "".join(
        to_text(evaluate(span.text, contexts, status=status, hash_files=hash_files))
        if span.is_expression
        else span.text
        for span in split(text)
    )


def _end_of(text: str, start: int) -> int:
    """Where the `}}` of an expression that begins at `start` stands; -1 without one. Quotes hide braces."""
    quoted = False
    for position in range(start, len(text)):
        if text[position] == "'":
            quoted = not quoted
        elif not quoted and text.startswith("}}", position):
            return position
    return -1


def _functions(status: Status | None, hash_files: HashFiles | None) -> frozenset[str]:
    allowed = frozenset[str]()
    if status is not None:
        allowed |= STATUS_FUNCTIONS
    return allowed if hash_files is None else allowed | FILE_FUNCTIONS


def _check_names(parsed: Parsed, names: frozenset[str], functions: frozenset[str]) -> None:
    for name in parsed.names:
        if name.name.lower() not in names:
            known = ", ".join(sorted(names)) or "none"
            raise ExpressionError(
                Stage.PARSING, f"there is no context `{name.name}` here; there are: {known}", name.position
            )
    for call in parsed.calls:
        if call.name in STATUS_FUNCTIONS | FILE_FUNCTIONS and call.name not in functions:
            spelled = "hashFiles" if call.name in FILE_FUNCTIONS else call.name
            raise ExpressionError(Stage.PARSING, f"the function `{spelled}` cannot be used here", call.position)
