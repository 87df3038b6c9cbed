"""Names in expressions, followed as far as it is known where they lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from clockmesh.runner.expressions_parser import Call, Comparison, Expression, Index, Literal, Logic, Name, Not
from clockmesh.runner.model_sheet import meant

ANY: Final = None
"""Anything may be there."""

Shape: TypeAlias = "Mapping[str, Shape] | None"
"""The members of an object, names in lower case; None where they are not known."""

_OBJECTS = frozenset({"github", "env", "vars", "job", "jobs", "steps", "runner", "secrets", "strategy", "needs",
                      "inputs"})  # fmt: skip
_TEXTS = frozenset({"format", "join", "tojson", "hashfiles"})
_FLAGS = frozenset({"contains", "startswith", "endswith", "always", "success", "failure", "cancelled"})


def resolve(root: Expression, names: Mapping[str, Shape]) -> Iterator[tuple[int, str]]:
    """The place and description of each member that does not exist."""
    for node in _every(root):
        if isinstance(node, Index) and isinstance(node.key, Literal) and isinstance(node.key.value, str):
            shape, path, position = _follow(node.of, names)
            member = node.key.value
            if shape is not None and member.lower() not in shape:
                yield position, f"there is no `{member}` in `{path}` here; {meant(member, shape)}"


def walk(root: Expression) -> Iterator[tuple[int, Expression, Expression]]:
    """The two sides of each comparison."""
    for node in _every(root):
        if isinstance(node, Comparison):
            yield _position(node), node.left, node.right


def chain_of(root: Expression) -> Iterator[tuple[str, int]]:
    """Each name with its members, `github.event.commits.*.message`, lower case."""
    for node in _every(root):
        if isinstance(node, Index | Name):
            path, position = _path(node)
            if path:
                yield path, position


def kind_of_value(node: Expression, names: Mapping[str, Shape]) -> str | None:
    """What an expression comes to, where that is certain; None where it is not."""
    match node:
        case Literal(value=None):
            return "null"
        case Literal(value=bool()):
            return "a boolean"
        case Literal(value=str()):
            return "a text"
        case Literal():
            return "a number"
        case Name(name=name):
            return "an object" if name.lower() in _OBJECTS else None
        case Index(key=None):
            return "a list"
        case Index():
            shape, path, _ = _follow(node, names)
            return "an object" if shape is not None or path in ("github.event",) else None
        case Call(name=name):
            return "a text" if name in _TEXTS else "a boolean" if name in _FLAGS else None
        case Not() | Comparison():
            return "a boolean"
    return None


def _follow(node: Expression, names: Mapping[str, Shape]) -> tuple[Shape, str, int]:
    """What is known of an expression's members, its path, and where it begins."""
    if isinstance(node, Name):
        return names.get(node.name.lower(), ANY), node.name, node.position
    if isinstance(node, Index) and isinstance(node.key, Literal) and isinstance(node.key.value, str):
        shape, path, position = _follow(node.of, names)
        inner = shape.get(node.key.value.lower(), ANY) if shape is not None else ANY
        return inner, f"{path}.{node.key.value}", position
    return ANY, "", 0


def _path(node: Expression) -> tuple[str, int]:
    if isinstance(node, Name):
        return node.name.lower(), node.position
    if isinstance(node, Index):
        path, position = _path(node.of)
        if path and node.key is None:
            return f"{path}.*", position
        if path and isinstance(node.key, Literal) and node.key.value is not None:
            return f"{path}.{str(node.key.value).lower().removesuffix('.0')}", position
    return "", 0


def _position(node: Expression) -> int:
    return next((each.position for each in _every(node) if isinstance(each, Name | Call)), 0)


def _every(node: Expression) -> Iterator[Expression]:
    yield node
    match node:
        case Call(arguments=arguments):
            below: tuple[Expression, ...] = arguments
        case Index(of=of, key=key):
            below = (of,) if key is None else (of, key)
        case Not(operand=operand):
            below = (operand,)
        case Comparison(left=left, right=right):
            below = (left, right)
        case Logic(operands=operands):
            below = operands
        case _:
            below = ()
    for each in below:
        yield from _every(each)
