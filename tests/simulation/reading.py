"""What a machine shows of its runs, as plain values that can be compared between peers."""

from __future__ import annotations

from clockmesh.coordinator import view
from clockmesh.coordinator.machine import Machine


def shown(machine: Machine) -> dict[str, object]:
    """Everything that `show` tells of each run, and the members; nothing that depends on who looks, or when."""
    runs = {run.hex(): view.run_view(machine, run) for run in sorted(machine.runs)}
    facts = {
        run.hex(): {
            key: (job.claims, job.grants, job.ended, job.results, job.accepts, job.final, job.duplicates)
            for key, job in state.jobs.items()
        }
        for run, state in machine.runs.items()
    }
    return {"runs": runs, "facts": facts, "members": dict(machine.members)}
