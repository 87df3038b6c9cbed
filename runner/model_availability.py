"""Which contexts and functions an expression may use, by the key it stands at.

From GitHub's table "Context availability" (docs.github.com, contexts reference); a key that is not here takes no
expression at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from clockmesh.runner.expressions_parser import FILE_FUNCTIONS, STATUS_FUNCTIONS


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an expression may name, lower case."""

    contexts: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()


_RUN = frozenset({"github", "inputs", "vars"})
_NEEDS = _RUN | {"needs"}
_JOB = _NEEDS | {"strategy", "matrix"}
_RUNNING = _JOB | {"job", "runner", "env", "steps"}

CONSTANT = Allowed()
"""Expressions, but without any context: `shell` of a step and of the workflow's defaults."""

RUN_NAME = Allowed(_RUN)
CALL_DEFAULT = Allowed(_RUN)
CALL_WITH = Allowed(_JOB)
CALL_SECRET = Allowed(_JOB | {"secrets"})
CALL_OUTPUT = Allowed(_RUN | {"jobs"})
WORKFLOW_GROUP = Allowed(_RUN)
WORKFLOW_ENV = Allowed(_RUN | {"secrets"})
JOB_IF = Allowed(_NEEDS, STATUS_FUNCTIONS)
STRATEGY = Allowed(_NEEDS)
JOB = Allowed(_JOB)
"""name, runs-on, continue-on-error, timeout-minutes."""
JOB_ENV = Allowed(_JOB | {"secrets"})
JOB_DEFAULTS = Allowed(_JOB | {"env"})
JOB_OUTPUTS = Allowed(_RUNNING | {"secrets"})
STEP = Allowed(_RUNNING | {"secrets"}, FILE_FUNCTIONS)
STEP_IF = Allowed(_RUNNING, FILE_FUNCTIONS | STATUS_FUNCTIONS)

_IN_ACTION = frozenset({"github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env"})
STEP_OF_ACTION = Allowed(_IN_ACTION, FILE_FUNCTIONS)
"""Of a composite action: it sees neither secrets nor `needs` nor `vars`."""
STEP_OF_ACTION_IF = Allowed(_IN_ACTION, FILE_FUNCTIONS | STATUS_FUNCTIONS)
ACTION_INPUT = Allowed(frozenset({"github", "strategy", "matrix", "job", "runner"}), FILE_FUNCTIONS)
ACTION_OUTPUT = Allowed(_IN_ACTION)
ACTION_IF = Allowed(_IN_ACTION, FILE_FUNCTIONS | STATUS_FUNCTIONS)
"""`pre-if` and `post-if`."""
