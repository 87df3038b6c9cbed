"""From a workflow to the plan of a run: what the submitter decides, once, for all peers.

Matrices are expanded here, labels and limits made plain. A job with an `if` is always in the plan: whoever runs it
evaluates the condition.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from clockmesh.protocol.codec import encode_plan
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.ids import RESOLVE, BlobHash
from clockmesh.protocol.plan import Plan, PlannedJob, Remote, Snapshot
from clockmesh.runner.bundle import read_workflow
from clockmesh.runner.eligibility import named_jobs, selected_jobs
from clockmesh.runner.errors import InputError, WorkflowError, quoted
from clockmesh.runner.inputs import complete_inputs
from clockmesh.runner.legs import Budget, plan_jobs, printable
from clockmesh.runner.levels import top_level
from clockmesh.runner.model import Job, Workflow
from clockmesh.runner.model_sheet import meant
from clockmesh.runner.model_uses import is_checkout, uses_artifacts
from clockmesh.runner.spec import NOTHING_GIVEN, Given

__all__ = ["make_plan", "read_workflow", "resolve_plan", "uses_checkout"]

_RESOLVE_S = 900
"""For fetching one commit from a remote, however slow."""


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
    alone: bool = False,
) -> Plan:
    """The plan of a run of this workflow. With `only`, of these jobs and of what they need, whatever carries a tag;
    `alone` says that it runs on this machine alone, where concurrency groups are held and artifacts kept.

    Raises InputError for inputs that it does not take, WorkflowError where nothing is tagged (unless forced) or where
    a value that is needed now cannot be computed.
    """
    jobs = selected_jobs(workflow, force=force) if only is None else named_jobs(workflow, only)
    _refuse_groups(workflow, jobs, held=alone)
    if not alone:
        _refuse_artifacts(workflow, jobs)
    chosen = _event(workflow, event)
    plan = Plan(
        name=printable(workflow.name) or posixpath.splitext(posixpath.basename(path))[0],
        path=path,
        workflow=workflow_blob,
        source=source,
        event=chosen,
        jobs=(),
        inputs=complete_inputs(workflow, inputs, chosen),
        force=force,
    )
    planned = plan_jobs(top_level(workflow, plan, given), jobs, Budget())
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


def _refuse_artifacts(workflow: Workflow, jobs: Collection[Job]) -> None:
    for step in (step for job in _all_jobs(jobs, set()) for step in job.steps):
        if step.uses is not None and uses_artifacts(step):
            message = f"`{step.uses.text}` is not supported yet on a mesh; run this here: clockmesh run local"
            raise WorkflowError(workflow.file, step.uses.line, step.uses.column, message)


def _refuse_groups(workflow: Workflow, jobs: Collection[Job], *, held: bool) -> None:
    """Refuses the concurrency groups that would not be held."""
    every = list(_all_jobs(jobs, set()))
    calls = [job for job in every if job.call]
    of_calls = [job.concurrency for job in calls]
    of_calls += [job.call.workflow.concurrency for job in calls if job.call and job.call.workflow]
    message = "`concurrency` of a called workflow, or of a job that calls one, is not supported yet; remove it"
    if not held:
        of_calls += [workflow.concurrency, *(job.concurrency for job in every)]
        message = "`concurrency` is not supported yet on a mesh; remove it, or run this here: clockmesh run local"
    for each in of_calls:
        if each is not None:
            raise WorkflowError(workflow.file, each.group.line, each.group.column, message)


def uses_checkout(workflow: Workflow, plan: Plan) -> bool:
    """Whether a job of the plan checks out the repository, so that the run needs a source."""
    ids = {re.split(r"[\[/]", job.job_id)[0] for job in plan.jobs}
    jobs = [job for job in workflow.jobs if job.id in ids]
    return any(is_checkout(step) for job in _all_jobs(jobs, set()) for step in job.steps)


def _all_jobs(jobs: Collection[Job], seen: set[str]) -> Iterator[Job]:
    """These, and those of the workflows that they call, of each workflow once."""
    for job in jobs:
        yield job
        called = job.call.workflow if job.call else None
        if called is not None and called.file not in seen:
            seen.add(called.file)
            yield from _all_jobs(called.jobs, seen)


def _event(workflow: Workflow, asked: str | None) -> str:
    events = workflow.triggers.events
    if asked is not None:
        if asked not in events:
            raise InputError(f"{workflow.file} is not triggered by '{quoted(asked)}'; {meant(asked, events)}")
        return asked
    return next((event for event in ("workflow_dispatch", "push", "schedule") if event in events), events[0])


def _check_size(workflow: Workflow, plan: Plan) -> None:
    try:
        encode_plan(plan)
    except LocalError as error:
        raise WorkflowError(workflow.file, 1, 1, f"the run cannot be described to other peers: {error}") from None
