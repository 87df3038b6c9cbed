"""A workflow as data: what `read_workflow` found in a file, places kept wherever a value is only known later.

A `Text` may hold `${{ }}`; whoever evaluates it reports errors at its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from clockmesh.runner.reader import Node, Scalar


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar of the file that is a text, a number or a boolean, possibly with expressions in it."""

    node: Scalar

    @property
    def text(self) -> str:
        return self.node.text

    @property
    def line(self) -> int:
        return self.node.line

    @property
    def column(self) -> int:
        return self.node.column

    @property
    def has_expression(self) -> bool:
        return isinstance(self.node.value, str) and "${{" in self.node.value


Named = tuple[tuple[str, Text], ...]
"""Names and values in the file's order: `env`, `outputs`, `with`."""


class InputType(StrEnum):
    STRING = "string"
    BOOLEAN = "boolean"
    NUMBER = "number"
    CHOICE = "choice"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class DispatchInput:
    """One input of `on.workflow_dispatch`."""

    name: str
    type: InputType = InputType.STRING
    description: str = ""
    required: bool = False
    default: str | None = None
    """As text; None without a default."""
    options: tuple[str, ...] = ()
    """Of a choice."""


@dataclass(frozen=True, slots=True)
class CallInput:
    """One input of `on.workflow_call`: a boolean, a number or a string."""

    name: str
    type: InputType
    required: bool = False
    default: Text | None = None


@dataclass(frozen=True, slots=True)
class CallSecret:
    name: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Callable:
    """`on.workflow_call`: how other workflows may call this one."""

    inputs: tuple[CallInput, ...] = ()
    outputs: Named = ()
    secrets: tuple[CallSecret, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """One entry of `on.schedule`."""

    cron: str
    timezone: str = ""
    line: int = field(default=1, compare=False)
    column: int = field(default=1, compare=False)
    """Where it stands in the file."""


@dataclass(frozen=True, slots=True)
class Triggers:
    """`on`."""

    events: tuple[str, ...]
    """In the file's order."""
    inputs: tuple[DispatchInput, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    call: Callable | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """`defaults.run`."""

    shell: Text | None = None
    working_directory: Text | None = None


@dataclass(frozen=True, slots=True)
class Step:
    line: int
    column: int
    id: str
    """'' where the file gives none."""
    name: Text | None
    condition: Text | None
    """`if`."""
    run: Text | None
    """Exactly one of `run` and `uses` is there."""
    uses: Text | None
    arguments: Named
    """`with`."""
    env: Named
    shell: Text | None
    working_directory: Text | None
    continue_on_error: Text | None
    timeout_minutes: Text | None


@dataclass(frozen=True, slots=True)
class Strategy:
    matrix: Node | None = None
    """As in the file: a mapping, or a scalar with an expression."""
    fail_fast: Text | None = None
    max_parallel: Text | None = None


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Of a workflow or a job: one at a time in a group."""

    group: Text
    cancel_in_progress: Text | None = None
    queue_all: bool = False
    """`queue: max`: a newer one that waits takes no older one's place."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a job says that calls a workflow instead of having steps."""

    uses: Text
    arguments: Named
    """`with`."""
    secrets: Named
    inherits: bool
    """`secrets: inherit`."""
    workflow: Workflow | None = None
    """The called one; None where its file has not been read."""


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    line: int
    column: int
    """Of its key."""
    name: Text | None
    labels: tuple[str, ...]
    needs: tuple[str, ...]
    condition: Text | None
    runs_on: tuple[Text, ...]
    """Every label that a peer must have. One text that is an expression may come to a list."""
    strategy: Strategy
    env: Named
    defaults: Defaults
    outputs: Named
    continue_on_error: Text | None
    timeout_minutes: Text | None
    cancel_timeout_minutes: Text | None
    """For what still runs after a cancel."""
    steps: tuple[Step, ...]
    call: Call | None = None
    concurrency: Concurrency | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    file: str
    """As errors name it."""
    name: str
    """'' where the file gives none."""
    run_name: Text | None
    labels: tuple[str, ...]
    triggers: Triggers
    env: Named
    defaults: Defaults
    jobs: tuple[Job, ...]
    """In the file's order."""
    concurrency: Concurrency | None = None

    def job(self, job_id: str) -> Job:
        """The job of this id (KeyError for another); case does not matter, as in `needs`."""
        for job in self.jobs:
            if job.id.lower() == job_id.lower():
                return job
        raise KeyError(job_id)
