"""What the steps of a job share, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from clockmesh.runner.annotations import Annotations
from clockmesh.runner.artifacts import Artifacts
from clockmesh.runner.command_files import Summaries
from clockmesh.runner.environment import Places
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.expressions import HashFiles, Value
from clockmesh.runner.logfile import JobLog
from clockmesh.runner.model import Defaults, Step, Text
from clockmesh.runner.process import Ended, Processes
from clockmesh.runner.reader import Scalar
from clockmesh.runner.spec import JobSpec

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun


class StepFailed(RunnerError):
    """The step's own failure; `str()` is for `Result.error`, and for the log unless that has it already."""

    def __init__(self, reason: str, *, told: bool = False) -> None:
        self.told = told
        super().__init__(reason)


Work = Callable[["StepRun", dict[str, str]], Ended]
"""What a step does, given its environment's own part. RunnerError when it fails."""


@dataclass(slots=True)
class JobState:
    """What a job, or the steps of one composite action, have come to so far."""

    env: dict[str, str]
    """Of the workflow, of the job, and what GITHUB_ENV added."""
    paths: list[str] = field(default_factory=list)
    failed: bool = False
    error: str = ""
    """Of the first step that failed the job."""
    outer: JobState | None = None
    """Of the steps of an action: that of the step which uses it. `env` and `paths` are one for all."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all steps of a job share."""

    spec: JobSpec
    mark: str
    file: str
    contexts: dict[str, Value]
    """`job`, `steps` and `env` change while the steps run."""
    defaults: tuple[Defaults, ...]
    """The nearest first."""
    places: Places
    processes: Processes
    log: JobLog
    hash_files: HashFiles
    annotations: Annotations
    summaries: Summaries
    artifacts: Artifacts = field(default_factory=lambda: Artifacts(None, {}))
    posts: list[Post] = field(default_factory=list)
    """What is to be done when all steps have ended, the last first."""
    level: int = 0
    """How many actions these steps lie within."""
    within: str = ""
    """Name of the job's own step that these belong to: their lines in the log bear it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of the steps that use the actions around these."""
    until: float = float("inf")
    """Monotonic seconds: when those have timed out."""
    survives_cancel: Callable[[], bool] = lambda: True
    """Whether those go on in a cancelled job."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a step of an action left to do."""

    around: Surroundings
    step: Step
    work: Work


def post_step(step: Step, name: str, condition: Text | None) -> Step:
    """The step that stands for the post part of `step`."""
    return replace(step, id="", name=constant(step, f"Post {name}"), condition=condition or constant(step, "always()"),
                   timeout_minutes=None)  # fmt: skip


def constant(step: Step, text: str) -> Text:
    """A text of ours, at the place of a step."""
    return Text(Scalar(step.line, step.column, text, text))
