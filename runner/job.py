"""A job from its spec to its result file, in the process that leads it.

    read the workflow -> `if` -> env -> steps -> outputs -> result

Whatever goes wrong becomes a result: only a killed process leaves none.
"""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from clockmesh.protocol.codec import encode_result
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.ids import EXPAND, RESOLVE
from clockmesh.protocol.limits import MAX_ERROR, MAX_OUTPUT_BYTES
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner.annotations import Annotations
from clockmesh.runner.around import JobState, Surroundings
from clockmesh.runner.artifacts import Artifacts
from clockmesh.runner.bundle import read_workflow
from clockmesh.runner.command_files import Summaries
from clockmesh.runner.environment import machine, make_places, write_event
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import CaseSensitive
from clockmesh.runner.files import RoomForFile, write_whole
from clockmesh.runner.hashfiles import hash_files_in
from clockmesh.runner.legs import expanded
from clockmesh.runner.levels import Level, find, job_contexts, top_level, wanted
from clockmesh.runner.logfile import JobLog
from clockmesh.runner.masks import Masks
from clockmesh.runner.model import Job
from clockmesh.runner.process import Processes
from clockmesh.runner.resolve import resolve
from clockmesh.runner.spec import JobSpec
from clockmesh.runner.step import run_posts, run_steps

SET_UP = "Set up job"
"""Step name of what the log says before and between the steps."""
_RESULT_ROOM = 64 * 1024
"""Bytes: what a job may say of its end, its outputs and error included. (A resolved plan may be larger.)"""


def lead(spec: JobSpec, folder: Path, mark: str) -> None:
    """Run the job in this process, which was forked for it, and leave `result` in `folder`. Nothing is raised but
    OSError when even that cannot be written."""
    room = RoomForFile(folder / "result", _RESULT_ROOM)
    processes = Processes()
    log = JobLog(folder / "log", masks=Masks(spec.given.hidden))
    log.line(SET_UP, f"{spec.key}: attempt {spec.attempt} on {spec.peer or 'this peer'}, run {spec.run[:12]}")
    if spec.sandbox:
        log.line(SET_UP, spec.sandbox)
    try:
        work = _resolve if spec.key == RESOLVE else _expand if spec.key.startswith(EXPAND) else _run
        result = work(spec, folder, mark, processes, log)
    except (RunnerError, OSError) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        told = log.masks.hide(told)
        log.line(SET_UP, f"Error: {told}")
        result = failure(told)
    except Exception as error:  # a fault of ours ends this job with a word, and no other
        print(log.masks.hide(traceback.format_exc()), file=sys.stderr)
        log.line(SET_UP, f"Error: the runner itself failed: {error!r}")
        result = failure(log.masks.hide(f"the runner itself failed: {error!r}"))
    result = replace(result, error=log.masks.hide(result.error))
    log.close()
    room.write(_encoded(result))
    sys.stderr.flush()


def failure(error: str) -> Result:
    return Result(Conclusion.FAILURE, error=one_line(error))


def one_line(text: str) -> str:
    """Printable, without line breaks, within the bounds of a result's `error`."""
    flat = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return flat if len(flat) <= MAX_ERROR else flat[: MAX_ERROR - 3] + "..."


def _encoded(result: Result) -> bytes:
    try:
        return encode_result(result)
    except LocalError as error:
        return encode_result(failure(f"the job's result cannot be told to other peers: {error}"))


def _resolve(spec: JobSpec, folder: Path, mark: str, processes: Processes, log: JobLog) -> Result:
    places = make_places(spec, folder)
    began = _wall_ms()
    processes.limit(spec.job.timeout_s)
    result = resolve(spec, folder, places, mark, processes, log)
    return replace(result, started_ms=began, finished_ms=_wall_ms())


def _place(spec: JobSpec) -> tuple[Level, Job]:
    """The job in the workflow that it is of."""
    workflow = read_workflow(Path(spec.workflow).read_bytes(), spec.plan.path)
    return find(top_level(workflow, spec.plan, spec.given, spec.schedule), spec.job.job_id, spec.needs)


