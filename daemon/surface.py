"""What a peer shows of its mesh, as JSON: pure functions from the coordinator's views to the published shapes.

Keys are only ever added. What is said of a run comes out of the clock alone, so it reads the same on every peer that
has the same nodes: nothing here depends on who reads. Peers are called by name, hashes are in hexadecimal, times are
ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.schedule_view import ScheduleView
from clockmesh.coordinator.view import JobView, RunView, run_view
from clockmesh.protocol.ids import MeshId, NodeHash, PeerId, RunId
from clockmesh.protocol.plan import Remote
from clockmesh.protocol.reports import Annotation
from clockmesh.protocol.secrets import Kind

Name = Callable[[PeerId], str]
Json = dict[str, object]

VERSION = 1
"""`v` of every object that a command prints."""


class Described(Protocol):
    """One member of the mesh, as `service.PeerStatus` tells it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def is_self(self) -> bool: ...
    @property
    def live(self) -> bool: ...
    @property
    def slots(self) -> int: ...
    @property
    def labels(self) -> tuple[str, ...]: ...


class Kept(Protocol):
    """A secret or a remote, as `vault.SecretView` tells it."""

    @property
    def kind(self) -> Kind: ...
    @property
    def name(self) -> str: ...
    @property
    def workflows(self) -> tuple[str, ...]: ...
    @property
    def set_ms(self) -> int: ...
    @property
    def set_by(self) -> PeerId: ...
    @property
    def openers(self) -> tuple[PeerId, ...]: ...


def submitted_json(run: RunId) -> Json:
    return {"v": VERSION, "run": run.hex()}


def run_json(view: RunView, name: Name) -> Json:
    """`run show`: all there is to say of a run."""
    return {
        "v": VERSION,
        **_head(view, name),
        "path": view.path,
        "guard": view.guard.value,
        "cancel_asked": view.cancel_asked,
        "error": view.error,
        "jobs": [job_json(job, name) for job in view.jobs],
    }


def job_json(job: JobView, name: Name) -> Json:
    return {
        "key": job.key,
        "status": job.status.value,
        "conclusion": job.conclusion.value if job.conclusion else None,
        "peer": name(job.peer) if job.peer else None,
        "attempt": job.attempt,
        "outputs": dict(job.outputs),
        "error": job.error,
        "started_at": iso(job.started_ms),
        "finished_at": iso(job.finished_ms),
        "duplicates": job.duplicates,
        "annotations": [_annotation_json(told) for told in job.report.annotations],
        "more_annotations": job.report.more,
        "summary_bytes": job.report.summary_size,
    }


def _annotation_json(told: Annotation) -> Json:
    return {
        "level": told.level.value,
        "message": told.message,
        "step": told.step,
        "title": told.title,
        "file": told.file,
        "line": told.line or None,
        "column": told.column or None,
    }


def runs_json(views: Iterable[RunView], name: Name, total: int) -> Json:
    """`run list`, in the order given; `total` runs are known."""
    runs = []
    for view in views:
        peers = {name(job.peer) for job in view.jobs if job.peer}
        runs.append({**_head(view, name), "peers": sorted(peers)})
    return {"v": VERSION, "runs": runs, "total": total}


def _head(view: RunView, name: Name) -> Json:
    return {
        "run": view.run.hex(),
        "name": view.name,
        "status": view.status.value,
        "conclusion": view.conclusion.value if view.conclusion else None,
        "priority": view.priority,
        "submitted_by": name(view.submitted_by),
        "submitted_at": iso(view.submitted_ms),
    }


def schedules_json(views: Iterable[ScheduleView], machine: Machine, wall_ms: int) -> Json:
    """`schedule list`, in the order given; `wall_ms` is the time by the clock that schedules go by."""
    return {"v": VERSION, "now_at": iso(wall_ms), "schedules": [schedule_json(view, machine) for view in views]}


def schedule_json(view: ScheduleView, machine: Machine) -> Json:
    told = view.told
    source = told.plan.source
    return {
        "schedule": view.schedule.hex(),
        "name": told.name,
        "path": told.plan.path,
        "remote": {"url": source.url, "ref": source.ref} if isinstance(source, Remote) else None,
        "lines": [{"cron": line.cron, "timezone": line.timezone or "UTC"} for line in told.lines],
        "guard": view.guard.value,
        "electorate": sorted(machine.name_of(peer) for peer in view.electorate),
        "catch_up": told.catch_up.value,
        "overlap": told.overlap.value,
        "jitter_s": told.jitter_s,
        "priority": told.priority,
        "paused": view.paused,
        "pause_after": view.pause_after,
        "next_at": None if view.next_ms is None else iso(view.next_ms),
        "last": _last_tick(view, machine),
        "warning": view.warning,
    }


def _last_tick(view: ScheduleView, machine: Machine) -> Json | None:
    """The newest tick that was due; one that was skipped has no run."""
    if view.last_ms is None:
        return None
    due = iso(view.last_ms)
    if view.last_run is None:
        return {"due_at": due, "run": None, "status": "skipped", "conclusion": None}
    run = run_view(machine, view.last_run)
    conclusion = run.conclusion.value if run.conclusion else None
    return {"due_at": due, "run": view.last_run.hex(), "status": run.status.value, "conclusion": conclusion}


def secrets_json(key: str, views: Iterable[Kept], machine: Machine) -> Json:
    """`secret list` and `remote list`, in the order given."""
    return {"v": VERSION, key: [secret_json(view, machine) for view in views]}


def secret_json(view: Kept, machine: Machine) -> Json:
    """Of a remote its `url`, of a secret its `name`."""
    named: Json = {"url": view.name}
    if view.kind is Kind.SECRET:
        named = {"name": view.name, "workflows": list(view.workflows)}
    return {
        **named,
        "set_at": iso(view.set_ms),
        "set_by": machine.name_of(view.set_by),
        "opened_by": sorted(machine.name_of(peer) for peer in view.openers),
        "opened_by_all": len(view.openers) == len(machine.members),
    }


def peers_json(peers: Sequence[Described]) -> Json:
    """`peer list`; which of them is `self` and who is `live` is as the asked peer sees it."""
    return {
        "v": VERSION,
        "peers": [
            {
                "id": peer.id,
                "name": peer.name,
                "self": peer.is_self,
                "live": peer.live,
                "slots": peer.slots,
                "labels": list(peer.labels),
            }
            for peer in peers
        ],
    }


def status_json(name: str | None, mesh: MeshId | None, heads: Sequence[NodeHash], nodes: int) -> Json:
    """`status`; without a mesh there is no name, no head and no node."""
    return {
        "v": VERSION,
        "peer": name,
        "mesh": mesh.hex() if mesh else None,
        "heads": [head.hex() for head in heads],
        "nodes": nodes,
    }


def log_json(job: str, record: Mapping[str, object]) -> Json:
    """One line of a job's log, as its runner wrote it."""
    written = record.get("t")
    return {
        "job": job,
        "time": iso(written if isinstance(written, int) else 0),
        "step": str(record.get("step", "")),
        "text": str(record.get("text", "")),
    }


def iso(milliseconds: int) -> str | None:
    """`2026-01-02T03:04:05.678Z`; None for 0, and for what no calendar has (a stranger wrote it)."""
    if not 0 < milliseconds < 253_402_300_800_000:
        return None
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
