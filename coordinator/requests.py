"""What this peer's own people and programs ask for. Refusals are raised before anything has changed."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import TYPE_CHECKING

from clockmesh.coordinator import leases, runs
from clockmesh.coordinator.effects import Answer
from clockmesh.coordinator.errors import Conflict, NotFound, Refused
from clockmesh.coordinator.inputs import AdmitWanted, CancelWanted, DescribeWanted, RerunWanted, SubmitWanted
from clockmesh.coordinator.ownership import bits_between, peer_digest
from clockmesh.protocol.codec import electorate_seed, run_id
from clockmesh.protocol.events import CancelAsked, InvitationRedeemed, PeerAdmitted, PeerDescribed, RunSubmitted
from clockmesh.protocol.ids import PeerId, peer_text
from clockmesh.protocol.limits import MAX_PEERS
from clockmesh.protocol.plan import Guard, Plan, dependencies

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

QUORUM_FROM = 3
"""Members from which on a run is guarded by a quorum unless asked otherwise: of two, one death stops it."""

MAX_ELECTORS = 7
"""All members vote up to here; of more, the nearest to the run."""


def submit(machine: Machine, wanted: SubmitWanted, now: float) -> None:
    """Submit a run. Refused for a plan that can never end."""
    check_plan(wanted.plan, wanted.priority)
    check_member(machine)
    event = RunSubmitted(
        nonce=wanted.nonce,
        heads=wanted.heads,
        plan=wanted.plan,
        guard=wanted.guard or default_guard(machine),
        lease_ms=round(machine.lease * 1000),
        priority=wanted.priority,
        electorate=draw_electorate(machine, electorate_seed(wanted.heads, wanted.plan, wanted.nonce), now),
    )
    machine.decide(event, Answer(wanted.token, run_id(event)))


def default_guard(machine: Machine) -> Guard:
    return Guard.QUORUM if len(machine.members) >= QUORUM_FROM else Guard.LEASE


def check_member(machine: Machine) -> None:
    if machine.me not in machine.members:
        raise Conflict("this peer belongs to no mesh yet: clockmesh init founds one, clockmesh join enters one")


def check_plan(plan: Plan, priority: float) -> None:
    """Refused for a plan that can never end."""
    if not math.isfinite(priority):
        raise Refused(f"priority {priority} is not a number; 1 is critical, 5 the default, 6 and more very low")
    if not plan.jobs:
        raise Refused(f"{plan.path} has no jobs to run; add one under `jobs:`")
    waiting = dependencies(plan.jobs)
    for job in plan.jobs:
        for need in job.needs:
            if need not in waiting:
                raise Refused(f"job '{job.key}' needs '{need}', which is not a job of {plan.path}")
    while free := [job_id for job_id, needs in waiting.items() if not needs & waiting.keys()]:
        for job_id in free:
            del waiting[job_id]
    if waiting:
        raise Refused(f"in {plan.path} these jobs need one another in a circle: {', '.join(sorted(waiting))}")


def draw_electorate(machine: Machine, seed: bytes, now: float) -> tuple[PeerId, ...]:
    """All members, or those nearest to the seed (32 bytes) of whose session lives."""
    if len(machine.members) <= MAX_ELECTORS:
        return tuple(sorted(machine.members))
    digests = {peer: peer_digest(peer_text(peer)) for peer in machine.members}
    living = sorted(
        (peer for peer in digests if leases.live(machine.leases, peer, now)),
        key=lambda peer: (bits_between(seed, digests[peer]), sha256(seed + digests[peer]).digest()),
    )
    return tuple(sorted(living[:MAX_ELECTORS]))


def cancel(machine: Machine, wanted: CancelWanted) -> None:
    """Ask for a run's end. NotFound; Conflict once it has ended."""
    run = machine.runs.get(wanted.run)
    if run is None:
        raise NotFound(f"no run {wanted.run.hex()[:12]}; clockmesh run list shows the runs")
    if runs.over(run):
        raise Conflict(f"run {wanted.run.hex()[:12]} has ended: {runs.conclusion(run)}")
    answer = Answer(wanted.token, wanted.run)
    if run.cancel_asked:
        machine.after.append(answer)
    else:
        machine.decide(CancelAsked(wanted.run), answer)


def rerun(machine: Machine, wanted: RerunWanted, now: float) -> None:
    """Submit a run's plan again, as resolved where it is by now, to today's members (5.12: the electorate of the run
    itself never changes). NotFound; Conflict while it has not ended and is not to be abandoned."""
    run = machine.runs.get(wanted.run)
    if run is None:
        raise NotFound(f"no run {wanted.run.hex()[:12]}; clockmesh run list shows the runs")
    if not runs.over(run) and not wanted.abandon:
        short = wanted.run.hex()[:12]
        raise Conflict(f"run {short} has not ended; clockmesh why {short} tells what it waits for, "
                       "--abandon gives it up")
    plan, told = runs.plan_before_results(run), run.submission
    again = SubmitWanted(wanted.token, plan, wanted.nonce, wanted.heads, told.priority, wanted.guard or told.guard)
    submit(machine, again, now)
    if not runs.over(run) and not run.cancel_asked:
        machine.decide(CancelAsked(wanted.run))


def describe(machine: Machine, wanted: DescribeWanted) -> None:
    """Say what this peer is, where the clock says otherwise. Before it belongs to a mesh there is nothing to say."""
    member = machine.members.get(machine.me)
    if member is not None and member.description != wanted.description:
        machine.described_ahead += 1
        machine.decide(PeerDescribed(wanted.description))


def admit(machine: Machine, wanted: AdmitWanted) -> None:
    """Admit a stranger; again, for one that is a member. Conflict for a name or an invitation that is taken."""
    if wanted.peer in machine.members:
        machine.after.append(Answer(wanted.token))
        return
    name = wanted.description.name
    if any(member.name.casefold() == name.casefold() for member in machine.members.values()):
        raise Conflict(f"the mesh has a peer named '{name}' already; join with another --name")
    if (machine.me, wanted.invitation) in machine.state.members.redeemed:
        raise Conflict("this invitation was used already; ask for a new one: clockmesh invite")
    if len(machine.members) >= MAX_PEERS:
        raise Conflict(f"the mesh is full: {MAX_PEERS} peers")
    machine.decide(InvitationRedeemed(wanted.invitation))
    machine.decide(PeerAdmitted(wanted.peer, wanted.description), Answer(wanted.token))
