"""Plans and results as canonical msgpack: lists of fields in the order of their dataclasses."""

from __future__ import annotations

from collections.abc import Callable

from clockmesh.protocol import limits
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.ids import BlobHash, JobKey
from clockmesh.protocol.plan import Plan, PlannedJob, Remote, Snapshot, dependencies
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.protocol.wire import (
    array,
    ascending,
    fields,
    flag,
    integer,
    line,
    pack,
    raw_or_none,
    text,
    unpack_canonical,
)

_SNAPSHOT, _REMOTE = 0, 1
_CONCLUSIONS = {conclusion.value: conclusion for conclusion in Conclusion}
_HEX = frozenset("0123456789abcdef")


def encode_plan(plan: Plan) -> bytes:
    """Canonical bytes; LocalError if a peer would refuse them."""
    data = pack(write_plan(plan))
    _read_back(decode_plan, data, plan)
    return data


def decode_plan(data: bytes) -> Plan:
    """RemoteError unless these are the canonical bytes of a plan within its limits."""
    _check_size(data, "a plan")
    return read_plan(unpack_canonical(data))


def encode_result(result: Result) -> bytes:
    """Canonical bytes; LocalError if a peer would refuse them (outputs above 16 KiB, a line that is none, ...)."""
    data = pack(write_result(result))
    _read_back(decode_result, data, result)
    return data


def decode_result(data: bytes) -> Result:
    """RemoteError unless these are the canonical bytes of a result within its limits."""
    _check_size(data, "a result")
    return read_result(unpack_canonical(data))


def _check_size(data: bytes, what: str) -> None:
    if len(data) > limits.MAX_NODE_BYTES:
        raise RemoteError(f"{what} of {len(data)} bytes is above {limits.MAX_NODE_BYTES}")


def _read_back(decode: Callable[[bytes], object], data: bytes, value: object) -> None:
    try:
        same = decode(data) == value
    except RemoteError as error:
        raise LocalError(str(error)) from error
    if not same:
        raise LocalError("does not read back as it was written (a list where a tuple belongs?)")


def write_plan(plan: Plan) -> list[object]:
    """The fields of a plan as msgpack values, unchecked."""
    return [
        plan.name,
        plan.path,
        plan.workflow,
        _write_source(plan.source),
        plan.event,
        [_write_job(job) for job in plan.jobs],
        [list(pair) for pair in plan.inputs],
        plan.force,
    ]


def _write_source(source: Snapshot | Remote) -> list[object]:
    if isinstance(source, Snapshot):
        return [_SNAPSHOT, source.blob, source.size, source.sha, source.ref, source.origin]
    return [_REMOTE, source.url, source.ref, source.sha]


def _write_job(job: PlannedJob) -> list[object]:
    return [
        job.key,
        job.job_id,
        list(job.needs),
        list(job.labels),
        job.matrix,
        job.max_parallel,
        job.fail_fast,
        job.continue_on_error,
        job.timeout_s,
    ]


def write_result(result: Result) -> list[object]:
    """The fields of a result as msgpack values, unchecked."""
    return [
        result.conclusion.value,
        [list(pair) for pair in result.outputs],
        result.error,
        result.log,
        result.log_size,
        result.started_ms,
        result.finished_ms,
        None if result.resolved is None else write_plan(result.resolved),
    ]


def read_plan(value: object) -> Plan:
    """A plan out of msgpack values; RemoteError names the field that is wrong."""
    name, path, workflow, source, event, jobs, inputs, force = fields(value, "plan", 8)
    plan = Plan(
        name=line(name, "workflow name", limits.MAX_TITLE),
        path=line(path, "workflow path", limits.MAX_PATH),
        workflow=_blob(workflow, "workflow blob"),
        source=_read_source(source),
        event=line(event, "event name", limits.MAX_EVENT_NAME),
        jobs=tuple(_read_job(job) for job in array(jobs, "jobs", limits.MAX_JOBS_PER_PLAN, 1)),
        inputs=_read_pairs(inputs, "inputs", limits.MAX_INPUTS, limits.MAX_INPUT),
        force=flag(force, "force"),
    )
    _check_needs(plan)
    return plan


def _blob(value: object, what: str) -> BlobHash | None:
    found = raw_or_none(value, what, 32)
    return None if found is None else BlobHash(found)


def _read_source(value: object) -> Snapshot | Remote:
    kind, *rest = array(value, "source", 6, 1)
    if type(kind) is int and kind == _SNAPSHOT:
        blob, size, sha, ref, origin = fields(rest, "snapshot", 5)
        return Snapshot(
            blob=_blob(blob, "snapshot blob"),
            size=integer(size, "snapshot size", 0, limits.MAX_BLOB_BYTES),
            sha=_read_sha(sha),
            ref=line(ref, "ref", limits.MAX_REF),
            origin=line(origin, "origin", limits.MAX_URL),
        )
    if type(kind) is int and kind == _REMOTE:
        url, ref, sha = fields(rest, "remote", 3)
        return Remote(
            url=line(url, "remote URL", limits.MAX_URL, 1),
            ref=line(ref, "ref", limits.MAX_REF),
            sha=_read_sha(sha),
        )
    raise RemoteError("source is neither a snapshot nor a remote")