def _expand(spec: JobSpec, folder: Path, mark: str, processes: Processes, log: JobLog) -> Result:
    """The result of a job that stands for others: what it comes to, now that all it needs has ended."""
    level, job = _place(spec)
    cancelled = spec.cancelled or processes.cancelled
    if not wanted(level, job, spec.needs, cancelled=cancelled):
        return Result(Conclusion.CANCELLED if cancelled else Conclusion.SKIPPED)
    jobs = tuple(expanded(level, job, spec.needs))
    log.line(SET_UP, f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}: {', '.join(each.key for each in jobs[:20])}")
    return Result(Conclusion.SUCCESS, resolved=replace(spec.plan, jobs=jobs))


def _run(spec: JobSpec, folder: Path, mark: str, processes: Processes, log: JobLog) -> Result:
    level, job = _place(spec)
    workflow = level.workflow
    cancelled = spec.cancelled or processes.cancelled
    if not wanted(level, job, spec.needs, cancelled=cancelled):
        return Result(Conclusion.CANCELLED if cancelled else Conclusion.SKIPPED)
    places = make_places(spec, folder)
    contexts = job_contexts(level, job, spec, machine(spec, places))
    scope = Scope(workflow.file, contexts, hash_files_in(places.workspace))
    began = _wall_ms()
    processes.limit(spec.job.timeout_s)
    if job.cancel_timeout_minutes is not None:
        processes.limit_after_cancel(scope.number(job.cancel_timeout_minutes) * 60)
    write_event(places, contexts["github"])
    state = JobState(scope.named(workflow.env) | scope.named(job.env))
    around = Surroundings(
        spec=spec, mark=mark, file=workflow.file, contexts=contexts, defaults=(job.defaults, workflow.defaults),
        places=places, processes=processes, log=log, hash_files=hash_files_in(places.workspace),
        artifacts=Artifacts(folder / "artifacts" if spec.keeps_artifacts else None,
                            {name: Path(path) for name, path in spec.artifacts.items()}),
        annotations=Annotations(), summaries=Summaries(folder / "summary"),
    )  # fmt: skip
    run_steps(around, job.steps, state)
    run_posts(around, state)
    if told := around.annotations.packed(log.masks):
        with suppress(OSError):  # a full disk costs them, not the job
            write_whole(folder / "annotations", told, durable=False)
    contexts["env"] = CaseSensitive(state.env)
    contexts["job"] = {"status": str(_concluded(spec, processes, state).conclusion)}
    result = _with_outputs(_concluded(spec, processes, state), job, scope, log)
    if result.error and not state.error:
        log.line(SET_UP, f"Error: {result.error}")
    return replace(result, started_ms=began, finished_ms=_wall_ms())


def _concluded(spec: JobSpec, processes: Processes, state: JobState) -> Result:
    """A cancel weighs more than a failure, as in the official runner."""
    if processes.timed_out:
        minutes = spec.job.timeout_s / 60
        return Result(Conclusion.CANCELLED, error=f"the job has exceeded its time limit of {minutes:g} minutes")
    if processes.cancelled:
        return Result(Conclusion.CANCELLED)
    return failure(state.error) if state.failed else Result(Conclusion.SUCCESS)


def _with_outputs(result: Result, job: Job, scope: Scope, log: JobLog) -> Result:
    """The job's outputs, also of a job that failed. An output that cannot be had makes it fail; one that must not be
    shown is left out."""
    try:
        outputs = scope.named(job.outputs)
    except RunnerError as error:
        return result if result.error else failure(log.masks.hide(str(error)))
    for name in [name for name, value in outputs.items() if log.masks.holds(value)]:
        log.line(SET_UP, f"Warning: Skip output '{name}' since it may contain secret.")
        del outputs[name]
    size = sum(len(name.encode()) + len(value.encode()) for name, value in outputs.items())
    if size > MAX_OUTPUT_BYTES:
        return failure(f"the job's outputs have {size} bytes together; a job may have {MAX_OUTPUT_BYTES}")
    return replace(result, outputs=tuple(sorted(outputs.items())))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
