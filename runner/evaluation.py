"""A `Text` of a workflow and contexts to the value that is needed there; errors are WorkflowErrors at its place."""

from __future__ import annotations

import math
from collections.abc import Mapping

from clockmesh.runner import expressions
from clockmesh.runner.errors import ExpressionError, WorkflowError
from clockmesh.runner.expressions import HashFiles, Status, Value
from clockmesh.runner.expressions_values import kind_of
from clockmesh.runner.model import Named, Text


class Scope:
    """What texts of one file are evaluated with: the contexts in force, and hashFiles where there are files."""

    def __init__(self, file: str, contexts: Mapping[str, Value], hash_files: HashFiles | None = None) -> None:
        self.file = file
        self.contexts = contexts
        self._hash_files = hash_files

    def value(self, text: Text) -> Value:
        """The value: of an expression alone its own kind, of other scalars the scalar's, else a text."""
        if not text.has_expression:
            return text.node.value
        try:
            return expressions.resolve(text.text, self.contexts, hash_files=self._hash_files)
        except ExpressionError as error:
            raise self.error(text, error.message, error.position) from None

    def text(self, text: Text | None, default: str = "") -> str:
        """The value as text; `default` where there is none."""
        if text is None:
            return default
        return expressions.to_text(self.value(text)) if text.has_expression else text.text

    def named(self, named: Named) -> dict[str, str]:
        """Names with their values as text."""
        found: dict[str, str] = {}
        for name, text in named:
            if name:
                found[self._name(name, text)] = self.text(text)
            else:
                found |= self._members(text)
        return found

    def _name(self, name: str, text: Text) -> str:
        try:
            return expressions.interpolate(name, self.contexts, hash_files=self._hash_files)
        except ExpressionError as error:
            raise self.error(text, error.message) from None

    def _members(self, text: Text) -> dict[str, str]:
        """Of an expression that stands for names and their values."""
        value = self.value(text)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error(text, f"this must come to an object, not {kind_of(value)}")
        return {name: expressions.to_text(member) for name, member in value.items()}

    def boolean(self, text: Text | None, default: bool = False) -> bool:
        """The value, which must be true or false."""
        if text is None:
            return default
        value = self.value(text)
        if not isinstance(value, bool):
            raise self.error(text, f"this must come to true or false, not {kind_of(value)}")
        return value

    def number(self, text: Text) -> float:
        """The value, which must be a number above 0 (a text that spells one will do)."""
        value = self.value(text)
        if isinstance(value, str):
            value = expressions.to_number(value) if value.strip() else math.nan
        if value is None or isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(text, f"this must come to a number, not {kind_of(value)}")
        if not 0 < value < math.inf:
            raise self.error(text, f"this must come to a number above 0, not {expressions.to_text(value)}")
        return float(value)

    def holds(self, condition: Text | None, status: Status) -> bool:
        """Whether an `if` holds; without one, whether all before it succeeded."""
        if condition is None:
            return status.success
        try:
            return expressions.condition(condition.text, self.contexts, status, hash_files=self._hash_files)
        except ExpressionError as error:
            raise self.error(condition, error.message, error.position) from None

    def error(self, text: Text, message: str, offset: int = 0) -> WorkflowError:
        """A problem at a text, for the caller to raise."""
        return WorkflowError(self.file, *text.node.place(offset), message)
