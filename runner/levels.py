"""Where a job stands: in the run's own workflow, or in one that a job calls, and that in another.

Each level has inputs, secrets and needs of its own; `github` and `vars` are those of the run. In a plan a job of a
called workflow is `call/inner`, and `call[2]/inner` where the calling job has a matrix (its third leg).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from clockmesh.protocol.ids import JobKey
from clockmesh.protocol.plan import Plan, PlannedJob
from clockmesh.runner.calls import call_inputs, call_secrets
from clockmesh.runner.contexts import Machine, attempt_facts, github_context, job_matrix, leg_contexts, plan_contexts
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import CaseSensitive, Status, Value
from clockmesh.runner.matrix import Leg, expand
from clockmesh.runner.model import Job, Workflow
from clockmesh.runner.spec import NOTHING_GIVEN, Given, JobSpec, NeedResult

_SEGMENT = re.compile(r"([A-Za-z0-9_-]+)(?:\[(\d+)\])?")


@dataclass(frozen=True, slots=True)
class Level:
    """One workflow of a run, as it was called."""

    workflow: Workflow
    contexts: Mapping[str, Value]
    """github, inputs, vars, secrets."""
    prefix: str = ""
    """Of the ids of its jobs in the plan."""
    title: str = ""
    """Of their keys, for people."""
    caller: tuple[Level, Job] | None = None


def top_level(workflow: Workflow, plan: Plan, given: Given = NOTHING_GIVEN, schedule: str = "") -> Level:
    contexts = plan_contexts(workflow, plan, given)
    if schedule:
        contexts["github"] = github_context(workflow, plan, given, schedule)
    return Level(workflow, contexts)


def leg_scope(level: Level, job: Job, spec: JobSpec) -> dict[str, Value]:
    """The contexts of a job's own keys: those of its level, needs, matrix, strategy."""
    planned = spec.job
    contexts = {**level.contexts, "needs": needs_of(level, job, spec.needs)}
    leg = job_matrix(level.workflow, job, planned, contexts)
    legs = [each.key for each in spec.plan.jobs if each.job_id == planned.job_id]
    return {**contexts, **leg_contexts(planned, leg, legs.index(planned.key), len(legs))}


def job_contexts(level: Level, job: Job, spec: JobSpec, machine: Machine) -> dict[str, Value]:
    """Every context that a step may name; `env` and `steps` are there to be filled."""
    contexts = leg_scope(level, job, spec)
    github = contexts["github"]
    assert isinstance(github, dict)
    return {
        **contexts,
        "github": github | attempt_facts(spec, spec.job, machine),
        "env": CaseSensitive(),
        "steps": {},
        "job": {"status": "success"},
        "runner": {
            "name": machine.name,
            "os": "Linux",
            "arch": machine.arch,
            "temp": machine.temp,
            "tool_cache": machine.tool_cache,
            "environment": "self-hosted",
            "debug": "1" if spec.given.debug else "",
        },
    }


def find(top: Level, job_id: str, ended: Mapping[str, NeedResult]) -> tuple[Level, Job]:
    """The job of this id in the plan, and its level. KeyError when there is none; WorkflowError when what a job on the
    way passes cannot be computed."""
    level = top
    *calls, last = job_id.split("/")
    for segment in calls:
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            raise KeyError(job_id)
        job = level.workflow.job(match[1])
        legs = legs_of(level, job, ended)
        index = int(match[2] or 0)
        if job.call is None or job.call.workflow is None or index >= len(legs):
            raise KeyError(job_id)
        level = enter(level, job, legs, index, ended)
    return level, level.workflow.job(last)


def legs_of(level: Level, job: Job, ended: Mapping[str, NeedResult]) -> list[Leg | None]:
    """The legs of a job's matrix; [None] without one."""
    if job.strategy.matrix is None:
        return [None]
    contexts = {**level.contexts, "needs": needs_of(level, job, ended)}
    return list(expand(job.strategy.matrix, Scope(level.workflow.file, contexts)))


