"""A schedule that pauses itself after so many failed ticks in a row.

Nobody decides it: it is so on every peer that knows the same results, whatever order they came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockmesh.coordinator import runs
from clockmesh.protocol.result import Conclusion

if TYPE_CHECKING:
    from clockmesh.coordinator.schedules import ScheduleState
    from clockmesh.coordinator.state import State


def has_paused_itself(state: State, known: ScheduleState) -> bool:
    """As many ticks as it bears have failed since it was begun or resumed, with no success among them or after."""
    return 0 < known.pause_after <= failed_in_a_row(state, known)


def failed_in_a_row(state: State, known: ScheduleState) -> int:
    """Back from the newest tick that has ended, up to `pause_after`; one that was cancelled says nothing."""
    failed = 0
    for due in sorted(known.ticks, reverse=True):
        if due < known.due_from_ms or failed == known.pause_after:
            break
        conclusion = runs.conclusion(state.runs[known.ticks[due]])
        if conclusion is Conclusion.SUCCESS:
            break
        failed += conclusion is Conclusion.FAILURE
    return failed
