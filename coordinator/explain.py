"""`why RUN`: what each job of a run waits for, in whole sentences, as this peer sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockmesh.coordinator import claims, jobs, ranks, runs, take, ticks
from clockmesh.coordinator.jobs import JobState
from clockmesh.coordinator.runs import RunState
from clockmesh.coordinator.standing import standing
from clockmesh.protocol.ids import JobKey, RunId

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

MAX_JOBS = 20
"""Open jobs explained one by one; the rest are counted."""


def explain(machine: Machine, run_id: RunId, now: float) -> list[str]:
    """Sentences, the run first; KeyError for a run that is not known."""
    run = machine.state.runs[run_id]
    short = run_id.hex()[:12]
    conclusion = runs.conclusion(run)
    if conclusion is not None:
        lines = [f"run {short} has ended: {conclusion}"]
        lines += [line for key in run.planned for line in _ended(machine, run, key)]
        return lines
    lines = [f"run {short} was submitted by {machine.name_of(run.carrier.submitter)}"]
    if run.cancel_asked:
        lines.append("its end was asked for: running jobs are being stopped, the others end as cancelled")
    lines += _tick(machine, run, now)
    for key in list(run.open)[:MAX_JOBS]:
        lines += [f"{key}: {line}" for line in _open(machine, run, run.jobs[key], now)]
    if len(run.open) > MAX_JOBS:
        lines.append(f"{len(run.open) - MAX_JOBS} more jobs are open; clockmesh run show {short} lists them")
    return lines


def _tick(machine: Machine, run: RunState, now: float) -> list[str]:
    """What holds a schedule's run back as a whole."""
    until = ticks.waits_until(machine, run, now)
    if run.cancel_asked or run.tick is None:
        return []
    if until is not None:
        left = f"{until - now:.0f} s" if until - now < 600 else f"{(until - now) / 3600:.1f} h"
        return [f"its time comes in {left} by this peer's clock; a peer whose clock is ahead submitted it"]
    earlier = ticks.behind(machine, run)
    if not earlier:
        return []
    short = earlier[0].hex()[:12]
    return [f"waiting for another tick of its schedule, run {short}; clockmesh run cancel {short} would end that"]


def _ended(machine: Machine, run: RunState, key: JobKey) -> list[str]:
    job = run.jobs[key]
    ran = jobs.executed(job)
    if job.final is None or ran is None:
        return []
    error = f": {job.final.result.error}" if job.final.result.error else ""
    text = f"{key}: {job.final.result.conclusion} on {machine.name_of(ran[1])}, attempt {ran[0]}"
    if order := ranks.ranked(machine, job.attempt(ran[0])):
        nearest = ", ".join(f"{machine.name_of(entry.peer)} {entry.distance}" for entry in order)
        text += f" (distances: {nearest})"
    text += error
    if job.duplicates:
        times = "once" if len(job.duplicates) == 1 else f"{len(job.duplicates)} times"
        text += f"; it ran to its end {times} more, as a lease allows when peers are cut off"
    return [text, *_history(machine, job, key)]


def _history(machine: Machine, job: JobState, key: JobKey) -> list[str]:
    """Attempts that came to nothing."""
    return [
        f"{key}: attempt {attempt} of {machine.name_of(peer)} was {how}"
        for (attempt, peer), how in sorted(job.ended.items())
    ]


def _open(machine: Machine, run: RunState, job: JobState, now: float) -> list[str]:
    key = job.ref.key
    if not runs.ready(run, key):
        return _not_ready(run, key)
    lines = [standing(machine, job, now), _owner(machine, run, job, now)]
    for (attempt, peer), how in sorted(job.ended.items())[-3:]:
        lines.append(f"attempt {attempt} of {machine.name_of(peer)} was {how}")
    for (attempt, peer), _ in jobs.valid_proposals(job):
        accepted = len(job.accepts.get(attempt, ()))
        lines.append(
            f"{machine.name_of(peer)} proposed the result of attempt {attempt}; "
            f"{accepted} of {job.electorate.quorum} accepts"
        )
    return lines


def _not_ready(run: RunState, key: JobKey) -> list[str]:
    waiting = list(runs.waits_for(run, key))
    if waiting:
        return [f"waiting for needs: {', '.join(waiting)}"]
    return [f"waiting for earlier legs of its matrix: max-parallel is {run.planned[key].max_parallel}"]


def _owner(machine: Machine, run: RunState, job: JobState, now: float) -> str:
    attempt = max((number for number, _ in jobs.open_claims(job)), default=claims.next_attempt(job))
    order = ranks.ranked(machine, job.attempt(attempt))
    if not order:
        return _nobody(machine, run.planned[job.ref.key].labels)
    first, *others = [f"{machine.name_of(entry.peer)} {entry.distance}" for entry in order]
    text = f"owned by {first.rpartition(' ')[0]} (distance {first.rpartition(' ')[2]}"
    text += f", then {', '.join(others)})" if others else ")"
    owner = order[0].peer
    if not machine.live(owner, now):
        text += f"; no session with {machine.name_of(owner)}, so the next one takes it"
    elif not take.free_slots(machine, owner) and not any(peer == owner for _, peer in jobs.open_claims(job)):
        text += f"; {machine.name_of(owner)} has no free slot"
    return text


def _nobody(machine: Machine, labels: tuple[str, ...]) -> str:
    offered = {label for member in machine.members.values() for label in member.description.labels}
    missing = [label for label in labels if label not in offered]
    if missing:
        return f"no member offers label {', '.join(missing)}; clockmesh peer list shows the labels"
    if labels:
        return f"no one member with slots offers all of {', '.join(labels)}; clockmesh peer list shows the labels"
    return "no member has slots to run it; clockmesh peer list shows the slots"
