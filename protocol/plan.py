"""The plan of a run as data: what the submitter read out of the workflow, so that no other peer must parse it.

A plan names its jobs with static matrices already expanded. The coordinator needs nothing else of a workflow; the
peer that executes a job reads the workflow's own bytes (the blob `workflow`) again for its steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from clockmesh.protocol.ids import BlobHash, JobKey


class Guard(StrEnum):
    """How a job is guarded against two starts: by votes of a majority, or by each claimant alone."""

    QUORUM = "quorum"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job, or one leg of a matrix."""

    key: JobKey
    job_id: str
    """The job's name in the workflow and in other jobs' `needs`; all legs of a matrix share it. In a workflow that the
    job `call` calls it is `call/name`, and `call[2]/name` where the third leg of that calls it."""
    needs: tuple[str, ...] = ()
    """Job ids; that of a job that calls a workflow stands for all jobs in it."""
    labels: tuple[str, ...] = ()
    """What a peer must offer, lower case; `ubuntu-latest` is already ('linux', 'x64'), `self-hosted` is ()."""
    matrix: str = ""
    """This leg's values as canonical JSON (sorted keys, no spaces); '' without a matrix."""
    max_parallel: int = 0
    """Of the legs of this job_id; 0: no limit."""
    fail_fast: bool = False
    """True for the legs of a matrix unless the workflow says otherwise."""
    continue_on_error: bool = False
    timeout_s: int = 21_600


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The submitter's work tree, as a blob. Without a blob the workflow needs no source."""

    blob: BlobHash | None = None
    size: int = 0
    sha: str = ""
    """Commit id, 40 hexadecimal digits; '' outside git."""
    ref: str = ""
    """`refs/heads/main`, or ''."""
    origin: str = ""
    """The URL of the remote `origin`, or ''."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A git repository that the executing peer can reach."""

    url: str
    ref: str = ""
    """As asked for (`main`, `refs/heads/main`, a tag); '' is the default branch. Full form once resolved."""
    sha: str = ""
    """'' until the run's first holder has resolved it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that peers must agree on about a run's work."""

    name: str
    """The workflow's name, or its file's stem."""
    path: str
    """The workflow's path in its repository (`.github/workflows/scrape.yml`), or its file name."""
    workflow: BlobHash | None
    """The workflow's bytes; None for a remote that is not resolved yet."""
    source: Snapshot | Remote
    event: str
    """`workflow_dispatch`, `push` or `schedule`."""
    jobs: tuple[PlannedJob, ...]
    """In the workflow's order; a remote that is not resolved yet has the one job `ids.RESOLVE`."""
    inputs: tuple[tuple[str, str], ...] = ()
    """Dispatch inputs as text, sorted by name; with defaults filled in once the workflow has been read."""
    force: bool = False
    """Run it although it carries no tag."""


def enclosing(job_id: str) -> Iterator[str]:
    """A job id and those of the jobs that call the workflow it is in: `a[1]/b` is in the leg `a[1]` of `a`."""
    yield job_id
    while (cut := max(job_id.rfind("/"), job_id.rfind("["))) > 0:
        job_id = job_id[:cut]
        yield job_id


def dependencies(jobs: Iterable[PlannedJob]) -> dict[str, set[str]]:
    """By job id what must have ended before: all that it needs; of a job that calls a workflow, the jobs in it."""
    found: dict[str, set[str]] = {}
    for job in jobs:
        found.setdefault(job.job_id, set()).update(job.needs)
        for inner, outer in pairwise(enclosing(job.job_id)):
            found.setdefault(outer, set()).add(inner)
    return found
