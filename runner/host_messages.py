"""What daemon and runner host say to each other over `host.sock`.

A frame is a 4-byte big-endian length and a msgpack map. The socket is local and both ends are of one version, so the
bound is wide: a spec carries the outputs of every ended job of its run, which may exceed what peers exchange.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack

from clockmesh.protocol.ids import AttemptRef, JobKey, RunId
from clockmesh.runner.sandbox import NO_SANDBOX, Sandbox, sandbox_from_map, sandbox_to_map
from clockmesh.runner.spec import JobSpec, given_from_map, given_to_map, spec_from_map, spec_to_map

MAX_LOCAL_FRAME = 32 * 1024 * 1024
"""1024 jobs with 16 KiB of outputs each, and the plan."""


_OLD = "the runner host that runs is of an earlier version and makes no sandbox; restart it"


class BadFrame(Exception):
    """The other end does not speak this protocol: close the connection."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First on every connection. Supersedes all earlier connections; refused (closed) when `incarnation` is below
    one that was seen."""

    incarnation: int
    lease: float = 15.0
    """Seconds after the last job, without a daemon, at which the host ends itself."""
    sandbox: Sandbox = NO_SANDBOX
    """Of the jobs that are started from now on."""


@dataclass(frozen=True, slots=True)
class Start:
    spec: JobSpec
    deadline: float
    """D, seconds of CLOCK_BOOTTIME, as everywhere here."""


@dataclass(frozen=True, slots=True)
class Extend:
    """Moves D forward, never back, and never after it has passed."""

    ref: AttemptRef
    deadline: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel politely: SIGINT, 7.5 s, SIGTERM, 2.5 s, SIGKILL; `if: always()` steps still run."""

    ref: AttemptRef


@dataclass(frozen=True, slots=True)
class Kill:
    """End it now; no result."""

    ref: AttemptRef


@dataclass(frozen=True, slots=True)
class Forget:
    """The attempt's end is in the clock: drop its record and its work directory, keep its log."""

    ref: AttemptRef


@dataclass(frozen=True, slots=True)
class QuitIfIdle:
    """From a daemon that stops in order: the host ends itself now, unless a job runs."""


Command = Hello | Start | Extend | Stop | Kill | Forget | QuitIfIdle


@dataclass(frozen=True, slots=True)
class KnownJob:
    ref: AttemptRef
    deadline: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Jobs:
    """The answer to `Hello`; an `Ended` for each ended one follows."""

    jobs: tuple[KnownJob, ...]
    refused: str = ""
    """Why no job can be started in the sandbox that was asked for; '' where one can."""


@dataclass(frozen=True, slots=True)
class Started:
    ref: AttemptRef
    pid: int
    """The job's leading process; its parent ends the whole tree when the host dies."""


@dataclass(frozen=True, slots=True)
class Ended:
    ref: AttemptRef
    result: bytes | None
    """An encoded Result; None when the attempt has none: killed at D, by `Kill`, from outside, or never started."""
    why: str = ""
    """Without a result: the reason, in a few words; 'deadline' when D had passed."""
    workflow: str = ""
    """Of the job `ids.RESOLVE`: path of the file with the workflow's bytes as found at the remote."""


Report = Jobs | Started | Ended


def pack_command(command: Command) -> bytes:
    """The whole frame."""
    match command:
        case Hello(incarnation, lease, sandbox):
            asked = sandbox_to_map(sandbox)
            return _frame({"do": "hello", "incarnation": incarnation, "lease": lease, "sandbox": asked})
        case Start(spec, deadline):
            told = {"spec": spec_to_map(spec), "given": given_to_map(spec.given), "deadline": deadline}
            return _frame({"do": "start", **told})
        case Extend(ref, deadline):
            return _frame({"do": "extend", **_ref_to_map(ref), "deadline": deadline})
        case Stop(ref):
            return _frame({"do": "stop", **_ref_to_map(ref)})
        case Kill(ref):
            return _frame({"do": "kill", **_ref_to_map(ref)})
        case Forget(ref):
            return _frame({"do": "forget", **_ref_to_map(ref)})
        case QuitIfIdle():
            return _frame({"do": "quit_if_idle"})


