"""One run: its plan, its jobs, and what its submission and final results alone decide (DESIGN 5.14): which jobs are
ready, which are cancelled, and what the run came to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from clockmesh.coordinator.facts import JobFact
from clockmesh.coordinator.jobs import Electorate, JobState
from clockmesh.protocol.events import RunSubmitted
from clockmesh.protocol.ids import EXPAND, RESOLVE, JobKey, JobRef, NodeHash, PeerId, RunId, ScheduleId
from clockmesh.protocol.limits import MAX_JOBS_PER_PLAN
from clockmesh.protocol.plan import Plan, PlannedJob, Remote, enclosing
from clockmesh.protocol.result import Conclusion, Result

MAX_EXPANDED = 8 * MAX_JOBS_PER_PLAN
"""Jobs of one run with all that its results brought: what is above it does not count, on every peer alike."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The node that carries the submission; of several the lowest (height, hash) counts."""

    height: int
    node: NodeHash
    submitter: PeerId
    wall_ms: int = 0
    """When it was written, by the submitter's clock; 0 before."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a schedule's run is: which schedule, due when."""

    schedule: ScheduleId
    due_ms: int


@dataclass(slots=True)
class RunState:
    run: RunId
    submission: RunSubmitted
    electorate: Electorate
    carrier: Carrier
    provisional: bool
    """The carrying node is this peer's own and not built yet: its height is a guess."""
    plan: Plan
    """The submitted one, or the one found by the job RESOLVE; jobs that were expanded are replaced by what they came
    to."""
    planned: dict[JobKey, PlannedJob] = field(default_factory=dict)
    """The jobs of `plan`, in order."""
    index: dict[JobKey, int] = field(default_factory=dict)
    legs: dict[str, tuple[JobKey, ...]] = field(default_factory=dict)
    """By job id, in order: one key, or the legs of a matrix; of a job that calls a workflow, all jobs of it."""
    jobs: dict[JobKey, JobState] = field(default_factory=dict)
    """Every job that a fact or the plan names."""
    open: dict[JobKey, None] = field(default_factory=dict)
    """Planned jobs without a final result, in order."""
    cancel_asked: bool = False
    tick: Tick | None = None
    """None for a run that somebody asked for."""
    facts: dict[tuple[PeerId, JobFact], None] = field(default_factory=dict)
    """Of a tick all that was said, in order: its electorate may turn out to be another."""

    @property
    def lease(self) -> float:
        """L in seconds."""
        return self.submission.lease_ms / 1000


def new_run(
    run: RunId, submission: RunSubmitted, carrier: Carrier, provisional: bool, tick: Tick | None = None
) -> RunState:
    electorate = Electorate(frozenset(submission.electorate), submission.guard)
    state = RunState(run, submission, electorate, carrier, provisional, submission.plan, tick=tick)
    follow_plan(state)
    return state


def job_of(run: RunState, key: JobKey) -> JobState:
    """The job with this key, made when a fact or the plan names it first."""
    job = run.jobs.get(key)
    if job is None:
        job = run.jobs[key] = JobState(JobRef(run.run, key), run.electorate)
    return job


def follow_plan(run: RunState) -> None:
    """Take the jobs from the plan that stands now: the resolved one once RESOLVE has succeeded, with every job that was
    expanded replaced."""
    plan = plan_before_results(run)
    jobs = _expanded(run, plan.jobs)
    run.plan = plan if jobs == plan.jobs else replace(plan, jobs=jobs)
    run.planned = {job.key: job for job in run.plan.jobs}
    run.index = {key: number for number, key in enumerate(run.planned)}
    legs: dict[str, list[JobKey]] = {}
    for key, job in run.planned.items():
        for job_id in enclosing(job.job_id):
            legs.setdefault(job_id, []).append(key)
        job_of(run, key)
    run.legs = {job_id: tuple(keys) for job_id, keys in legs.items()}
    run.open = {key: None for key in run.planned if run.jobs[key].final is None}


def plan_before_results(run: RunState) -> Plan:
    """The submitted plan, or what a remote's was found to be: with no job expanded, since that hangs on results."""
    found = _resolution(run)
    return found.resolved if found and found.resolved else run.submission.plan


def expands(key: JobKey) -> bool:
    """Whether a job stands for others."""
    return key.startswith(EXPAND)


