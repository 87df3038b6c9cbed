"""YAML, strictly: bytes to a tree of nodes that know where they stand.

Scalars are resolved as GitHub resolves them (YAML 1.2's core schema: only true and false are booleans, so `on` stays
a text). Duplicate keys, merge keys, unknown tags, several documents and aliases that grow without bound are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from clockmesh.runner.errors import WorkflowError, quoted
from clockmesh.runner.expressions_values import fold
from clockmesh.runner.reader_scalars import plain, scalar_text

MAX_BYTES = 1_048_576
"""Of a workflow file; GitHub's own bound is half of it."""

MAX_DEPTH = 50
"""Collections within collections; a real workflow has about ten."""

MAX_NODES = 50_000
"""Of the whole tree with every alias written out: GitHub's bound on events. It stops alias bombs."""

# The C parser where PyYAML was built with libyaml (0.13 ms a workflow against 2 ms).
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    line: int
    column: int
    """1-based, of its first character (of the `|` or `>` of a block)."""
    value: bool | float | str | None
    text: str
    """The value as text: '' for null, numbers as GitHub prints them (3.10 is '3.1')."""
    indent: int = -1
    """Of a `|` block whose lines stand unchanged in the file: how far they are indented; else -1."""

    def place(self, offset: int) -> tuple[int, int]:
        """Where to point for the character at `offset` of the text: its own place in a block, else the scalar's."""
        if self.indent < 0:
            return self.line, self.column
        before = self.text[:offset]
        return self.line + 1 + before.count("\n"), self.indent + offset - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class Sequence:
    line: int
    column: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    line: int
    column: int
    """Of its first key."""
    pairs: tuple[tuple[Scalar, Node], ...]

    def get(self, key: str) -> Node | None:
        """The value of a key spelled exactly so."""
        return next((value for name, value in self.pairs if name.text == key), None)


Node: TypeAlias = Scalar | Sequence | Mapping


def read_yaml(data: bytes, file: str) -> Node:
    """The tree of a YAML file. Raises WorkflowError, its places being 1-based."""
    if len(data) > MAX_BYTES:
        raise WorkflowError(file, 1, 1, f"the file has {len(data)} bytes; a workflow may have {MAX_BYTES}")
    text = _decoded(data, file)
    try:
        return _Builder(text, file).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise WorkflowError(file, line, column, f"not YAML: {_why(error)}") from None
    except yaml.YAMLError as error:
        raise WorkflowError(file, 1, 1, f"not YAML: {' '.join(str(error).split())[:120]}") from None


_REMEDIES = (
    ("cannot start any token", "indent with spaces, and quote a value that begins with a special character"),
    ("mapping values are not allowed", "quote a value that holds `: `, and look at the indentation"),
    ("alias", "an alias `*name` needs an anchor `&name` before it; quote a value that begins with `*` or `&`"),
    ("quoted scalar", "close the quotes"),
    ("escape", "use single quotes where backslashes are meant as such"),
)


def scalars_in(node: Node | None) -> Iterator[Scalar]:
    """All values of the node, in the order of the file; keys are none. Nothing of None."""
    match node:
        case Scalar():
            yield node
        case Sequence(items=items):
            for item in items:
                yield from scalars_in(item)
        case Mapping(pairs=pairs):
            for _, value in pairs:
                yield from scalars_in(value)


def _why(error: yaml.MarkedYAMLError) -> str:
    """libyaml's own words, and what to do about them."""
    parts = [" ".join(part.split()) for part in (error.context, error.problem) if part]
    why = ", ".join(parts) or "it cannot be parsed"
    remedy = next((remedy for words, remedy in _REMEDIES if words in why), "look at indentation, brackets and quotes")
    return f"{why}; {remedy}"


