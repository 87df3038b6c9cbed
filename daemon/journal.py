"""What this peer wrote into the clock, as log lines: its side of every claim, grant and result; and how runs ended."""

from __future__ import annotations

import structlog

from clockmesh.coordinator import ranks, runs
from clockmesh.coordinator.failures import has_paused_itself
from clockmesh.coordinator.machine import Machine
from clockmesh.daemon.surface import iso
from clockmesh.protocol.events import (
    AttemptEnded,
    CancelAsked,
    ClaimGranted,
    Ending,
    ForkProven,
    JobClaimed,
    ResultAccepted,
    ResultProposed,
)
from clockmesh.protocol.ids import AttemptRef, JobKey, RunId, ScheduleId
from clockmesh.protocol.naming import tick_run
from clockmesh.protocol.node import Node
from clockmesh.protocol.schedules import ScheduleMoved, ScheduleVoted, TickSkipped, TickSubmitted

log = structlog.get_logger()


class Journal:
    """Tells of one peer's mesh what an operator would want to read afterwards."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._ended: set[RunId] = set()
        self._paused: set[ScheduleId] = set()

    def changed(self, run: RunId) -> None:
        """Something about `run` changed: if it was its end, say so once."""
        state = self._machine.runs[run]
        if not state.open and run not in self._ended:
            self._ended.add(run)
            log.info("run_ended", run=run.hex(), conclusion=str(runs.conclusion(state)))
            if state.tick is not None:
                self._look_at_schedule(state.tick.schedule)

    def _look_at_schedule(self, schedule: ScheduleId) -> None:
        """A tick of it has ended: say once if that was one failure too many."""
        known = self._machine.state.schedules[schedule]
        if not has_paused_itself(self._machine.state, known):
            self._paused.discard(schedule)
        elif schedule not in self._paused:
            self._paused.add(schedule)
            log.warning("schedule_paused", schedule=schedule.hex(), name=known.told.name, failures=known.pause_after)

    def received(self, node: Node) -> None:
        """One of another peer's nodes is durable here."""
        for event in node.events:
            if isinstance(event, TickSubmitted):
                log.info("tick_stored", **_tick(event.schedule, event.due_ms))

    def wrote(self, node: Node) -> None:
        """One of our own nodes is durable."""
        for event in node.events:
            match event:
                case JobClaimed(run, key, attempt):
                    log.info("job_claimed", **_place(run, key, attempt), order=self._order(run, key, attempt))
                case ClaimGranted(run, key, attempt, claimant):
                    log.info("claim_granted", **_place(run, key, attempt), claimant=self._machine.name_of(claimant))
                case AttemptEnded(run, key, attempt, Ending.RELEASED):
                    log.info("claim_released", **_place(run, key, attempt))
                case AttemptEnded(run, key, attempt, Ending.LOST):
                    log.warning("attempt_lost", **_place(run, key, attempt))
                case AttemptEnded(run, key, attempt, Ending.RETRY):
                    log.info("attempt_failed", **_place(run, key, attempt))
                case ResultProposed(run, key, attempt, result):
                    log.info("result_proposed", **_place(run, key, attempt), conclusion=str(result.conclusion))
                case ResultAccepted(run, key, attempt):
                    log.info("result_accepted", **_place(run, key, attempt))
                case TickSubmitted(schedule, due_ms):
                    log.info("tick_submitted", **_tick(schedule, due_ms))
                case TickSkipped(schedule, due_ms):
                    log.info("tick_skipped", schedule=schedule.hex(), due=iso(due_ms))
                case ScheduleMoved(schedule, number=number, electorate=peers):
                    log.info("schedule_moved", schedule=schedule.hex(), number=number,
                             electorate=", ".join(map(self._machine.name_of, peers)), due_from=iso(event.due_from_ms))
                case ScheduleVoted(schedule, number=number, move=move):
                    log.info("schedule_voted", schedule=schedule.hex(), number=number, accepted=move is not None)
                case ForkProven(author, seq):
                    log.error("fork_proven", peer=self._machine.name_of(author), seq=seq)
                case CancelAsked(run):
                    log.info("cancel_asked", run=run.hex())

    def _order(self, run: RunId, key: JobKey, attempt: int) -> str:
        """Who owns the attempt, then the others, each with its Hamming distance."""
        order = ranks.ranked(self._machine, AttemptRef(run, key, attempt))
        return ", ".join(f"{self._machine.name_of(entry.peer)} {entry.distance}" for entry in order)


def _tick(schedule: ScheduleId, due_ms: int) -> dict[str, str | None]:
    return {"schedule": schedule.hex(), "run": tick_run(schedule, due_ms).hex(), "due": iso(due_ms)}


def _place(run: RunId, key: JobKey, attempt: int) -> dict[str, str | int]:
    return {"run": run.hex(), "job": key, "attempt": attempt}