def _expanded(run: RunState, jobs: tuple[PlannedJob, ...]) -> tuple[PlannedJob, ...]:
    """The jobs with each that was expanded replaced by what it came to, and those of these likewise. Only jobs of its
    own may take its place."""
    made: list[PlannedJob] = []
    waiting = list(reversed(jobs))
    taken = {job.key for job in jobs}
    while waiting and len(made) < MAX_EXPANDED:
        job = waiting.pop()
        brought = _brought(run, job)
        if brought is None:
            made.append(job)
            continue
        fresh = [each for each in brought if each.key not in taken and job.job_id in enclosing(each.job_id)]
        taken.update(each.key for each in fresh)
        waiting.extend(reversed(fresh))
    return tuple(made)


def _brought(run: RunState, job: PlannedJob) -> tuple[PlannedJob, ...] | None:
    """What takes the place of a job; None where it stays."""
    result = result_of(run, job.key) if expands(job.key) else None
    if result is None or result.conclusion is not Conclusion.SUCCESS or result.resolved is None:
        return None
    return result.resolved.jobs


def needs_resolving(run: RunState) -> bool:
    source = run.submission.plan.source
    return isinstance(source, Remote) and RESOLVE in {job.key for job in run.submission.plan.jobs}


def _resolution(run: RunState) -> Result | None:
    """The final result of the job RESOLVE, if it succeeded."""
    job = run.jobs.get(RESOLVE)
    final = job.final if job and needs_resolving(run) else None
    return final.result if final and final.result.conclusion is Conclusion.SUCCESS else None


def result_of(run: RunState, key: JobKey) -> Result | None:
    job = run.jobs.get(key)
    return job.final.result if job and job.final else None


def ready(run: RunState, key: JobKey) -> bool:
    """All it needs is final, and of its matrix fewer than max_parallel before it are not."""
    return not any(True for _ in waits_for(run, key)) and not held_back(run, key)


def waits_for(run: RunState, key: JobKey) -> Iterator[JobKey]:
    """Jobs needed by this one that have no final result."""
    for job_id in run.planned[key].needs:
        yield from (leg for leg in run.legs.get(job_id, ()) if leg in run.open)


def held_back(run: RunState, key: JobKey) -> bool:
    """As many legs before it as may run in parallel lack a final result."""
    job = run.planned[key]
    if job.max_parallel <= 0:
        return False
    before = (leg for leg in run.legs[job.job_id] if run.index[leg] < run.index[key])
    return sum(1 for leg in before if leg in run.open) >= job.max_parallel


def touched_by_final(run: RunState, key: JobKey) -> list[JobKey]:
    """Open jobs for which a change of this job's final result may matter."""
    job = run.planned.get(key)
    if job is None:
        return list(run.open)
    siblings = run.legs[job.job_id] if job.max_parallel or job.fail_fast else ()
    names = frozenset(enclosing(job.job_id))
    return [other for other in run.open if other in siblings or names.intersection(run.planned[other].needs)]


def failed(run: RunState, key: JobKey) -> bool:
    """Its final result is a failure that counts."""
    result = result_of(run, key)
    return result is not None and result.conclusion is Conclusion.FAILURE and not run.planned[key].continue_on_error


def cancelled(run: RunState, key: JobKey) -> bool:
    """A person asked for it, or another leg of its matrix failed and the others are not to go on."""
    job = run.planned.get(key)
    if run.cancel_asked or job is None or not job.fail_fast:
        return run.cancel_asked
    return any(failed(run, leg) for leg in run.legs[job.job_id] if leg != key)


def over(run: RunState) -> bool:
    """Every job has its final result."""
    return not run.open


def aggregate(run: RunState, job_id: str) -> Conclusion | None:
    """What a job id came to over all its legs, as `needs` sees it; None while one is open."""
    legs = run.legs.get(job_id, ())
    if any(leg in run.open for leg in legs):
        return None
    return _together(run, legs)


def conclusion(run: RunState) -> Conclusion | None:
    """What the run came to; None while a job is open."""
    return _together(run, tuple(run.planned)) if over(run) else None


def _together(run: RunState, keys: tuple[JobKey, ...]) -> Conclusion:
    seen = set()
    for key in keys:
        result = result_of(run, key)
        if result is not None:
            forgiven = result.conclusion is Conclusion.FAILURE and run.planned[key].continue_on_error
            seen.add(Conclusion.SUCCESS if forgiven else result.conclusion)
    for worst in (Conclusion.FAILURE, Conclusion.CANCELLED, Conclusion.SUCCESS):
        if worst in seen:
            return worst
    return Conclusion.SKIPPED if seen else Conclusion.SUCCESS
