"""From a workflow to the plan of a run: what the submitter decides, once, for all peers.

Matrices are expanded here, labels and limits made plain. A job with an `if` is always in the plan: whoever runs it
evaluates the condition.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Collection, Mapping
from dataclasses import replace

from clockmesh.protocol import limits
from clockmesh.protocol.codec import encode_plan
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.ids import RESOLVE, BlobHash, JobKey
from clockmesh.protocol.plan import Plan, PlannedJob, Remote, Snapshot
from clockmesh.runner.contexts import leg_contexts, plan_contexts
from clockmesh.runner.eligibility import named_jobs, selected_jobs
from clockmesh.runner.errors import InputError, WorkflowError, quoted
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import Value
from clockmesh.runner.inputs import complete_inputs
from clockmesh.runner.labels import peer_labels
from clockmesh.runner.matrix import Leg, expand, leg_json, leg_title
from clockmesh.runner.model import Job, Workflow
from clockmesh.runner.model_sheet import meant
from clockmesh.runner.model_uses import is_checkout
from clockmesh.runner.model_workflow import read_workflow
from clockmesh.runner.spec import NOTHING_GIVEN, Given

__all__ = ["make_plan", "read_workflow", "resolve_plan", "uses_checkout"]

DEFAULT_TIMEOUT_MINUTES = 360.0
"""GitHub's own."""

_RESOLVE_S = 900
"""For fetching one commit from a remote, however slow."""

_LONGEST_TITLE = 200
"""Characters of a leg's values in its key, which people read in tables."""


def make_plan(
    workflow: Workflow,
    *,
    path: str,
    workflow_blob: BlobHash,
    source: Snapshot | Remote,
    inputs: Mapping[str, str],
    force: bool,
    event: str | None = None,
    only: Collection[str] | None = None,
    given: Given = NOTHING_GIVEN,
) -> Plan:
    """The plan of a run of this workflow. With `only`, of these jobs and of what they need, whatever carries a tag.

    Raises InputError for inputs that it does not take, WorkflowError where nothing is tagged (unless forced) or where
    a value that is needed now cannot be computed.
    """
    jobs = selected_jobs(workflow, force=force) if only is None else named_jobs(workflow, only)
    chosen = _event(workflow, event)
    plan = Plan(
        name=_title(workflow.name) or posixpath.splitext(posixpath.basename(path))[0],
        path=path,
        workflow=workflow_blob,
        source=source,
        event=chosen,
        jobs=(),
        inputs=complete_inputs(workflow, inputs, chosen),
        force=force,
    )
    contexts = plan_contexts(workflow, plan, given)
    planned: list[PlannedJob] = []
    for job in jobs:
        planned.extend(_legs(workflow, contexts, job))
        if len(planned) > limits.MAX_JOBS_PER_PLAN:
            message = f"the workflow comes to more than {limits.MAX_JOBS_PER_PLAN} jobs; split it"
            raise WorkflowError(workflow.file, job.line, job.column, message)
    plan = replace(plan, jobs=tuple(planned))
    _check_size(workflow, plan)
    return plan


def resolve_plan(
    url: str, ref: str, path: str, inputs: Mapping[str, str], force: bool, event: str = "workflow_dispatch"
) -> Plan:
    """The plan of a run whose workflow lies in a repository: one step, on any peer, finds it and plans the rest.

    `event` is kept where it is `schedule`; any other gives way to what the workflow there is triggered by.
    """
    return Plan(
        name=posixpath.splitext(posixpath.basename(path))[0],
        path=path,
        workflow=None,
        source=Remote(url, ref),
        event=event,
        jobs=(PlannedJob(RESOLVE, RESOLVE, timeout_s=_RESOLVE_S),),
        inputs=tuple(sorted(inputs.items())),
        force=force,
    )


def uses_checkout(workflow: Workflow, plan: Plan) -> bool:
    """Whether a job of the plan checks out the repository, so that the run needs a source."""
    return any(is_checkout(step) for job in plan.jobs for step in workflow.job(job.job_id).steps)


def _title(name: str) -> str:
    flat = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    return flat[: limits.MAX_TITLE]


def _event(workflow: Workflow, asked: str | None) -> str:
    events = workflow.triggers.events
    if asked is not None:
        if asked not in events:
            raise InputError(f"{workflow.file} is not triggered by '{quoted(asked)}'; {meant(asked, events)}")
        return asked
    return next((event for event in ("workflow_dispatch", "push", "schedule") if event in events), events[0])


def _legs(workflow: Workflow, contexts: dict[str, Value], job: Job) -> list[PlannedJob]:
    """The job, or the legs of its matrix."""
    before = Scope(workflow.file, contexts)
    base = PlannedJob(
        key=JobKey(job.id), job_id=job.id, needs=job.needs, max_parallel=_max_parallel(before, job)
    )
    if job.strategy.matrix is None:
        return [_finished(workflow, contexts | leg_contexts(base, None, 0, 1), job, base)]
    base = replace(base, fail_fast=before.boolean(job.strategy.fail_fast, True))
    legs = expand(job.strategy.matrix, before)
    seen: set[str] = set()
    finished = []
    for index, leg in enumerate(legs):
        planned = _leg(workflow, job, base, leg, seen)
        values = contexts | leg_contexts(planned, leg, index, len(legs))
        finished.append(_finished(workflow, values, job, planned))
    return finished


def _max_parallel(scope: Scope, job: Job) -> int:
    text = job.strategy.max_parallel
    if text is None:
        return 0
    number = scope.number(text)
    if not number.is_integer():
        raise scope.error(text, "`max-parallel` must be a whole number")
    return min(int(number), limits.MAX_JOBS_PER_PLAN)


def _leg(workflow: Workflow, job: Job, base: PlannedJob, leg: Leg, seen: set[str]) -> PlannedJob:
    title = leg_title(leg)
    title = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 3] + "..."
    key = stem = f"{job.id} ({_title(title)})" if title else job.id
    number = 1
    while key in seen:
        number += 1
        key = f"{stem} #{number}"
    seen.add(key)
    values = leg_json(leg)
    if len(values) > limits.MAX_MATRIX:
        message = f"the values of one job of the matrix have more than {limits.MAX_MATRIX} characters"
        raise WorkflowError(workflow.file, job.line, job.column, message)
    return replace(base, key=JobKey(key), matrix=values)


def _finished(workflow: Workflow, contexts: Mapping[str, Value], job: Job, leg: PlannedJob) -> PlannedJob:
    """The leg with what may depend on its values: labels, timeout, continue-on-error."""
    scope = Scope(workflow.file, contexts)
    minutes = scope.number(job.timeout_minutes) if job.timeout_minutes else DEFAULT_TIMEOUT_MINUTES
    return replace(
        leg,
        labels=peer_labels(job, scope),
        continue_on_error=scope.boolean(job.continue_on_error),
        timeout_s=min(math.ceil(minutes * 60), limits.MAX_TIMEOUT_S),
    )


def _check_size(workflow: Workflow, plan: Plan) -> None:
    try:
        encode_plan(plan)
    except LocalError as error:
        raise WorkflowError(workflow.file, 1, 1, f"the run cannot be described to other peers: {error}") from None
