"""What to say of a schedule whose ticks do not start, or soon may not: it has paused itself, or too few of its
electorate live."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from clockmesh.coordinator import failures, standing
from clockmesh.coordinator.schedules import ScheduleState, Voters
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.plan import Guard

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine


def living(machine: Machine, voters: Voters, now: float) -> set[PeerId]:
    """Those of an electorate whose sessions this peer sees live."""
    return {peer for peer in voters.electorate if machine.live(peer, now)}


def is_stopped(machine: Machine, known: ScheduleState, now: float) -> bool:
    """Too few live for a tick to start. Never so under a lease: there whoever takes a tick votes for itself."""
    voters = known.chain[-1]
    return voters.guard is Guard.QUORUM and len(living(machine, voters, now)) < voters.quorum


def warning(machine: Machine, known: ScheduleState, now: float) -> str | None:
    """One sentence where the schedule has stopped or paused itself, or one more loss would stop it; None where all is
    well."""
    if not known.paused and failures.has_paused_itself(machine.state, known):
        last = "tick" if known.pause_after == 1 else f"{known.pause_after} ticks"
        return (f"{known.told.name} has paused itself: its last {last} failed; to go on: "
                f"clockmesh schedule resume {shlex.quote(known.told.name)}")
    voters = known.chain[-1]
    there = living(machine, voters, now)
    away = set(voters.electorate) - there
    if voters.guard is Guard.LEASE or not away or len(there) > voters.quorum:
        return None
    name, of = known.told.name, f"of its electorate of {len(voters.electorate)}"
    start = f"start clockmeshd on {standing.names_of(machine, away)}"
    if is_stopped(machine, known, now):
        left = f"only {standing.names_of(machine, there)} {_are(there)} left" if there else "nobody is left"
        return (f"{name} has stopped: {left} {of} and {voters.quorum} are needed; {start}, or if they are gone for "
                f"good: clockmesh schedule rescue {shlex.quote(name)} --abandon")
    left = f"{standing.names_of(machine, there)} {_are(there)} all that is left"
    return f"{name}: {left} {of}; one more loss stops it; {start}"


def warnings(machine: Machine, now: float) -> list[str]:
    """Of all schedules that are not removed, by name."""
    standing_ones = (known for known in machine.state.schedules.values() if not known.removed)
    found = (warning(machine, known, now) for known in sorted(standing_ones, key=lambda known: known.told.name))
    return [text for text in found if text is not None]


def _are(peers: set[PeerId]) -> str:
    return "is" if len(peers) == 1 else "are"


def away(machine: Machine, now: float) -> tuple[PeerId, ...]:
    """Members that this peer does not hear: any of them may be running a tick."""
    return tuple(sorted(peer for peer in machine.members if not machine.live(peer, now)))
