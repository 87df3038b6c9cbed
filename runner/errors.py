"""What can be wrong with a workflow, its inputs or an expression: each error is one line that names a place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RunnerError(Exception):
    """What the runner refuses. `str()` is one line for people: what happened, to what, what to do."""


def quoted(text: str, most: int = 60) -> str:
    """A stranger's text as part of an error's one line: printable, at most so many characters."""
    flat = "".join(character if character.isprintable() else " " for character in text[: most + 1])
    return flat if len(flat) <= most else flat[: most - 3] + "..."


class InputError(RunnerError):
    """An input of the run is unknown, missing or of the wrong form; the line names it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a workflow file, at a 1-based line and column."""

    line: int
    column: int
    message: str


class WorkflowError(RunnerError):
    """The workflow file is refused. The first problem is the error's own, the later ones are `others`.

    `str()` is `file:line:column: message`.
    """

    def __init__(self, file: str, line: int, column: int, message: str, others: tuple[Problem, ...] = ()) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.message = message
        self.others = others
        super().__init__(f"{file}:{line}:{column}: {message}")


class Stage(StrEnum):
    """How far an expression came before it failed."""

    LEXING = "lexing"
    PARSING = "parsing"
    EVALUATION = "evaluation"


class ExpressionError(RunnerError):
    """An expression is malformed or cannot be evaluated; `position` is the 0-based offset of the symbol at fault."""

    def __init__(self, stage: Stage, message: str, position: int = 0) -> None:
        self.stage = stage
        self.message = message
        self.position = position
        super().__init__(message)
