"""A matrix to its legs, as GitHub expands it: the product of its lists, less `exclude`, with `include`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import Value, to_text
from clockmesh.runner.expressions_values import equal, is_primitive, kind_of, lookup
from clockmesh.runner.model import Text
from clockmesh.runner.model_sheet import is_insert
from clockmesh.runner.reader import Mapping as MappingNode
from clockmesh.runner.reader import Node, Scalar
from clockmesh.runner.reader import Sequence as SequenceNode

MAX_LEGS = 256
"""Of one matrix: GitHub's own bound."""

_MOST_BEFORE_EXCLUDE = 16 * MAX_LEGS
_MOST_COMPARISONS = 1_000_000
"""Of legs with entries of `include` and `exclude`: about a second."""

Leg = dict[str, Value]
"""One combination of values, in the matrix's own order."""


def expand(node: Node, scope: Scope) -> list[Leg]:
    """The legs of a matrix as it stands in the file. Raises WorkflowError at what is wrong."""
    value = _resolved(node, scope)
    if not isinstance(value, Mapping):
        raise _error(node, scope, f"`matrix` must come to an object, not {kind_of(value)}")
    vectors: dict[str, Sequence[Value]] = {}
    for name, values in value.items():
        if name.lower() not in ("include", "exclude"):
            vectors[name] = _list(node, scope, name, values)
    legs = _product(node, scope, vectors)
    excluded, included = _objects(node, scope, value, "exclude"), _objects(node, scope, value, "include")
    if len(legs) * (len(excluded) + len(included)) > _MOST_COMPARISONS:
        raise _error(node, scope, "`matrix` has too many entries in `include` and `exclude`")
    kept = [leg for leg in legs if not any(_contains(leg, partial) for partial in excluded)]
    legs = _include(kept, vectors, included)
    if not legs:
        raise _error(node, scope, "`matrix` comes to no jobs at all; give it a value that `exclude` does not take away")
    if len(legs) > MAX_LEGS:
        raise _error(node, scope, f"`matrix` comes to {len(legs)} jobs; at most {MAX_LEGS} are allowed")
    return legs


def _error(node: Node, scope: Scope, message: str) -> WorkflowError:
    return WorkflowError(scope.file, node.line, node.column, message)


def _resolved(node: Node, scope: Scope) -> Value:
    """A node as plain values, its expressions evaluated."""
    match node:
        case Scalar():
            return scope.value(Text(node))
        case SequenceNode(items=items):
            return [value for item in items for value in _items(item, scope)]
        case MappingNode(pairs=pairs):
            return dict(member for key, value in pairs for member in _members(key, value, scope))


def _items(node: Node, scope: Scope) -> list[Value]:
    """An expression that comes to a list stands for its items."""
    value = _resolved(node, scope)
    expanded = isinstance(node, Scalar) and isinstance(value, Sequence) and not isinstance(value, str)
    return list(value) if expanded else [value]  # type: ignore[arg-type]


def _members(key: Scalar, node: Node, scope: Scope) -> list[tuple[str, Value]]:
    """`${{ insert }}` stands for the members of its value."""
    value = _resolved(node, scope)
    if is_insert(key.text) and isinstance(value, Mapping):
        return list(value.items())
    return [(key.text, value)]


def _list(node: Node, scope: Scope, name: str, values: Value) -> Sequence[Value]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _error(node, scope, f"`{name}` of `matrix` must come to a list, not {kind_of(values)}")
    if not values:
        raise _error(node, scope, f"`{name}` of `matrix` has no values; give it one")
    return values


def _objects(node: Node, scope: Scope, matrix: Mapping[str, Value], name: str) -> list[Leg]:
    found, values = lookup(matrix, name)
    if not found:
        return []
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _error(node, scope, f"`{name}` of `matrix` must come to a list, not {kind_of(values)}")
    objects = []
    for value in values:
        if not isinstance(value, Mapping):
            raise _error(node, scope, f"an entry of `{name}` must be an object, not {kind_of(value)}")
        objects.append(dict(value))
    return objects


def _product(node: Node, scope: Scope, vectors: Mapping[str, Sequence[Value]]) -> list[Leg]:
    # What is above the bound may be excluded down to it; far more is refused before it takes memory.
    if math.prod(map(len, vectors.values())) > _MOST_BEFORE_EXCLUDE:
        raise _error(node, scope, f"`matrix` comes to far more than {MAX_LEGS} jobs")
    if not vectors:
        return []
    return [dict(zip(vectors, values, strict=True)) for values in itertools.product(*vectors.values())]


def _contains(value: Value, part: Value) -> bool:
    """Whether `part` is in a value: each of its keys, deeply; scalars by the `==` of expressions."""
    if isinstance(part, Mapping):
        if not isinstance(value, Mapping):
            return False
        return all(_contains(found, wanted) for found, wanted in _beside(value, part))
    if isinstance(part, Sequence) and not isinstance(part, str):
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(part):
            return False
        return all(_contains(item, wanted) for item, wanted in zip(value, part, strict=True))
    return is_primitive(value) and equal(value, part)


def _beside(value: Mapping[str, Value], part: Mapping[str, Value]) -> Iterator[tuple[Value, Value]]:
    for name, wanted in part.items():
        yield lookup(value, name)[1], wanted


def _include(legs: list[Leg], names: Iterable[str], entries: list[Leg]) -> list[Leg]:
    """Each entry is added to the legs none of whose own values it would change; to none: it is a leg of its own."""
    own = {name.lower() for name in names}
    originals = [dict(leg) for leg in legs]
    added: list[Leg] = []
    for entry in entries:
        fixed = {name: value for name, value in entry.items() if name.lower() in own}
        fitting = [leg for leg, original in zip(legs, originals, strict=True) if _contains(original, fixed)]
        for leg in fitting:
            leg.update({name: value for name, value in entry.items() if name not in fixed})
        if not fitting:
            added.append(dict(entry))
    return legs + added


def leg_json(leg: Leg) -> str:
    """Canonical JSON: sorted keys, no spaces, whole numbers without a point."""
    return json.dumps(_plain(leg), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Value) -> Value:
    if isinstance(value, float):
        if not math.isfinite(value):
            return to_text(value)
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def leg_title(leg: Leg) -> str:
    """What stands in the brackets of the leg's key: its scalars in order, those within lists and objects too."""
    return ", ".join(text for text in _scalars(leg) if text)


def _scalars(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _scalars(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _scalars(item)
    else:
        yield " ".join(to_text(value).split())
