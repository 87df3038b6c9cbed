"""One sentence about who may run a job: its electorate, whom of it this peer hears, the rights that were given, and
what would help where they do not suffice. Part of `why` (see `explain`)."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from clockmesh.coordinator import jobs, leases
from clockmesh.coordinator.jobs import JobState, Try
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.plan import Guard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clockmesh.coordinator.machine import Machine


def standing(machine: Machine, job: JobState, now: float) -> str:
    """Of a ready job without a final result, as this peer sees it."""
    parts = [_electorate(machine, job), _sessions(machine, job, now)]
    parts += [_rights(machine, job, claim, now) for claim in jobs.open_claims(job)] or ["nobody has claimed it"]
    parts.append(_help(machine, job, now))
    return "; ".join(part for part in parts if part)


def names_of(machine: Machine, peers: Iterable[PeerId]) -> str:
    return ", ".join(sorted(machine.name_of(peer) for peer in peers)) or "nobody"


def _electorate(machine: Machine, job: JobState) -> str:
    if job.electorate.guard is Guard.LEASE:
        return "guard lease: who claims it grants it to itself"
    return f"electorate {names_of(machine, job.electorate.members)}, of which {job.electorate.quorum} must grant"


def _sessions(machine: Machine, job: JobState, now: float) -> str:
    """Of the voters, or under a lease of the claimants; this peer needs no session with itself."""
    asked = job.electorate.members if job.electorate.guard is Guard.QUORUM else {peer for _, peer in job.claims}
    others = sorted(asked - {machine.me}, key=machine.name_of)
    heard = [f"{machine.name_of(peer)} {_since(machine, peer, now)}" for peer in others if machine.live(peer, now)]
    told = [f"heard from {', '.join(heard)} ago"] if heard else []
    told += [f"{machine.name_of(peer)} not heard {_for_how_long(machine, peer, now)}"
             for peer in others if not machine.live(peer, now)]
    return ", ".join(told)


def _since(machine: Machine, peer: PeerId, now: float) -> str:
    return _span(now - machine.leases.sessions[peer].heard_at)


def _for_how_long(machine: Machine, peer: PeerId, now: float) -> str:
    if peer not in machine.leases.sessions:
        return "since this peer started"
    return f"for {_since(machine, peer, now)}"


def _rights(machine: Machine, job: JobState, claim: Try, now: float) -> str:
    """What one open claim has come to."""
    attempt, peer = claim
    name, granted = machine.name_of(peer), len(job.grants.get(claim, {}))
    if not jobs.has_quorum(job, attempt, peer):
        text = f"{name} claimed attempt {attempt} and has {granted} of {job.electorate.quorum} grants"
        if others := {voter for voter, votes in job.votes.items() if votes.get(attempt, peer) != peer}:
            text += f", {names_of(machine, others)} voted for another"
        return text + _takeover(machine, job, claim, now)
    text = f"{name} holds attempt {attempt} with {granted} grants"
    until = machine.deadline(job.attempt(attempt), now) if peer == machine.me else None
    if until is not None:
        text += f" and may run it until D, in {_span(until - now)}" if until > now else ", but D has passed"
    return text + _takeover(machine, job, claim, now)


def _takeover(machine: Machine, job: JobState, claim: Try, now: float) -> str:
    """When others may take it from one that is not heard."""
    attempt, peer = claim
    if machine.live(peer, now):
        return ""
    left = leases.silent_from(machine.leases, job, attempt, peer) + machine.run_of(job).lease - now
    return f" and is not heard, so others may take it over {f'in {_span(left)}' if left > 0 else 'now'}"


def _help(machine: Machine, job: JobState, now: float) -> str:
    """The command that would help, where one would."""
    run = job.ref.run.hex()[:12]
    away = {voter for voter in job.electorate.members if not machine.live(voter, now)}
    if job.electorate.guard is Guard.QUORUM and len(job.electorate.members) - len(away) < job.electorate.quorum:
        return (f"too few of them live: start clockmeshd on {names_of(machine, away)}, or if they are gone for good "
                f"make a new run that needs no majority: clockmesh run rerun {run} --abandon --guard lease"
                f"{_rescue(machine, job)}")
    holders = {peer for _, peer in jobs.holders(job)}
    if lost := {peer for peer in holders if not machine.live(peer, now)}:
        return f"start clockmeshd on {names_of(machine, lost)}, where it may still run or have ended"
    if holders:
        return f"to watch it: clockmesh run logs {run} -f --job {shlex.quote(job.ref.key)}"
    return ""


def _rescue(machine: Machine, job: JobState) -> str:
    """A tick's schedule has lost the ticks to come as well."""
    tick = machine.run_of(job).tick
    if tick is None:
        return ""
    name = machine.state.schedules[tick.schedule].told.name
    return f", and for the ticks to come: clockmesh schedule rescue {shlex.quote(name)} --abandon"


def _span(seconds: float) -> str:
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
