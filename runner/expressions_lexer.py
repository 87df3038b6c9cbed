"""Expressions, first stage: text to tokens, as in actions/runner's LexicalAnalyzer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from clockmesh.runner.errors import ExpressionError, Stage, quoted
from clockmesh.runner.expressions_values import parse_number

MAX_LENGTH = 21_000
"""Characters in one expression: GitHub's own bound."""


class Kind(Enum):
    NUMBER = auto()
    STRING = auto()
    CONSTANT = auto()
    WORD = auto()
    OPERATOR = auto()
    DOT = auto()
    STAR = auto()
    COMMA = auto()
    OPEN = auto()
    CLOSE = auto()
    OPEN_INDEX = auto()
    CLOSE_INDEX = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    """As written; of an operator, its spelling."""
    position: int
    value: bool | float | str | None = None
    """Of numbers, strings and constants."""


CONSTANTS: dict[str, bool | float | None] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
}
_SINGLE = {
    "(": Kind.OPEN,
    ")": Kind.CLOSE,
    "[": Kind.OPEN_INDEX,
    "]": Kind.CLOSE_INDEX,
    ",": Kind.COMMA,
    "*": Kind.STAR,
}
_OPERATOR = re.compile(r"!=|==|<=|>=|&&|\|\||[!<>]")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_RUN = re.compile(r"[^\s()\[\],.!><=&|]+")
"""Up to the next character at which a word ends."""
_NUMBER_RUN = re.compile(r"[^\s()\[\],!><=&|]+")
_STRING = re.compile(r"'((?:[^']|'')*)'")
_BEFORE_A_VALUE = frozenset({Kind.COMMA, Kind.OPEN, Kind.OPEN_INDEX, Kind.OPERATOR})


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, the last one being END. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(Stage.LEXING, f"the expression is longer than {MAX_LENGTH} characters")
    position = 0
    previous: Kind | None = None
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            yield Token(Kind.END, "", position)
            return
        token = _token(text, position, previous)
        yield token
        previous = token.kind
        position += len(token.text)


def _token(text: str, position: int, previous: Kind | None) -> Token:
    character = text[position]
    if kind := _SINGLE.get(character):
        return Token(kind, character, position)
    if character == "'":
        return _string(text, position)
    if character == "." and previous is not None and previous not in _BEFORE_A_VALUE:
        return Token(Kind.DOT, ".", position)
    if match := _OPERATOR.match(text, position):
        return Token(Kind.OPERATOR, match.group(), position)
    if character in "+-.0123456789":
        return _number(text, position, previous)
    return _word(text, position, previous)


def _string(text: str, position: int) -> Token:
    match = _STRING.match(text, position)
    if match is None:
        raise ExpressionError(Stage.LEXING, f"the string {shown(text[position:])} has no closing quote", position)
    return Token(Kind.STRING, match.group(), position, match.group(1).replace("''", "'"))


def _number(text: str, position: int, previous: Kind | None) -> Token:
    match = _NUMBER_RUN.match(text, position)
    spelled = match.group() if match else text[position]
    value = parse_number(spelled)
    if value != value or (previous is not None and previous not in _BEFORE_A_VALUE and spelled[0] in "+-."):
        raise _unexpected(spelled, position)
    return Token(Kind.NUMBER, spelled, position, value)


def _word(text: str, position: int, previous: Kind | None) -> Token:
    match = _RUN.match(text, position)
    if match is None:
        after = _RUN.match(text, position + 1)
        raise _unexpected(text[position] + (after.group() if after else ""), position)
    spelled = match.group()
    if not _WORD.fullmatch(spelled):
        raise _unexpected(spelled, position)
    if previous is not Kind.DOT and spelled in CONSTANTS:
        return Token(Kind.CONSTANT, spelled, position, CONSTANTS[spelled])
    return Token(Kind.WORD, spelled, position)


def _unexpected(symbol: str, position: int) -> ExpressionError:
    if symbol.startswith('"'):
        return ExpressionError(
            Stage.LEXING, f"unexpected {shown(symbol)}; strings take single quotes: 'text'", position
        )
    return ExpressionError(Stage.LEXING, f"unexpected symbol {shown(symbol)}", position)


def shown(symbol: str) -> str:
    """A symbol for an error's one line."""
    return f"`{quoted(symbol)}`"
