"""What there is to see of runs and jobs: pure reading, for the surface and for the runner's specification.

Everything but `explain` comes out of the clock alone, so it reads the same on every peer with the same nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from clockmesh.coordinator import jobs, runs
from clockmesh.coordinator.explain import explain
from clockmesh.coordinator.jobs import Final, JobState
from clockmesh.coordinator.runs import RunState
from clockmesh.protocol.ids import BlobHash, JobKey, JobRef, PeerId, RunId
from clockmesh.protocol.plan import Guard, Plan
from clockmesh.protocol.reports import NO_REPORT, Report
from clockmesh.protocol.result import Conclusion

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

__all__ = ["JobView", "Need", "RunView", "Status", "cancel_wanted", "explain",
           "may_be_running", "needs_of", "plan_of", "run_view"]


class Status(StrEnum):
    PENDING = "pending"
    """Not ready, or not claimed."""
    ASSIGNED = "assigned"
    """Claimed, without a quorum's grants so far."""
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_AT_THE_END = {
    Conclusion.SUCCESS: Status.COMPLETED,
    Conclusion.SKIPPED: Status.COMPLETED,
    Conclusion.FAILURE: Status.FAILED,
    Conclusion.CANCELLED: Status.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class JobView:
    key: JobKey
    status: Status
    conclusion: Conclusion | None
    peer: PeerId | None
    """Who runs it or has claimed it; at the end, who ran it."""
    attempt: int
    """0 before the first claim."""
    outputs: dict[str, str]
    error: str
    log: BlobHash | None
    log_peer: PeerId | None
    """Who stored the log first."""
    started_ms: int = 0
    finished_ms: int = 0
    duplicates: int = 0
    """Other finals under a lease: the job ran to its end this many times more."""
    report: Report = NO_REPORT


@dataclass(frozen=True, slots=True)
class RunView:
    run: RunId
    name: str
    path: str
    status: Status
    conclusion: Conclusion | None
    priority: float
    submitted_by: PeerId
    submitted_ms: int
    """Wall time of the submitter; 0 before its node is written."""
    guard: Guard
    error: str
    """Why the run failed before it had jobs; '' otherwise."""
    cancel_asked: bool
    jobs: tuple[JobView, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """A job id that another one needs: what it came to, all legs of a matrix together."""

    result: Conclusion
    outputs: dict[str, str]


def run_view(machine: Machine, run_id: RunId) -> RunView:
    """KeyError for a run that is not known."""
    run = machine.state.runs[run_id]
    seen = tuple(_job_view(run, key) for key in run.planned)
    conclusion = runs.conclusion(run)
    return RunView(
        run=run_id,
        name=run.plan.name,
        path=run.plan.path,
        status=_AT_THE_END[conclusion] if conclusion else _run_status(seen),
        conclusion=conclusion,
        priority=run.submission.priority,
        submitted_by=run.carrier.submitter,
        submitted_ms=run.carrier.wall_ms,
        guard=run.submission.guard,
        error=_run_error(run, seen, conclusion),
        cancel_asked=run.cancel_asked,
        jobs=seen,
    )


def _run_status(seen: tuple[JobView, ...]) -> Status:
    statuses = {job.status for job in seen}
    if statuses <= {Status.PENDING}:
        return Status.PENDING
    return Status.ASSIGNED if statuses <= {Status.PENDING, Status.ASSIGNED} else Status.IN_PROGRESS


def _run_error(run: RunState, seen: tuple[JobView, ...], conclusion: Conclusion | None) -> str:
    if conclusion is not Conclusion.FAILURE or not runs.needs_resolving(run) or run.plan is not run.submission.plan:
        return ""
    return next((job.error for job in seen if job.error), "")


def _job_view(run: RunState, key: JobKey) -> JobView:
    job = run.jobs[key]
    if job.final is not None:
        return _final_view(job, job.final)
    status, attempt, peer = _standing(job)
    return JobView(key, status, None, peer, attempt, {}, "", None, None)


def _final_view(job: JobState, final: Final) -> JobView:
    attempt, peer = jobs.executed(job) or (final.attempt, None)
    result = final.result
    return JobView(
        key=job.ref.key,
        status=_AT_THE_END[result.conclusion],
        conclusion=result.conclusion,
        peer=peer,
        attempt=attempt,
        outputs=dict(result.outputs),
        error=result.error,
        log=result.log,
        log_peer=peer if result.log is not None else None,
        started_ms=result.started_ms,
        finished_ms=result.finished_ms,
        duplicates=len(job.duplicates),
        report=NO_REPORT if peer is None else job.reports.get((attempt, peer), NO_REPORT),
    )


def _standing(job: JobState) -> tuple[Status, int, PeerId | None]:
    """Status, attempt and peer of a job without a final result: of the highest attempt that was held, whether its
    holder goes on or has proposed a result (of a lower one that died nobody may ever say so)."""
    held = [*jobs.holders(job), *(key for key, _ in jobs.valid_proposals(job))]
    if held:
        return Status.IN_PROGRESS, *max(held)
    claimed = jobs.open_claims(job)
    if claimed:
        best = max(claimed, key=lambda key: (len(job.grants.get(key, ())), key[0]))
        return Status.ASSIGNED, *best
    return Status.PENDING, max((attempt for attempt, _ in job.claims), default=0), None


def needs_of(machine: Machine, ref: JobRef) -> dict[str, Need]:
    """Every job id of the run whose legs are all final: what it came to, and its outputs. Of a matrix the later leg's
    output stands where it is not empty. A failure that `continue-on-error` forgives counts as success."""
    run = machine.state.runs[ref.run]
    found = {}
    for job_id, legs in run.legs.items():
        result = runs.aggregate(run, job_id)
        if result is not None:
            found[job_id] = Need(result, _outputs(run, legs))
    return found


def _outputs(run: RunState, legs: tuple[JobKey, ...]) -> dict[str, str]:
    outputs: dict[str, str] = {}
    for leg in legs:
        result = runs.result_of(run, leg)
        for name, value in result.outputs if result else ():
            if value or name not in outputs:
                outputs[name] = value
    return outputs


def cancel_wanted(machine: Machine, ref: JobRef) -> bool:
    """A person asked for the run's end, or another leg of this job's matrix failed and fail-fast holds."""
    return runs.cancelled(machine.state.runs[ref.run], ref.key)


def may_be_running(machine: Machine, run_id: RunId) -> list[PeerId]:
    """Who has claimed a job of the run and has not told its end: one that is not heard may have been granted it."""
    open_jobs = [job for job in machine.state.runs[run_id].jobs.values() if job.final is None]
    return sorted({peer for job in open_jobs for _, peer in jobs.open_claims(job)}, key=machine.name_of)


def plan_of(machine: Machine, run: RunId) -> Plan:
    """The plan found at the remote once that is final, else the submitted one."""
    return machine.state.runs[run].plan