def _read_sha(value: object) -> str:
    sha = line(value, "commit id", 40)
    if sha and (len(sha) != 40 or not _HEX.issuperset(sha)):
        raise RemoteError("commit id must be 40 lower-case hexadecimal digits or empty")
    return sha


def _read_job(value: object) -> PlannedJob:
    key, job_id, needs, labels, matrix, max_parallel, fail_fast, continue_on_error, timeout_s = fields(value, "job", 9)
    return PlannedJob(
        key=JobKey(line(key, "job key", limits.MAX_KEY, 1)),
        job_id=line(job_id, "job id", limits.MAX_JOB_ID, 1),
        needs=tuple(line(need, "need", limits.MAX_JOB_ID, 1) for need in array(needs, "needs", limits.MAX_NEEDS)),
        labels=tuple(line(label, "label", limits.MAX_LABEL, 1) for label in array(labels, "labels", limits.MAX_LABELS)),
        matrix=text(matrix, "matrix values", limits.MAX_MATRIX),
        max_parallel=integer(max_parallel, "max-parallel", 0, limits.MAX_JOBS_PER_PLAN),
        fail_fast=flag(fail_fast, "fail-fast"),
        continue_on_error=flag(continue_on_error, "continue-on-error"),
        timeout_s=integer(timeout_s, "job timeout", 1, limits.MAX_TIMEOUT_S),
    )


def _read_pairs(value: object, what: str, count: int, longest: int) -> tuple[tuple[str, str], ...]:
    """Names with text values, sorted by name, each name once."""
    pairs = []
    for pair in array(value, what, count):
        name, content = fields(pair, what, 2)
        pairs.append((line(name, f"name in {what}", limits.MAX_OUTPUT_NAME, 1), text(content, what, longest)))
    ascending(tuple(name for name, _ in pairs), what)
    return tuple(pairs)


def _check_needs(plan: Plan) -> None:
    """RemoteError unless keys are unique, legs of one job need the same, and needs exist without a cycle."""
    if len({job.key for job in plan.jobs}) != len(plan.jobs):
        raise RemoteError("two jobs of a plan have one key")
    needs: dict[str, tuple[str, ...]] = {}
    for job in plan.jobs:
        if needs.setdefault(job.job_id, job.needs) != job.needs:
            raise RemoteError(f"legs of job {job.job_id!r} have different needs")
    known = dependencies(plan.jobs)
    waiting = {job_id: needed for job_id, needed in known.items() if needed}
    if any(not needed <= known.keys() for needed in waiting.values()):
        raise RemoteError("a job needs one that is not in the plan")
    # Kahn's algorithm, driven by reverse edges: linear, and no recursion for a stranger to exhaust.
    needed_by: dict[str, list[str]] = {}
    for job_id, needed in waiting.items():
        for other in needed:
            needed_by.setdefault(other, []).append(job_id)
    done = [job_id for job_id in known if job_id not in waiting]
    while done:
        finished = done.pop()
        for job_id in needed_by.get(finished, ()):
            waiting[job_id].discard(finished)
            if not waiting[job_id]:
                del waiting[job_id]
                done.append(job_id)
    if waiting:
        raise RemoteError(f"jobs need one another in a circle: {sorted(waiting)[0]!r}")


def read_result(value: object) -> Result:
    """A result out of msgpack values; RemoteError names the field that is wrong."""
    conclusion, outputs, error, log, log_size, started_ms, finished_ms, resolved = fields(value, "result", 8)
    pairs = _read_pairs(outputs, "outputs", limits.MAX_OUTPUTS, limits.MAX_OUTPUT_BYTES)
    if sum(len(name.encode()) + len(content.encode()) for name, content in pairs) > limits.MAX_OUTPUT_BYTES:
        raise RemoteError(f"outputs are above {limits.MAX_OUTPUT_BYTES} bytes together")
    if type(conclusion) is not str or conclusion not in _CONCLUSIONS:
        raise RemoteError("conclusion is not one of " + ", ".join(_CONCLUSIONS))
    return Result(
        conclusion=_CONCLUSIONS[conclusion],
        outputs=pairs,
        error=line(error, "error", limits.MAX_ERROR),
        log=_blob(log, "log blob"),
        log_size=integer(log_size, "log size"),
        started_ms=integer(started_ms, "start time"),
        finished_ms=integer(finished_ms, "end time"),
        resolved=None if resolved is None else read_plan(resolved),
    )
