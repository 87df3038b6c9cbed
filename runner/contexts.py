"""The contexts of expressions, out of a plan and of what is known where a job runs.

What changes while a job runs (`env`, `steps`, `job.status`) belongs to whoever runs it; here these start empty.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from clockmesh.protocol.plan import Plan, PlannedJob, Remote
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import Value
from clockmesh.runner.inputs import inputs_context
from clockmesh.runner.matrix import Leg, expand, leg_json
from clockmesh.runner.model import Job, Workflow
from clockmesh.runner.spec import NOTHING_GIVEN, Given, JobSpec

NO_SERVER = "https://github.com"
"""`github.server_url` where no origin says another: what scripts expect to find there."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a job runs, for `runner` and `github`."""

    name: str
    """The peer's."""
    arch: str
    """X64 or ARM64."""
    workspace: str
    temp: str
    tool_cache: str
    event_path: str = ""


def plan_contexts(workflow: Workflow, plan: Plan, given: Given = NOTHING_GIVEN) -> dict[str, Value]:
    """The contexts that are known before any job runs: github, inputs, vars, secrets."""
    return {
        "github": github_context(workflow, plan, given),
        "inputs": inputs_context(workflow, plan.inputs),
        "vars": dict(given.variables),
        "secrets": dict(given.secrets),
    }


def leg_contexts(planned: PlannedJob, leg: Leg | None, index: int, total: int) -> dict[str, Value]:
    """`matrix` and `strategy` of the leg number `index` (from 0) of `total`; a job without a matrix is its only leg."""
    return {
        "matrix": leg,
        "strategy": {
            "fail-fast": planned.fail_fast or leg is None,
            "job-index": index,
            "job-total": total,
            "max-parallel": planned.max_parallel or total,
        },
    }


def job_matrix(workflow: Workflow, job: Job, planned: PlannedJob, contexts: Mapping[str, Value]) -> Leg | None:
    """The leg's values in the order in which the file gives them, which the plan's canonical JSON does not keep."""
    if not planned.matrix:
        return None
    legs: list[Leg] = []
    if job.strategy.matrix is not None:
        with contextlib.suppress(RunnerError):
            # Another version may expand otherwise than the one that planned; the plan's values hold.
            legs = expand(job.strategy.matrix, Scope(workflow.file, contexts))
    return next((leg for leg in legs if leg_json(leg) == planned.matrix), None) or json.loads(planned.matrix)


def github_context(
    workflow: Workflow, plan: Plan, given: Given = NOTHING_GIVEN, schedule: str = ""
) -> dict[str, Value]:
    """What the plan alone tells of `github`, and the cron line of a tick."""
    source = plan.source
    url = _public(source.url if isinstance(source, Remote) else source.origin)
    server, repository = repository_of(url)
    ref = _full_ref(source.ref)
    kind, _, short_ref = ref.removeprefix("refs/").partition("/")
    return {
        "actor": "",
        "event": event_payload(workflow, plan, schedule) if given.event is None else dict(given.event),
        "event_name": plan.event,
        "ref": ref,
        "ref_name": short_ref,
        "ref_type": "tag" if kind == "tags" else "branch",
        "ref_protected": False,
        "base_ref": _branch_of(given, "base"),
        "head_ref": _branch_of(given, "head"),
        "repository": repository,
        "repository_owner": repository.partition("/")[0],
        "repositoryUrl": url,
        "sha": source.sha,
        "server_url": server,
        "api_url": f"{server}/api/v3" if server != NO_SERVER else "https://api.github.com",
        "graphql_url": f"{server}/api/graphql" if server != NO_SERVER else "https://api.github.com/graphql",
        "workflow": workflow.name or plan.path,
        "workflow_ref": f"{repository}/{plan.path}@{ref}" if repository else plan.path,
        "workflow_sha": source.sha,
        "token": given.secrets.get("GITHUB_TOKEN", ""),
        "retention_days": "90",
        "run_attempt": "1",
    }


def _branch_of(given: Given, side: str) -> str:
    """Of a pull request: `github.head_ref` and `github.base_ref`."""
    request = (given.event or {}).get("pull_request")
    branch = request.get(side) if isinstance(request, dict) else None
    ref = branch.get("ref") if isinstance(branch, dict) else None
    return ref if isinstance(ref, str) else ""


def attempt_facts(spec: JobSpec, planned: PlannedJob, machine: Machine) -> dict[str, Value]:
    """What running adds to `github`. `run_attempt` counts re-runs by people: an attempt elsewhere keeps it at 1."""
    return {
        "actor": spec.actor,
        "triggering_actor": spec.actor,
        "job": planned.job_id.rpartition("/")[2],
        "run_id": run_number_of(spec.run),
        "run_number": str(spec.run_number),
        "workspace": machine.workspace,
        "event_path": machine.event_path,
        "action": "",
        "action_path": "",
    }


def run_number_of(run: str) -> str:
    """A run id (hexadecimal) as `github.run_id` has it: digits, small enough for a double."""
    return str(int(run[:12], 16))


def event_payload(workflow: Workflow, plan: Plan, schedule: str = "") -> dict[str, Value]:
    """`github.event`, and what the file GITHUB_EVENT_PATH holds: the parts of GitHub's payload that exist here.
    Without a tick's own cron line the first of the workflow stands for it."""
    source = plan.source
    url = _public(source.url if isinstance(source, Remote) else source.origin)
    _, repository = repository_of(url)
    owner, _, name = repository.partition("/")
    ref = _full_ref(source.ref)
    payload: dict[str, Value] = {
        "ref": ref,
        "repository": {"full_name": repository, "name": name, "owner": {"login": owner}, "clone_url": url},
        "workflow": plan.path,
    }
    if plan.event == "workflow_dispatch":
        payload["inputs"] = dict(plan.inputs)
    elif plan.event == "push":
        payload |= {"after": source.sha, "head_commit": {"id": source.sha}}
    elif plan.event == "schedule" and (schedule or workflow.triggers.schedules):
        payload["schedule"] = schedule or workflow.triggers.schedules[0].cron
    return payload


def _full_ref(ref: str) -> str:
    return ref if not ref or ref.startswith("refs/") else f"refs/heads/{ref}"


_PASSWORD = re.compile(r"(?<=://)[^/@]*@")


def _public(url: str) -> str:
    """A URL without user and password: contexts are printed."""
    return _PASSWORD.sub("", url)


_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")


def repository_of(url: str) -> tuple[str, str]:
    """(server URL, `owner/name`) of a git URL; a local path gives its last two folders."""
    if not url:
        return NO_SERVER, ""
    if "://" not in url and (match := _SCP.fullmatch(url)):
        server, path = f"https://{match.group(1)}", match.group(2)
    else:
        try:
            parts = urlsplit(url)
            host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port and parts.scheme.startswith('http') else ''}"
        except ValueError:
            return NO_SERVER, ""
        scheme = parts.scheme if parts.scheme in ("http", "https") else "https"
        server, path = f"{scheme}://{host}" if host else NO_SERVER, parts.path
    pieces = [piece for piece in path.removesuffix("/").removesuffix(".git").split("/") if piece]
    return server, "/".join(pieces[-2:])


def iso_time(ms: int) -> str:
    """Wall time in GitHub's form, `2026-02-27T13:07:30Z`."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
