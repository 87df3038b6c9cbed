"""The holder: an own claim from its first vote to its end (rules 1, 4, 5, 6, 8 and 10)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clockmesh.coordinator import claims, jobs, leases, runs, votes
from clockmesh.coordinator.effects import Extend, Forget, Start, Stop, StopReason
from clockmesh.coordinator.inputs import HostJob, JobEnded
from clockmesh.coordinator.jobs import JobState
from clockmesh.protocol.events import AttemptEnded, Ending, ResultProposed
from clockmesh.protocol.ids import AttemptRef
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.reports import NO_REPORT, JobReported, Report
from clockmesh.protocol.result import Conclusion, Result

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

EXTEND_BY = 0.2
"""Seconds that D must have grown before the runner host is told."""

MAX_LOSSES = 10
"""Attempts that their own claimants declared lost, after which the job has failed: one that kills its own process, or
is killed for want of memory, would otherwise be tried for ever on every peer in turn."""


@dataclass(slots=True)
class Held:
    """An own open claim, or what the runner host runs for this peer."""

    ref: AttemptRef
    claimed_at: float
    """When this incarnation claimed it; `leases.NEVER` for one of an earlier incarnation."""
    started: bool = False
    """`Start` went out: it is never released any more."""
    floor: float = leases.NEVER
    """The D that the runner host had when the daemon started."""
    told: float = leases.NEVER
    """The D that the runner host was told last."""
    cancelled: bool = False
    """It was started as cancelled, or told to stop for that: never told again."""
    stopped_for_good: bool = False
    """Told to stop as outranked."""


def deadline(machine: Machine, held: Held) -> float:
    """D as it stands now."""
    job = machine.state.job(held.ref.job)
    if job is None:
        return held.floor
    lease = machine.run_of(job).lease
    return max(held.floor, leases.deadline(machine.leases, job, held.ref.attempt, held.claimed_at, lease))


def hold(machine: Machine, job: JobState, now: float) -> float | None:
    """Bring the own open claim of this job on its way; when to look again if nothing else happens."""
    held = machine.held.get(job.ref)
    if held is None:
        return None
    unplanned = job.ref.key not in machine.run_of(job).planned  # under a lease RESOLVE may yet bring another plan
    if held.started and unplanned:
        finish(machine, job)
    elif unplanned:
        _release(machine, held)
    elif held.started:
        _run_on(machine, job, held, now)
    elif jobs.has_quorum(job, held.ref.attempt, machine.me):
        _begin(machine, job, held, now)
    elif claims.hopeless(job, held.ref.attempt, machine.me):
        _release(machine, held)
    else:
        _release_in_time(machine, job, held, now)
    return now + machine.leases.period if job.ref in machine.held else None


def _begin(machine: Machine, job: JobState, held: Held, now: float) -> None:
    proposal = claims.adopted(job, held.ref.attempt, machine.me)
    if proposal is not None:
        _propose(machine, held.ref, proposal.result)
        return
    if (lost := jobs.times_lost(job)) >= MAX_LOSSES:
        text = f"{lost} attempts were lost: its process or its peer died each time; clockmesh why tells where"
        _propose(machine, held.ref, Result(Conclusion.FAILURE, error=text))
        return
    until = deadline(machine, held)
    if claims.may_start(job, held.ref.attempt, machine.me, until, now):
        held.started, held.told = True, until
        held.cancelled = runs.cancelled(machine.run_of(job), job.ref.key)
        machine.after.append(Start(held.ref))
    else:
        _release_in_time(machine, job, held, now)


def _release_in_time(machine: Machine, job: JobState, held: Held, now: float) -> None:
    if claims.unstarted_too_long(held.claimed_at, now, machine.run_of(job).lease):
        _release(machine, held)


def _release(machine: Machine, held: Held) -> None:
    """Rule 1: what is released never starts."""
    del machine.held[held.ref.job]
    machine.decide(AttemptEnded(*held.ref, Ending.RELEASED))


def _run_on(machine: Machine, job: JobState, held: Held, now: float) -> None:
    until = deadline(machine, held)
    if until >= held.told + EXTEND_BY and math.isfinite(until):
        held.told = until
        machine.after.append(Extend(held.ref, until))
    run = machine.run_of(job)
    if not held.stopped_for_good and claims.stands_back(job, held.ref.attempt, machine.leases, now):
        _stop_for_good(machine, held)
    elif not held.cancelled and runs.cancelled(run, job.ref.key):
        held.cancelled = True
        machine.after.append(Stop(held.ref, StopReason.CANCEL))


def _stop_for_good(machine: Machine, held: Held) -> None:
    held.stopped_for_good = True
    machine.after.append(Stop(held.ref, StopReason.OUTRANKED))


def finish(machine: Machine, job: JobState) -> None:
    """Nothing more is wanted of this job: an unstarted claim is moot, a running one stops."""
    held = machine.held.get(job.ref)
    if held is None:
        return
    if not held.started:
        del machine.held[job.ref]
    elif not held.stopped_for_good:
        _stop_for_good(machine, held)


def job_ended(machine: Machine, ended: JobEnded) -> None:
    """The runner host's word on an attempt: its result is proposed, or it is declared lost; the host may forget it."""
    ref, result = ended.ref, ended.result
    held = machine.held.get(ref.job)
    outranked = held is not None and held.ref == ref and held.stopped_for_good
    if held is not None and held.ref == ref:
        del machine.held[ref.job]
        machine.state.touched[ref.job] = None
    job = machine.state.job(ref.job)
    if job is not None and (ref.attempt, machine.me) in job.claims and not jobs.is_over(job, ref.attempt, machine.me):
        _end(machine, job, ref, None if result is None or _cut_short(result, outranked) else result, ended.report)
    machine.after.append(Forget(ref))


def _cut_short(result: Result, outranked: bool) -> bool:
    """It was stopped as outranked: how that ended says nothing about the job."""
    return outranked and result.conclusion is Conclusion.CANCELLED


def _end(machine: Machine, job: JobState, ref: AttemptRef, result: Result | None, report: Report) -> None:
    if result is not None and (job.final is None or job.electorate.guard is Guard.LEASE):
        if report != NO_REPORT:
            machine.decide(JobReported(*ref, report))
        machine.decide(ResultProposed(*ref, result))
        votes.accept(machine, job)  # under a lease, although another is final: a second result is never silent
    elif job.final is None:
        machine.decide(AttemptEnded(*ref, Ending.LOST))


def _propose(machine: Machine, ref: AttemptRef, result: Result) -> None:
    del machine.held[ref.job]
    machine.decide(ResultProposed(*ref, result))


def resume(machine: Machine, there: Iterable[HostJob]) -> None:
    """Rule 8: what the runner host still has goes on under the D it has; own claims that it does not know end."""
    known = {host.ref: host for host in there}
    for ref in list(machine.state.busy.get(machine.me, ())):
        job = machine.state.job(ref.job)
        if job is None:
            continue
        host = known.pop(ref, None)
        if host is not None:
            machine.held[ref.job] = Held(ref, leases.NEVER, True, host.deadline, host.deadline)
        else:
            machine.decide(AttemptEnded(*ref, claims.ending_after_restart(job, ref.attempt, machine.me)))
    for ref in known:
        machine.after.append(Stop(ref, StopReason.OUTRANKED))