def command_from_map(fields: Mapping[str, Any]) -> Command:
    """What `CommandReader` does with a frame; BadFrame when a field is missing or wrong."""
    try:
        match fields["do"]:
            case "hello":
                return Hello(
                    int(fields["incarnation"]),
                    float(fields["lease"]),
                    sandbox_from_map(fields["sandbox"]) if "sandbox" in fields else NO_SANDBOX,
                )
            case "start":
                spec = replace(spec_from_map(fields["spec"]), given=given_from_map(fields["given"]))
                return Start(spec, float(fields["deadline"]))
            case "extend":
                return Extend(_ref_from_map(fields), float(fields["deadline"]))
            case "stop":
                return Stop(_ref_from_map(fields))
            case "kill":
                return Kill(_ref_from_map(fields))
            case "forget":
                return Forget(_ref_from_map(fields))
            case "quit_if_idle":
                return QuitIfIdle()
            case other:
                raise BadFrame(f"unknown command {other!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFrame(f"a command lacks something: {error!r}") from error


def pack_report(report: Report) -> bytes:
    """The whole frame."""
    match report:
        case Jobs(jobs, refused):
            known = [{**_ref_to_map(job.ref), "deadline": job.deadline, "ended": job.ended} for job in jobs]
            return _frame({"is": "jobs", "jobs": known, "refused": refused})
        case Started(ref, pid):
            return _frame({"is": "started", **_ref_to_map(ref), "pid": pid})
        case Ended(ref, result, why, workflow):
            return _frame({"is": "ended", **_ref_to_map(ref), "result": result, "why": why, "workflow": workflow})


def report_from_map(fields: Mapping[str, Any]) -> Report:
    """What `ReportReader` does with a frame; BadFrame when a field is missing or wrong."""
    try:
        match fields["is"]:
            case "jobs":
                return Jobs(
                    tuple(
                        KnownJob(_ref_from_map(job), float(job["deadline"]), bool(job["ended"]))
                        for job in fields["jobs"]
                    ),
                    str(fields.get("refused", _OLD)),
                )
            case "started":
                return Started(_ref_from_map(fields), int(fields["pid"]))
            case "ended":
                result = fields["result"]
                if result is not None and not isinstance(result, bytes):
                    raise BadFrame("a result is not bytes")
                return Ended(_ref_from_map(fields), result, str(fields["why"]), str(fields["workflow"]))
            case other:
                raise BadFrame(f"unknown report {other!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise BadFrame(f"a report lacks something: {error!r}") from error


class FrameBuffer:
    """Collects bytes as they come and gives the maps that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The maps that `data` completes, in order; BadFrame for anything else than bounded maps."""
        self._buffer += data
        maps = []
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from(">I", self._buffer)
            if length > MAX_LOCAL_FRAME:
                raise BadFrame(f"a frame of {length} bytes is above the limit")
            if len(self._buffer) < 4 + length:
                break
            maps.append(_unpack(bytes(self._buffer[4 : 4 + length])))
            del self._buffer[: 4 + length]
        return maps


class CommandReader:
    """The host's side: bytes in, commands out."""

    def __init__(self) -> None:
        self._frames = FrameBuffer()

    def feed(self, data: bytes) -> list[Command]:
        return [command_from_map(fields) for fields in self._frames.feed(data)]


class ReportReader:
    """The daemon's side: bytes in, reports out."""

    def __init__(self) -> None:
        self._frames = FrameBuffer()

    def feed(self, data: bytes) -> list[Report]:
        return [report_from_map(fields) for fields in self._frames.feed(data)]


def socket_path(home: Path) -> Path:
    return home / "host.sock"


def _frame(fields: Mapping[str, Any]) -> bytes:
    data: bytes = msgpack.packb(fields, use_bin_type=True)
    return struct.pack(">I", len(data)) + data


def _unpack(data: bytes) -> dict[str, Any]:
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except Exception as error:  # msgpack raises a dozen kinds; whatever it is, the frame is bad
        raise BadFrame(f"not msgpack: {error}") from error
    if not isinstance(fields, dict):
        raise BadFrame("a frame is not a map")
    return fields


def _ref_to_map(ref: AttemptRef) -> dict[str, Any]:
    return {"run": ref.run, "key": ref.key, "attempt": ref.attempt}


def _ref_from_map(fields: Mapping[str, Any]) -> AttemptRef:
    run, key, attempt = fields["run"], fields["key"], fields["attempt"]
    if not isinstance(run, bytes) or len(run) != 32 or not isinstance(key, str) or not isinstance(attempt, int):
        raise BadFrame("a reference names no attempt")
    return AttemptRef(RunId(run), JobKey(key), attempt)
