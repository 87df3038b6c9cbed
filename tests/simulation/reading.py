"""What a machine shows of its runs, as plain values that can be compared between peers."""

from __future__ import annotations

from clockmesh.coordinator import view
from clockmesh.coordinator.machine import Machine

FACTS = ("claims", "grants", "ended", "results", "accepts", "reports", "final", "duplicates")


def shown(machine: Machine) -> dict[str, object]:
    """Everything that `show` tells of each run, each job's facts, and the members: a name for each value. Nothing
    that depends on who looks, or when."""
    values: dict[str, object] = {f"run {run.hex()[:6]}": view.run_view(machine, run) for run in machine.runs}
    for run, state in machine.runs.items():
        for key, job in state.jobs.items():
            facts = {f"{fact} of {run.hex()[:6]}/{key}": getattr(job, fact) for fact in FACTS}
            values |= {name: value for name, value in facts.items() if value}
    values |= {f"schedule {schedule.hex()[:6]}": state for schedule, state in machine.state.schedules.items()}
    return values | {"members": dict(machine.members)}


def difference(one: dict[str, object], other: dict[str, object]) -> str | None:
    """The name and both values of something that differs; None if nothing does."""
    for name in sorted(one.keys() | other.keys()):
        ours, theirs = one.get(name), other.get(name)
        if ours != theirs:
            return f"{name}: {_beyond(ours, theirs)} against {_beyond(theirs, ours)}"
    return None


def _beyond(value: object, other: object) -> object:
    """Of a table only what the other one does not say too."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: entry for key, entry in value.items() if other.get(key) != entry}
    return value