def _decoded(data: bytes, file: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise WorkflowError(file, line, column, "not a text file in UTF-8; save it as UTF-8") from None
    if match := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
        raise WorkflowError(file, line, column, f"not YAML: the character U+{ord(match.group()):04X} is not allowed")
    return text


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Builder:
    """Turns the parser's events into nodes, counting as it goes."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._lines = text.split("\n")
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_Loader)
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        """Each finished anchor's node, its size with aliases written out, and its depth."""
        self._open: set[str] = set()
        self._count = 0

    def document(self) -> Node:
        event = self._next()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise WorkflowError(self._file, 1, 1, "the file is empty; a workflow has at least `on` and `jobs`")
        node, _ = self._node(event, 1)
        while not isinstance(event, yaml.StreamEndEvent):
            event = self._next()
            if isinstance(event, yaml.DocumentStartEvent):
                raise self._error(event, "a second document begins here; a workflow file has one")
        return node

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _error(self, event: yaml.Event, message: str) -> WorkflowError:
        return WorkflowError(self._file, *_place(event), message)

    def _spend(self, event: yaml.Event, nodes: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            message = f"more than {MAX_NODES} values once its aliases are written out; use fewer aliases"
            raise self._error(event, message)

    def _node(self, event: yaml.Event, depth: int) -> tuple[Node, int]:
        """The node that begins with this event, and how deep it goes below itself."""
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        anchor = event.anchor if isinstance(event, yaml.NodeEvent) else None
        before = self._count
        self._spend(event, 1)
        if anchor:
            self._open.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self._scalar(event)
            below = 1
        elif isinstance(event, yaml.SequenceStartEvent):
            node, below = self._sequence(event, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node, below = self._mapping(event, depth)
        else:
            raise self._error(event, "not YAML: a value is missing here")
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = (node, self._count - before, below)
        return node, below

    def _alias(self, event: yaml.AliasEvent, depth: int) -> tuple[Node, int]:
        if event.anchor in self._open:
            raise self._error(event, f"the alias `*{event.anchor}` stands inside its own anchor")
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias `*{event.anchor}` has no anchor `&{event.anchor}` before it")
        node, size, below = self._anchors[event.anchor]
        self._spend(event, size)
        if depth + below - 1 > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        return node, below

    def _sequence(self, event: yaml.SequenceStartEvent, depth: int) -> tuple[Sequence, int]:
        self._check_tag(event, "tag:yaml.org,2002:seq")
        items = []
        below = 0
        while not isinstance(item := self._next(), yaml.SequenceEndEvent):
            node, deep = self._node(item, depth + 1)
            items.append(node)
            below = max(below, deep)
        return Sequence(*_place(event), tuple(items)), below + 1

    def _mapping(self, event: yaml.MappingStartEvent, depth: int) -> tuple[Mapping, int]:
        self._check_tag(event, "tag:yaml.org,2002:map")
        pairs: list[tuple[Scalar, Node]] = []
        seen: dict[str, Scalar] = {}
        below = 0
        while not isinstance(start := self._next(), yaml.MappingEndEvent):
            key, _ = self._node(start, depth + 1)
            if not isinstance(key, Scalar):
                raise self._error(start, "a key must be a plain text")
            self._check_key(start, key, seen)
            node, deep = self._node(self._next(), depth + 1)
            pairs.append((key, node))
            below = max(below, deep)
        return Mapping(*_place(event), tuple(pairs)), below + 1

    def _check_key(self, event: yaml.Event, key: Scalar, seen: dict[str, Scalar]) -> None:
        if key.text == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            raise self._error(event, "merge keys (`<<`) are not part of a workflow; write the keys out")
        first = seen.setdefault(fold(key.text), key)
        if first is not key:
            what = f"the key `{quoted(key.text)}` is there already, in line {first.line}"
            raise self._error(event, f"{what}; remove one of the two")

    def _check_tag(self, event: yaml.CollectionStartEvent, expected: str) -> None:
        if event.tag and event.tag not in ("!", expected):
            raise self._no_meaning(event, event.tag)

    def _no_meaning(self, event: yaml.Event, tag: str) -> WorkflowError:
        return self._error(event, f"the tag `{quoted(tag)}` has no meaning here; quote a value that begins with `!`")

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        tag = event.tag
        if tag and tag != "!":
            value = self._tagged(event, tag)
        else:
            value = plain(event.value) if event.implicit[0] and not tag else event.value
        line, column = _place(event)
        text = scalar_text(value)
        return Scalar(line, column, value, text, self._indent(text, line) if event.style == "|" else -1)

    def _tagged(self, event: yaml.ScalarEvent, tag: str) -> bool | float | str | None:
        kind = tag.removeprefix("tag:yaml.org,2002:")
        text: str = event.value
        value = plain(text)
        if kind == "str":
            return text
        if kind == "null" and value is None:
            return None
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind in ("int", "float") and isinstance(value, float):
            return value
        if kind in ("null", "bool", "int", "float"):
            raise self._error(event, f"`{quoted(text)}` is not of the type `{kind}`")
        raise self._no_meaning(event, tag)

    def _indent(self, text: str, header: int) -> int:
        """Of a literal block whose `|` stands in line `header`, how far its lines are indented in the file."""
        lines = text.split("\n")
        for number, line in enumerate(lines):
            if line.strip():
                in_file = self._lines[header + number].rstrip("\r") if header + number < len(self._lines) else ""
                return len(in_file) - len(line) if in_file.endswith(line) else -1
        return -1


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
