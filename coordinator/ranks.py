"""The order of Hamming distance among the members that may run a job: whose it is, and who is next (DESIGN 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockmesh.coordinator import ownership, runs
from clockmesh.coordinator.ownership import Ranked
from clockmesh.coordinator.runs import RunState
from clockmesh.protocol.codec import task_hash
from clockmesh.protocol.ids import AttemptRef, JobKey, JobRef, PeerId

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine


def labels_asked(run: RunState, key: JobKey) -> tuple[str, ...]:
    """What a peer must offer to claim a job: nothing once it is cancelled, so that somebody can say so."""
    return () if runs.cancelled(run, key) else run.planned[key].labels


def ranked(machine: Machine, ref: AttemptRef) -> list[Ranked]:
    """Members whose labels contain the job's and who have slots at all, nearest first."""
    labels = labels_asked(machine.state.runs[ref.run], ref.key)
    able = ((peer, member.description.slots) for peer, member in machine.members.items() if member.offers(labels))
    return ownership.rank(ref.run, task_hash(ref), able)


def place(machine: Machine, ref: JobRef, attempt: int, peer: PeerId) -> int:
    """A peer's rank for an attempt, 0 for the owner; the number of ranked peers if it may not run it."""
    order = [entry.peer for entry in ranked(machine, AttemptRef(*ref, attempt))]
    return order.index(peer) if peer in order else len(order)
