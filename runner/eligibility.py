"""Which workflows and jobs are meant for the mesh: those that carry a tag.

A tag counts as a whole word (letters, digits, `-` and `_` make words), in any letter case, in the workflow's name or
labels (then all its jobs run) or in a job's name or labels (then that job runs, and what it needs).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.model import Job, Workflow

TAGS = ("p2p-workflow", "offline-workflow")

EXTERNAL = "external"
"""The label of a workflow or job that a program of its owner executes; only peers where one is at work take it."""

_TAG = re.compile(rf"(?<![\w-])(?:{'|'.join(TAGS)})(?![\w-])", re.IGNORECASE)


def tags_in(texts: Iterable[str]) -> frozenset[str]:
    """The tags that stand in some texts, lower case."""
    return frozenset(match.lower() for text in texts for match in _TAG.findall(text))


def workflow_tags(workflow: Workflow) -> frozenset[str]:
    """Those of the workflow's own name and labels."""
    return tags_in((workflow.name, *workflow.labels))


def job_tags(job: Job) -> frozenset[str]:
    """Those of one job's name and labels."""
    return tags_in((job.name.text if job.name else "", *job.labels))


def is_external(workflow: Workflow, job: Job) -> bool:
    """Whether a program executes this job through the Python API, instead of the runner."""
    return EXTERNAL in (label.strip().lower() for label in (*workflow.labels, *job.labels))


def selected_jobs(workflow: Workflow, *, force: bool) -> tuple[Job, ...]:
    """The jobs to run, in the file's order. Raises WorkflowError, with the line to add, where nothing is tagged."""
    tagged = [job.id for job in workflow.jobs if job_tags(job)]
    if workflow_tags(workflow) or (force and not tagged):
        return workflow.jobs
    if not tagged:
        raise WorkflowError(
            workflow.file,
            1,
            1,
            f"the workflow carries no tag; add the line `labels: [{TAGS[0]}]` at the top, or submit it with --force",
        )
    return named_jobs(workflow, tagged)


def named_jobs(workflow: Workflow, names: Collection[str]) -> tuple[Job, ...]:
    """These jobs and what they need, in the file's order. KeyError for one that does not exist."""
    chosen = _with_needs(workflow, [workflow.job(name).id for name in names])
    return tuple(job for job in workflow.jobs if job.id in chosen)


def _with_needs(workflow: Workflow, wanted: list[str]) -> frozenset[str]:
    chosen: set[str] = set()
    while wanted:
        job = wanted.pop()
        if job not in chosen:
            chosen.add(job)
            wanted.extend(workflow.job(job).needs)
    return frozenset(chosen)
