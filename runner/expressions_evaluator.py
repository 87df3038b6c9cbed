"""Expressions, third stage: a tree and contexts to a value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from clockmesh.runner.errors import ExpressionError, Stage
from clockmesh.runner.expressions_format import MAX_RESULT, Budget, format_text, to_json
from clockmesh.runner.expressions_parser import Call, Comparison, Expression, Index, Literal, Logic, Name, Not
from clockmesh.runner.expressions_values import (
    FilteredArray,
    Value,
    equal,
    fold,
    greater,
    is_primitive,
    kind_of,
    lookup,
    to_number,
    to_text,
    truth,
)

MAX_JSON_DEPTH = 100
"""Of a text given to fromJSON, so that no value exhausts the stack."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the status functions answer: of the steps before a step, or of the jobs that a job needs."""

    success: bool = True
    failure: bool = False
    cancelled: bool = False


HashFiles = Callable[[Sequence[str]], str]
"""The patterns given to hashFiles, to its answer; raises ExpressionError when it cannot."""


class Evaluator:
    """Evaluates one expression; its texts together stay under `MAX_RESULT` characters."""

    def __init__(self, contexts: Mapping[str, Value], status: Status | None, hash_files: HashFiles | None) -> None:
        self._contexts = contexts
        self._status = status
        self._hash_files = hash_files
        self._budget = Budget(MAX_RESULT)

    def value(self, node: Expression) -> Value:
        match node:
            case Literal(value):
                return value
            case Name(name, position):
                return self._context(name, position)
            case Index():
                return self._indexed(node)
            case Not(operand):
                return not truth(self.value(operand))
            case Comparison():
                return self._compared(node)
            case Logic():
                return self._logic(node)
            case Call():
                return self._call(node)

    def _context(self, name: str, position: int) -> Value:
        found, value = lookup(self._contexts, name)
        if not found:
            raise ExpressionError(Stage.PARSING, f"there is no context `{name}` here", position)
        return value

    def _logic(self, node: Logic) -> Value:
        stop = node.operator == "||"
        value: Value = None
        for operand in node.operands:
            value = self.value(operand)
            if truth(value) is stop:
                break
        return value

    def _compared(self, node: Comparison) -> bool:
        left, right = self.value(node.left), self.value(node.right)
        match node.operator:
            case "==":
                return equal(left, right)
            case "!=":
                return not equal(left, right)
            case ">":
                return greater(left, right)
            case ">=":
                return greater(left, right) or equal(left, right)
            case "<":
                return greater(right, left)
            case _:
                return greater(right, left) or equal(left, right)

    def _indexed(self, node: Index) -> Value:
        of = self.value(node.of)
        if node.key is None:
            return FilteredArray(_all_of(of.__iter__() if isinstance(of, FilteredArray) else (of,)))
        key = self.value(node.key)
        if isinstance(of, FilteredArray):
            picked = (_item(member, key) for member in of)
            return FilteredArray(value for found, value in picked if found)
        return _item(of, key)[1]

    def _call(self, node: Call) -> Value:
        if node.name == "case":
            return self._case(node)
        arguments = [self.value(argument) for argument in node.arguments]
        try:
            return self._function(node.name, arguments)
        except ExpressionError as error:
            raise ExpressionError(error.stage, error.message, node.position) from None

    def _case(self, node: Call) -> Value:
        for condition, result in zip(node.arguments[:-1:2], node.arguments[1:-1:2], strict=True):
            chosen = self.value(condition)
            if not isinstance(chosen, bool):
                message = f"a condition of `case` must be a boolean, not {kind_of(chosen)}"
                raise ExpressionError(Stage.EVALUATION, message, node.position)
            if chosen:
                return self.value(result)
        return self.value(node.arguments[-1])

    def _function(self, name: str, arguments: Sequence[Value]) -> Value:
        match name:
            case "contains":
                return _contains(arguments[0], arguments[1])
            case "startswith" | "endswith":
                return _affix(name, arguments[0], arguments[1])
            case "format":
                return format_text(to_text(arguments[0]), arguments[1:], self._budget)
            case "join":
                return _join(arguments, self._budget)
            case "tojson":
                return to_json(arguments[0], self._budget)
            case "fromjson":
                return _from_json(to_text(arguments[0]))
            case "hashfiles":
                return self._hashed(arguments)
            case _:
                return self._asked(name)

    def _hashed(self, arguments: Sequence[Value]) -> str:
        if self._hash_files is None:
            raise ExpressionError(Stage.PARSING, "there is no function `hashFiles` here")
        return self._hash_files([to_text(argument) for argument in arguments])

    def _asked(self, name: str) -> bool:
        if self._status is None:
            raise ExpressionError(Stage.PARSING, f"there is no function `{name}` here")
        return name == "always" or bool(getattr(self._status, name))


def _all_of(holders: Iterable[Value]) -> Iterable[Value]:
    for holder in holders:
        if isinstance(holder, Mapping):
            yield from holder.values()
        elif isinstance(holder, Sequence) and not isinstance(holder, str):
            yield from holder


def _item(of: Value, key: Value) -> tuple[bool, Value]:
    if isinstance(of, Mapping):
        return lookup(of, to_text(key)) if is_primitive(key) else (False, None)
    if isinstance(of, Sequence) and not isinstance(of, str):
        number = to_number(key)
        if 0 <= number < len(of):
            return True, of[int(number)]
    return False, None


def _contains(where: Value, what: Value) -> bool:
    if isinstance(where, Sequence) and not isinstance(where, str):
        return any(equal(item, what) for item in where)
    return is_primitive(where) and is_primitive(what) and fold(to_text(what)) in fold(to_text(where))


def _affix(name: str, text: Value, affix: Value) -> bool:
    if not (is_primitive(text) and is_primitive(affix)):
        return False
    whole, part = fold(to_text(text)), fold(to_text(affix))
    return whole.startswith(part) if name == "startswith" else whole.endswith(part)


def _join(arguments: Sequence[Value], budget: Budget) -> str:
    items = arguments[0]
    separator = ","
    if len(arguments) > 1 and is_primitive(arguments[1]):
        separator = to_text(arguments[1])
    if isinstance(items, Sequence) and not isinstance(items, str):
        texts = [to_text(item) for item in items]
        budget.spend(sum(map(len, texts)) + len(separator) * max(len(texts) - 1, 0))
        return separator.join(texts)
    return to_text(items) if is_primitive(items) else ""


def _from_json(text: str) -> Value:
    """The value that a JSON text stands for. Raises ExpressionError."""
    if not text.strip():
        raise ExpressionError(Stage.EVALUATION, "fromJSON was given an empty text")
    try:
        value: Value = json.loads(text, parse_int=float)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise ExpressionError(Stage.EVALUATION, f"fromJSON was given a text that is not JSON: {why[:120]}") from None
    _check_depth(value)
    return value


def _check_depth(value: Value) -> None:
    level: list[Value] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise ExpressionError(Stage.EVALUATION, f"fromJSON was given JSON of more than {MAX_JSON_DEPTH} levels")
        level = list(_all_of(level))
