"""Checking a tree against what a workflow may hold: each check notes its problem and goes on, so all are found."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable

from clockmesh.runner import expressions
from clockmesh.runner.errors import ExpressionError, Problem, WorkflowError, quoted
from clockmesh.runner.model import Named, Text
from clockmesh.runner.model_availability import Allowed
from clockmesh.runner.reader import Mapping, Node, Scalar, Sequence

MAX_PROBLEMS = 50
"""Noted of one file before it is given up; the topmost is what people see."""

_MAX_CANDIDATES = 500
"""Names that a wrong one is compared with: enough for people, and no work for strangers to cause."""


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Sheet:
    """The problems found in one file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: dict[Problem, None] = {}

    def note(self, node: Node, message: str, offset: int = 0) -> None:
        """Notes a problem at a node; of a scalar, at the character `offset` of its text. Raises when it is enough."""
        line, column = node.place(offset) if isinstance(node, Scalar) else (node.line, node.column)
        self._problems[Problem(line, column, message)] = None
        if len(self._problems) == MAX_PROBLEMS:
            self.finish()

    def finish(self) -> None:
        """Raises WorkflowError if there is a problem: the topmost, the others with it."""
        if self._problems:
            first, *others = sorted(self._problems, key=lambda problem: (problem.line, problem.column))
            raise WorkflowError(self._file, first.line, first.column, first.message, tuple(others))

    def mapping(self, node: Node, what: str) -> Mapping | None:
        """The node as a mapping, else a problem and None."""
        if isinstance(node, Mapping):
            return node
        self.note(node, f"{what} must be a mapping (`key: value` lines), not {kind(node)}")
        return None

    def keys(self, node: Mapping, what: str, known: Iterable[str], unsupported: Iterable[str] = ()) -> dict[str, Node]:
        """The values by key; keys that are unknown or not supported are noted and left out."""
        known, unsupported = tuple(known), frozenset(unsupported)
        found = {}
        for key, value in node.pairs:
            if key.text in unsupported:
                self.note(key, f"`{key.text}` is not supported yet; remove it from {what}")
            elif key.text in known:
                found[key.text] = value
            elif isinstance(key.value, str) and "${{" in key.value:
                self.note(key, f"a key of {what} cannot be an expression; write the key itself")
            else:
                self.note(key, f"{what} has no key `{quoted(key.text)}`; {meant(key.text, known)}")
        return found

    def missing(self, node: Mapping, found: dict[str, Node], place: Node, message: str) -> None:
        """Notes that a key is missing, unless another was refused: then that one was meant (`rnu: make`)."""
        if len(found) == len(node.pairs):
            self.note(place, message)

    def scalar(self, node: Node, what: str) -> Scalar | None:
        """The node as a scalar, else a problem and None."""
        if isinstance(node, Scalar):
            return node
        self.note(node, f"{what} must be a text, not {kind(node)}")
        return None

    def text(self, node: Node | None, what: str, allowed: Allowed | None = None, *, empty: bool = False) -> Text | None:
        """The node as a text whose expressions are well formed and allowed; None where it is bad or there is none."""
        if node is None or (scalar := self.scalar(node, what)) is None:
            return None
        if not scalar.text and not empty:
            self.note(scalar, f"{what} is empty; give it a value or remove the key")
            return None
        return Text(scalar) if self.expressions(scalar, what, allowed) else None

    def plain(self, node: Node | None, what: str, *, empty: bool = False) -> str | None:
        """The node as a text without expressions."""
        text = self.text(node, what, empty=empty)
        return None if text is None else text.text

    def boolean(self, node: Node | None, what: str, allowed: Allowed | None = None) -> Text | None:
        """The node as true, false or one expression."""
        text = self.text(node, what, allowed)
        if text is None or isinstance(text.node.value, bool) or _is_whole(text):
            return text
        self.note(text.node, f"{what} must be true or false, not `{quoted(text.text)}`")
        return None

    def number(self, node: Node | None, what: str, allowed: Allowed, *, least: float = 0) -> Text | None:
        """The node as a number above `least`, or one expression."""
        text = self.text(node, what, allowed)
        if text is None or _is_whole(text):
            return text
        value = text.node.value
        if isinstance(value, float) and not isinstance(value, bool):
            if least < value < float("inf"):
                return text
            self.note(text.node, f"{what} must be above {least:g}, not {quoted(text.text)}")
            return None
        self.note(text.node, f"{what} must be a number, not `{quoted(text.text)}`; write it without quotes")
        return None

    def texts(self, node: Node | None, what: str, allowed: Allowed | None = None) -> tuple[Text, ...]:
        """The node as a list of texts; one text is a list of one."""
        if node is None:
            return ()
        items = node.items if isinstance(node, Sequence) else (node,)
        return tuple(text for item in items if (text := self.text(item, what, allowed)) is not None)

    def named(self, node: Node | None, what: str, allowed: Allowed) -> Named:
        """The node as a mapping of names to texts. An expression may stand for it, or, as the value of `${{ insert }}`,
        for a part of it: the name is '' then."""
        if isinstance(node, Scalar) and expressions.whole_expression(node.text) is not None:
            return (("", Text(node)),) if self.expressions(node, what, allowed) else ()
        if node is None or (mapping := self.mapping(node, what)) is None:
            return ()
        named: list[tuple[str, Text]] = []
        for key, value in mapping.pairs:
            if is_insert(key.text):
                named += self.named(value, what, allowed)
            elif "${{" in key.text and not self.expressions(key, what, allowed):
                continue
            elif not key.text:
                self.note(key, f"a name in {what} is empty")
            elif (text := self.text(value, f"`{quoted(key.text)}` in {what}", allowed, empty=True)) is not None:
                named.append((key.text, text))
        return tuple(named)

    def expressions(self, scalar: Scalar, what: str, allowed: Allowed | None) -> bool:
        """Whether each `${{ }}` in a scalar is well formed and uses only what is allowed here; else a problem."""
        if not isinstance(scalar.value, str) or "${{" not in scalar.value:
            return True
        if allowed is None:
            self.note(scalar, f"{what} cannot hold an expression; write the value itself")
            return False
        try:
            for span in expressions.split(scalar.value):
                if span.is_expression and not self.expression(scalar, span.text, span.start, allowed):
                    return False
        except ExpressionError as error:
            self.note(scalar, error.message, error.position)
            return False
        return True

    def expression(self, scalar: Scalar, text: str, start: int, allowed: Allowed) -> bool:
        """As `expressions`, of the one expression that stands at `start` of the scalar's text."""
        try:
            expressions.check(text, allowed.contexts, allowed.functions)
        except ExpressionError as error:
            self.note(scalar, error.message, start + error.position)
            return False
        return True

    def condition(self, node: Node | None, what: str, allowed: Allowed) -> Text | None:
        """The node as an `if`: an expression with or without `${{ }}`."""
        if node is None or (scalar := self.scalar(node, what)) is None:
            return None
        if "${{" in scalar.text:
            return Text(scalar) if self.expressions(scalar, what, allowed) else None
        if scalar.text.strip() and not self.expression(scalar, scalar.text, 0, allowed):
            return None
        return Text(scalar)

    def identifier(self, scalar: Scalar, what: str) -> bool:
        """Whether a job or step id is one; else a problem."""
        if "${{" in scalar.text:
            self.note(scalar, f"{what} cannot be an expression; write the id itself")
        elif not _IDENTIFIER.fullmatch(scalar.text):
            self.note(
                scalar,
                f"{what} `{quoted(scalar.text)}` is not one: it begins with a letter or `_`, "
                "then come letters, digits, `-` and `_`",
            )
        elif scalar.text.startswith("__"):
            self.note(scalar, f"{what} `{quoted(scalar.text)}` begins with `__`, which is reserved; choose another")
        elif len(scalar.text) > 100:
            self.note(scalar, f"{what} is longer than 100 characters; choose a shorter one")
        else:
            return True
        return False


def is_insert(key: str) -> bool:
    """Whether a key says that the members of its value belong in its place."""
    inner = expressions.whole_expression(key)
    return inner is not None and inner.strip().lower() == "insert"


def kind(node: Node) -> str:
    """What a node is, for errors."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return f"`{node.text}`"
    return f"the number {node.text}" if isinstance(node.value, float) else f"the text `{quoted(node.text)}`"


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or what there is."""
    known = list(itertools.islice(known, _MAX_CANDIDATES))
    folded = {name.lower(): name for name in known}
    if close := difflib.get_close_matches(word.lower()[:100], folded, n=1, cutoff=0.6):
        return f"did you mean `{folded[close[0]]}`?"
    if not known:
        return "remove it"
    there = ", ".join(sorted(known)[:20])
    return f"there are: {there}{', ...' if len(known) > 20 else ''}"


def _is_whole(text: Text) -> bool:
    return text.has_expression and expressions.whole_expression(text.text) is not None
