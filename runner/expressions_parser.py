"""Expressions, second stage: tokens to a tree.

Precedence, tightest first: `.` `[]`, `!`, the four comparisons, `==` `!=`, `&&`, `||`; equal ones from the left.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from clockmesh.runner.errors import ExpressionError, Stage
from clockmesh.runner.expressions_lexer import Kind, Token, shown, tokens

MAX_DEPTH = 50
"""Height of the tree (a chain of one logical operator is one level): GitHub's own bound."""

MAX_NESTING = 64
"""Brackets within brackets while parsing (five frames each), so that no text exhausts the stack."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: bool | float | str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A context."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    """Lower case."""
    arguments: tuple[Expression, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    """`of.key`, `of[key]`; a key of None is `*`."""

    of: Expression
    key: Expression | None


@dataclass(frozen=True, slots=True)
class Not:
    operand: Expression


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logic:
    """`a && b && c` or `a || b || c`."""

    operator: str
    operands: tuple[Expression, ...]


Expression: TypeAlias = Literal | Name | Call | Index | Not | Comparison | Logic


@dataclass(frozen=True, slots=True)
class Parsed:
    """A whole expression; `root` is None for an empty one."""

    root: Expression | None
    names: tuple[Name, ...]
    """Every context it names, in the order of the text."""
    calls: tuple[Call, ...]
    """Every function it calls, inner ones first."""


ARITY: dict[str, tuple[int, int]] = {
    "case": (3, 255),
    "contains": (2, 2),
    "endswith": (2, 2),
    "format": (1, 255),
    "fromjson": (1, 1),
    "join": (1, 2),
    "startswith": (2, 2),
    "tojson": (1, 1),
    "hashfiles": (1, 255),
    "always": (0, 0),
    "cancelled": (0, 0),
    "failure": (0, 0),
    "success": (0, 0),
}
"""Least and most arguments of each function, by its lower-case name."""

STATUS_FUNCTIONS = frozenset({"always", "cancelled", "failure", "success"})
FILE_FUNCTIONS = frozenset({"hashfiles"})
PURE_FUNCTIONS = frozenset(ARITY) - STATUS_FUNCTIONS - FILE_FUNCTIONS

_LOGICAL = frozenset({"||", "&&"})
_LOOSEST = 1
_BINDINGS = {"||": _LOOSEST, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4}


@lru_cache(maxsize=1_024)
def parse(text: str) -> Parsed:
    """The tree of an expression (without `${{ }}`). Raises ExpressionError. Names are not checked here."""
    parser = _Parser(text)
    root, height = parser.whole()
    if height > MAX_DEPTH:
        raise _too_deep()
    return Parsed(root, tuple(parser.names), tuple(parser.calls))


_Sized: TypeAlias = tuple[Expression, int]
"""An expression and its height."""


class _Parser:
    """Recursive descent over one expression's tokens."""

    def __init__(self, text: str) -> None:
        self._tokens = tuple(tokens(text))
        self._next = 0
        self._nesting = 0
        self.names: list[Name] = []
        self.calls: list[Call] = []

    def whole(self) -> tuple[Expression | None, int]:
        if self._peek().kind is Kind.END:
            return None, 0
        sized = self._binary(_LOOSEST)
        if self._peek().kind is not Kind.END:
            raise self._unexpected()
        return sized

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _accept(self, kind: Kind, *spellings: str) -> Token | None:
        token = self._peek()
        if token.kind is kind and (not spellings or token.text in spellings):
            return self._take()
        return None

    def _expect(self, kind: Kind) -> None:
        if self._accept(kind) is None:
            raise self._unexpected()

    def _unexpected(self) -> ExpressionError:
        token = self._peek()
        if token.kind is not Kind.END:
            return ExpressionError(Stage.PARSING, f"unexpected symbol {shown(token.text)}", token.position)
        last = self._tokens[self._next - 1] if self._next else token
        return ExpressionError(Stage.PARSING, f"the expression ends too early, after {shown(last.text)}", last.position)

    def _binary(self, least: int) -> _Sized:
        """An expression of operators that bind at least as tightly as this."""
        left, height = self._not()
        while (binding := self._binding()) >= least:
            operator = self._take().text
            right = self._binary(binding + 1)
            if operator in _LOGICAL:
                left, height = self._logic(operator, binding, [(left, height), right])
            else:
                left, height = Comparison(operator, left, right[0]), max(height, right[1]) + 1
        return left, height

    def _binding(self) -> int:
        token = self._peek()
        return _BINDINGS.get(token.text, 0) if token.kind is Kind.OPERATOR else 0

    def _logic(self, operator: str, binding: int, sized: list[_Sized]) -> _Sized:
        """A whole chain of one logical operator, whose first two operands have been read."""
        while self._accept(Kind.OPERATOR, operator):
            sized.append(self._binary(binding + 1))
        operands: list[Expression] = []
        height = 0
        for part, tall in sized:
            if isinstance(part, Logic) and part.operator == operator:
                # A bracketed chain of the same operator is one level with its parent, as on GitHub.
                operands.extend(part.operands)
                height = max(height, tall)
            else:
                operands.append(part)
                height = max(height, tall + 1)
        return Logic(operator, tuple(operands)), height

    def _not(self) -> _Sized:
        count = 0
        while self._accept(Kind.OPERATOR, "!"):
            count += 1
        operand, height = self._indexed()
        if height + count > MAX_DEPTH:
            raise _too_deep()
        for _ in range(count):
            operand = Not(operand)
        return operand, height + count

    def _indexed(self) -> _Sized:
        of, height = self._value()
        while True:
            key: Expression | None
            if self._accept(Kind.DOT):
                key, tall = self._property()
            elif self._accept(Kind.OPEN_INDEX):
                key, tall = self._key()
            else:
                return of, height
            of, height = Index(of, key), max(height, tall) + 1
            if height > MAX_DEPTH:
                raise _too_deep()

    def _property(self) -> tuple[Expression | None, int]:
        if self._accept(Kind.STAR):
            return None, 1
        if word := self._accept(Kind.WORD):
            return Literal(word.text), 1
        raise self._unexpected()

    def _key(self) -> tuple[Expression | None, int]:
        if self._accept(Kind.STAR):
            self._expect(Kind.CLOSE_INDEX)
            return None, 1
        return self._bracketed(Kind.CLOSE_INDEX)

    def _bracketed(self, close: Kind) -> _Sized:
        self._enter()
        sized = self._binary(_LOOSEST)
        self._expect(close)
        self._nesting -= 1
        return sized

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ExpressionError(Stage.PARSING, f"more than {MAX_NESTING} brackets within one another")

    def _value(self) -> _Sized:
        if self._accept(Kind.OPEN):
            return self._bracketed(Kind.CLOSE)
        token = self._peek()
        if token.kind in (Kind.NUMBER, Kind.STRING, Kind.CONSTANT):
            return Literal(self._take().value), 1
        if token.kind is not Kind.WORD:
            raise self._unexpected()
        self._take()
        if self._accept(Kind.OPEN):
            return self._call(token)
        name = Name(token.text, token.position)
        self.names.append(name)
        return name, 1

    def _call(self, token: Token) -> _Sized:
        self._enter()
        arguments: list[Expression] = []
        height = 0
        if not self._accept(Kind.CLOSE):
            while True:
                argument, tall = self._binary(_LOOSEST)
                arguments.append(argument)
                height = max(height, tall)
                if not self._accept(Kind.COMMA):
                    break
            self._expect(Kind.CLOSE)
        self._nesting -= 1
        call = Call(token.text.lower(), tuple(arguments), token.position)
        _check_arguments(call, token.text)
        self.calls.append(call)
        return call, height + 1


def _too_deep() -> ExpressionError:
    return ExpressionError(Stage.PARSING, f"the expression is nested deeper than {MAX_DEPTH} levels")


def _check_arguments(call: Call, spelled: str) -> None:
    if call.name not in ARITY:
        close = difflib.get_close_matches(call.name[:40], ARITY, 1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise ExpressionError(Stage.PARSING, f"there is no function {shown(spelled)}{hint}", call.position)
    least, most = ARITY[call.name]
    count = len(call.arguments)
    if least <= count <= most and (call.name != "case" or count % 2):
        return
    wanted = f"{least}" if least == most else f"{least} to {most}"
    if call.name == "case":
        wanted = "pairs of a condition and a value, then a default"
    raise ExpressionError(
        Stage.PARSING, f"{shown(spelled)} takes {wanted} argument{'s' * (wanted != '1')}, not {count}", call.position
    )
