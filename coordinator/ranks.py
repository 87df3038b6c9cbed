"""The order of Hamming distance among the members that may run a job: whose it is, and who is next (DESIGN 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockmesh.coordinator import ownership
from clockmesh.coordinator.ownership import Ranked
from clockmesh.protocol.codec import task_hash
from clockmesh.protocol.ids import AttemptRef, JobRef, PeerId

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine


def ranked(machine: Machine, ref: AttemptRef) -> list[Ranked]:
    """Members whose labels contain the job's and who have slots at all, nearest first."""
    run = machine.state.runs[ref.run]
    labels = run.planned[ref.key].labels
    able = ((peer, member.description.slots) for peer, member in machine.members.items() if member.offers(labels))
    return ownership.rank(ref.run, task_hash(ref), able)


def place(machine: Machine, ref: JobRef, attempt: int, peer: PeerId) -> int:
    """A peer's rank for an attempt, 0 for the owner; the number of ranked peers if it may not run it."""
    order = [entry.peer for entry in ranked(machine, AttemptRef(*ref, attempt))]
    return order.index(peer) if peer in order else len(order)