def enter(
    level: Level, job: Job, legs: list[Leg | None], index: int, ended: Mapping[str, NeedResult], title: str = ""
) -> Level:
    """The workflow that one leg of a job calls. WorkflowError for inputs that it does not take."""
    assert job.call is not None
    called = job.call.workflow
    if called is None:
        raise Scope(level.workflow.file, {}).error(job.call.uses, f"there is no workflow `{job.call.uses.text}`")
    base = PlannedJob(JobKey(job.id), job.id, fail_fast=job.strategy.matrix is not None)
    contexts = {
        **level.contexts,
        **leg_contexts(base, legs[index], index, len(legs)),
        "needs": needs_of(level, job, ended),
    }
    scope = Scope(level.workflow.file, contexts)
    inner = {**level.contexts, "inputs": call_inputs(job.call, scope), "secrets": call_secrets(job.call, scope)}
    leg = f"[{index}]" if legs[index] is not None else ""
    return Level(called, inner, f"{level.prefix}{job.id}{leg}/", f"{level.title}{title or job.id} / ", (level, job))


def needs_of(level: Level, job: Job, ended: Mapping[str, NeedResult]) -> dict[str, Value]:
    """`needs`: the jobs that this one names, with their results and outputs."""
    return {name: _outcome(level, level.workflow.job(name), ended[level.prefix + name], ended)
            for name in job.needs if level.prefix + name in ended}  # fmt: skip


def _outcome(level: Level, job: Job, need: NeedResult, ended: Mapping[str, NeedResult]) -> dict[str, Value]:
    outputs = dict(need.outputs) if job.call is None else call_outputs(level, job, ended)
    return {"result": need.result, "outputs": dict(outputs)}


def call_outputs(level: Level, job: Job, ended: Mapping[str, NeedResult]) -> dict[str, str]:
    """The outputs of a called workflow. Of a matrix the later leg's stands where it is not empty."""
    outputs: dict[str, str] = {}
    legs = legs_of(level, job, ended)
    for index in range(len(legs)):
        inner = enter(level, job, legs, index, ended)
        jobs: dict[str, Value] = {
            each.id: _outcome(inner, each, ended[inner.prefix + each.id], ended)
            for each in inner.workflow.jobs
            if inner.prefix + each.id in ended
        }
        declared = inner.workflow.triggers.call
        scope = Scope(inner.workflow.file, {**inner.contexts, "jobs": jobs})
        for name, value in scope.named(declared.outputs if declared else ()).items():
            if value or name not in outputs:
                outputs[name] = value
    return outputs


def every_output(top: Level, ended: Mapping[str, NeedResult]) -> dict[str, dict[str, str]]:
    """The outputs of the jobs of the run's own workflow that have ended, by job id. What a called workflow says wrongly
    has none: whoever needs it fails by it."""
    found = {}
    for job in top.workflow.jobs:
        if job.id in ended:
            try:
                found[job.id] = dict(ended[job.id].outputs) if job.call is None else call_outputs(top, job, ended)
            except RunnerError:
                found[job.id] = {}
    return found


def status_of(level: Level, job: Job, ended: Mapping[str, NeedResult], *, cancelled: bool) -> Status:
    """What the status functions of a job's `if` see: success of all it needs, directly or not; failure of any."""
    ancestors: set[str] = set()
    waiting = list(job.needs)
    while waiting:
        name = waiting.pop()
        if name not in ancestors:
            ancestors.add(name)
            waiting.extend(level.workflow.job(name).needs)
    results = {ended[level.prefix + name].result for name in ancestors if level.prefix + name in ended}
    return Status(success=results <= {"success"} and not cancelled, failure="failure" in results, cancelled=cancelled)


def wanted(level: Level, job: Job, ended: Mapping[str, NeedResult], *, cancelled: bool) -> bool:
    """Whether the `if` of a job holds, and those of the jobs that call the workflows it is in."""
    if level.caller is not None and not wanted(*level.caller, ended, cancelled=cancelled):
        return False
    contexts = {**level.contexts, "needs": needs_of(level, job, ended)}
    return Scope(level.workflow.file, contexts).holds(job.condition, status_of(level, job, ended, cancelled=cancelled))


