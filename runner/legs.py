"""From jobs of a workflow to jobs of a plan: legs of matrices, jobs of called workflows, labels and limits made plain.

What depends on results of other jobs is planned when these are there: until then one job stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from clockmesh.protocol import limits
from clockmesh.protocol.ids import EXPAND, JobKey
from clockmesh.protocol.plan import PlannedJob
from clockmesh.runner import expressions
from clockmesh.runner.contexts import leg_contexts
from clockmesh.runner.eligibility import EXTERNAL, is_external
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import Value
from clockmesh.runner.labels import peer_labels
from clockmesh.runner.levels import Level, enter, legs_of, needs_of
from clockmesh.runner.matrix import Leg, leg_json, leg_title
from clockmesh.runner.model import Job, Text
from clockmesh.runner.reader import Scalar, scalars_in
from clockmesh.runner.spec import NeedResult

DEFAULT_TIMEOUT_MINUTES = 360.0
"""GitHub's own."""

_LONGEST_TITLE = 200
"""Characters of a leg's values in its key, which people read in tables."""


@dataclass(slots=True)
class Budget:
    """How many more jobs a plan may have."""

    left: int = limits.MAX_JOBS_PER_PLAN

    def spend(self, level: Level, job: Job) -> None:
        self.left -= 1
        if self.left < 0:
            message = f"the workflow comes to more than {limits.MAX_JOBS_PER_PLAN} jobs; split it"
            raise WorkflowError(level.workflow.file, job.line, job.column, message)


def plan_jobs(level: Level, jobs: Collection[Job], budget: Budget) -> list[PlannedJob]:
    """These jobs and all of the workflows that they call, in order; whatever one needs is among them."""
    finished = []
    for job in jobs:
        needs = tuple(level.prefix + name for name in job.needs)
        finished += [each if each.needs else replace(each, needs=needs) for each in _plan_or_wait(level, job, budget)]
    return finished


def expanded(level: Level, job: Job, ended: Mapping[str, NeedResult]) -> list[PlannedJob]:
    """What a job comes to, now that all it needs has ended."""
    return _plan(level, job, ended, Budget())


def is_late(job: Job) -> bool:
    """Whether what must be planned of a job depends on results of other jobs."""
    call = [text for _, text in job.call.arguments] if job.call else []
    strategy = (job.strategy.fail_fast, job.strategy.max_parallel)
    texts = (job.continue_on_error, job.timeout_minutes, *strategy, *job.runs_on, *call)
    scalars = [text.node for text in texts if text is not None]
    return any(_names_needs(scalar) for scalar in (*scalars, *scalars_in(job.strategy.matrix)))


def _names_needs(scalar: Scalar) -> bool:
    if not isinstance(scalar.value, str) or "${{" not in scalar.value:
        return False
    return any(
        span.is_expression and "needs" in expressions.contexts_in(span.text)
        for span in expressions.split(scalar.value)
    )


def _plan_or_wait(level: Level, job: Job, budget: Budget) -> list[PlannedJob]:
    if not is_late(job):
        return _plan(level, job, {}, budget)
    budget.spend(level, job)
    return [PlannedJob(JobKey(f"{EXPAND}{level.title}{job.id}"), level.prefix + job.id)]


def _plan(level: Level, job: Job, ended: Mapping[str, NeedResult], budget: Budget) -> list[PlannedJob]:
    contexts = {**level.contexts, "needs": needs_of(level, job, ended)}
    before = Scope(level.workflow.file, contexts)
    base = PlannedJob(JobKey(""), level.prefix + job.id, max_parallel=_max_parallel(before, job))
    legs = legs_of(level, job, ended)
    if job.strategy.matrix is not None:
        base = replace(base, fail_fast=before.boolean(job.strategy.fail_fast, True))
    seen: set[str] = set()
    finished = []
    for index, leg in enumerate(legs):
        key = _key(job, leg, seen)
        if job.call is not None:
            inner = enter(level, job, legs, index, ended, key)
            finished += plan_jobs(inner, inner.workflow.jobs, budget)
            continue
        budget.spend(level, job)
        planned = replace(base, key=JobKey(level.title + key), matrix=_values(level, job, leg))
        finished.append(_finished(level, contexts | leg_contexts(planned, leg, index, len(legs)), job, planned))
    return finished


def _max_parallel(scope: Scope, job: Job) -> int:
    text = job.strategy.max_parallel
    if text is None:
        return 0
    number = scope.number(text)
    if not number.is_integer():
        raise scope.error(text, "`max-parallel` must be a whole number")
    return min(int(number), limits.MAX_JOBS_PER_PLAN)


def _key(job: Job, leg: Leg | None, seen: set[str]) -> str:
    """The name of one leg: no two have one."""
    title = leg_title(leg) if leg is not None else ""
    title = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 3] + "..."
    key = stem = f"{job.id} ({printable(title)})" if title else job.id
    number = 1
    while key in seen:
        number += 1
        key = f"{stem} #{number}"
    seen.add(key)
    return key


def _values(level: Level, job: Job, leg: Leg | None) -> str:
    values = leg_json(leg) if leg is not None else ""
    if len(values) > limits.MAX_MATRIX:
        message = f"the values of one job of the matrix have more than {limits.MAX_MATRIX} characters"
        raise WorkflowError(level.workflow.file, job.line, job.column, message)
    return values


def printable(text: str) -> str:
    """In one line, as long as a title may be."""
    flat = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return flat[: limits.MAX_TITLE]


def _finished(level: Level, contexts: Mapping[str, Value], job: Job, leg: PlannedJob) -> PlannedJob:
    """The leg with what may depend on its values: labels, timeout, continue-on-error."""
    scope = Scope(level.workflow.file, contexts)
    minutes = _minutes(scope, job.timeout_minutes)
    return replace(
        leg,
        labels=_peer_labels(level, job, scope),
        continue_on_error=scope.boolean(job.continue_on_error),
        timeout_s=min(math.ceil(minutes * 60), limits.MAX_TIMEOUT_S),
    )


def _peer_labels(level: Level, job: Job, scope: Scope) -> tuple[str, ...]:
    if not is_external(level.workflow, job):
        return peer_labels(job, scope)
    if job.condition is not None:
        message = f"`if` of a job with the label `{EXTERNAL}` is not supported: the program that executes it decides"
        raise scope.error(job.condition, f"{message}; remove it")
    return tuple(dict.fromkeys((*peer_labels(job, scope), EXTERNAL)))


def _minutes(scope: Scope, text: Text | None) -> float:
    return scope.number(text) if text else DEFAULT_TIMEOUT_MINUTES
