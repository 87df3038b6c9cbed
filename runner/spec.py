"""What the daemon hands to the runner host for one attempt, and where that attempt lives on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmesh.protocol.codec import decode_plan, encode_plan
from clockmesh.protocol.ids import AttemptRef, JobKey, RunId
from clockmesh.protocol.plan import Plan, PlannedJob
from clockmesh.runner.remotes import Credential


@dataclass(frozen=True, slots=True)
class NeedResult:
    """What another job of the run came to, as `needs` shows it: all legs of a matrix together."""

    result: str
    """success, failure, cancelled or skipped; a failure under continue-on-error is success here."""
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """What a job gets beside its plan: on the mesh what its workflow may have of the mesh's secrets, on this machine
    alone what the person who starts it adds. No file holds it."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    """The context `secrets`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The context `vars`."""
    event: Mapping[str, Any] | None = None
    """`github.event`; None: what the plan tells of it."""
    credential: Credential | None = None
    """Of the run's own repository."""

    @property
    def hidden(self) -> list[str]:
        """What no log may show."""
        own = [self.credential.password, self.credential.basic] if self.credential else []
        return [*self.secrets.values(), *own]

    @property
    def debug(self) -> bool:
        """Debug logging is asked for, in GitHub's way."""
        return "true" in (self.secrets.get("ACTIONS_STEP_DEBUG"), self.variables.get("ACTIONS_STEP_DEBUG"))


NOTHING_GIVEN = Given()


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One attempt at one job: all that the host must know, so that it asks nobody while the job runs."""

    run: str
    """The run id, 64 hexadecimal digits."""
    key: str
    attempt: int
    plan: Plan
    """The resolved plan; for the job `ids.RESOLVE` the submitted one."""
    workflow: str = ""
    """Path of the file with the workflow's bytes; '' for the job `ids.RESOLVE`."""
    snapshot: str = ""
    """Path of the file with the snapshot's bytes; '' for a remote source or a run without source."""
    needs: Mapping[str, NeedResult] = field(default_factory=dict)
    """By job id, every job of the run that has ended: `if: failure()` looks at ancestors, not at `needs` alone."""
    cancelled: bool = False
    """A cancel was asked for before the job started: only `if: always()` and `if: cancelled()` let it run."""
    actor: str = ""
    """Name of the peer that submitted the run."""
    peer: str = ""
    """Name of the peer that runs this attempt."""
    submitted_ms: int = 0
    """Wall time of the submission."""
    run_number: int = 1
    """`github.run_number`."""
    given: Given = NOTHING_GIVEN
    """Never written to disk."""
    schedule: str = ""
    """The cron line that made this run: `github.event.schedule`; '' for a run that is no tick."""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    """Of the jobs that have ended: by name, the paths of the archives."""
    caches: str = ""
    """Folder of this machine's caches for the repository; '' where none are kept."""
    keeps_artifacts: bool = False
    """What the job uploads is wanted."""
    work: str = ""
    """Where the job's places are, as its processes see it; '': in the attempt's directory."""
    sandbox: str = ""
    """What the log says of the sandbox that the job is in; '' without one."""

    @property
    def ref(self) -> AttemptRef:
        return AttemptRef(RunId(bytes.fromhex(self.run)), JobKey(self.key), self.attempt)

    @property
    def job(self) -> PlannedJob:
        """This job in the plan; KeyError when the plan has none of that key."""
        for job in self.plan.jobs:
            if job.key == self.key:
                return job
        raise KeyError(f"the plan has no job {self.key!r}")


def job_dir(home: Path, ref: AttemptRef) -> Path:
    """The attempt's directory: `log` (kept), and until `forget` also `spec`, `result`, `workflow`, `annotations`,
    `summary` and `work/`."""
    return home / "jobs" / ref.run.hex() / f"{hashlib.sha256(ref.key.encode()).hexdigest()[:16]}-{ref.attempt}"


def given_to_map(given: Given) -> dict[str, Any]:
    """For the socket between daemon and host, and nowhere else."""
    return {
        "secrets": dict(given.secrets),
        "variables": dict(given.variables),
        "event": None if given.event is None else dict(given.event),
        "credential": None if given.credential is None else [given.credential.user, given.credential.password],
    }


def given_from_map(fields: Mapping[str, Any]) -> Given:
    """Inverse of `given_to_map`; KeyError, TypeError or ValueError where something is missing or wrong."""
    credential = fields["credential"]
    return Given(
        secrets={str(name): str(value) for name, value in fields["secrets"].items()},
        variables={str(name): str(value) for name, value in fields["variables"].items()},
        event=None if fields["event"] is None else dict(fields["event"]),
        credential=None if credential is None else Credential(*map(str, credential)),
    )


def spec_to_map(spec: JobSpec) -> dict[str, Any]:
    """What of a spec another process may read: all but `given`, which no file may hold, and what only a run without a
    mesh has."""
    return {
        "run": spec.run,
        "key": spec.key,
        "attempt": spec.attempt,
        "plan": encode_plan(spec.plan),
        "workflow": spec.workflow,
        "snapshot": spec.snapshot,
        "needs": {job: [need.result, dict(need.outputs)] for job, need in spec.needs.items()},
        "cancelled": spec.cancelled,
        "actor": spec.actor,
        "peer": spec.peer,
        "submitted_ms": spec.submitted_ms,
        "run_number": spec.run_number,
        "schedule": spec.schedule,
    }


def spec_from_map(fields: Mapping[str, Any]) -> JobSpec:
    """Inverse of `spec_to_map`; KeyError, TypeError, ValueError or RemoteError where a field is missing or wrong."""
    needs = {str(job): NeedResult(str(result), dict(outputs)) for job, (result, outputs) in fields["needs"].items()}
    return JobSpec(
        run=str(fields["run"]),
        key=str(fields["key"]),
        attempt=int(fields["attempt"]),
        plan=decode_plan(fields["plan"]),
        workflow=str(fields["workflow"]),
        snapshot=str(fields["snapshot"]),
        needs=needs,
        cancelled=bool(fields["cancelled"]),
        actor=str(fields["actor"]),
        peer=str(fields["peer"]),
        submitted_ms=int(fields["submitted_ms"]),
        run_number=int(fields["run_number"]),
        schedule=str(fields.get("schedule", "")),
    )
