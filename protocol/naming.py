"""How things get their names: hashes with a domain each, so that one can never pass for another."""

from __future__ import annotations

from hashlib import sha256

from clockmesh.protocol.event_codec import encode_event
from clockmesh.protocol.events import RunSubmitted
from clockmesh.protocol.ids import AttemptRef, MeshId, PeerId, ResultHash, RunId, ScheduleId, SecretId, SetHash
from clockmesh.protocol.plan import Plan
from clockmesh.protocol.plan_codec import write_plan, write_result
from clockmesh.protocol.result import Result
from clockmesh.protocol.schedules import ScheduleMoved, ScheduleSet
from clockmesh.protocol.secrets import SecretSet
from clockmesh.protocol.wire import pack


def mesh_id(founder: PeerId, nonce: bytes) -> MeshId:
    return MeshId(sha256(b"clockmesh/mesh/1\0" + founder + nonce).digest())


def plan_hash(plan: Plan) -> bytes:
    """32 bytes."""
    return sha256(b"clockmesh/plan/1\0" + pack(write_plan(plan))).digest()


def result_hash(result: Result) -> ResultHash:
    return ResultHash(sha256(b"clockmesh/result/1\0" + pack(write_result(result))).digest())


def electorate_seed(heads: bytes, plan: Plan, nonce: bytes) -> bytes:
    """32 bytes, from which a submitter draws the run's electorate. It cannot be the run id, which names the
    electorate among all else that was submitted."""
    return sha256(b"clockmesh/electorate/1\0" + heads + plan_hash(plan) + nonce).digest()


def run_id(event: RunSubmitted) -> RunId:
    """The run's origin. It commits to the whole submission, so a run has one plan, one guard and one electorate."""
    submission = sha256(encode_event(event)).digest()
    return RunId(sha256(b"clockmesh/run/1\0" + event.heads + event.nonce + submission).digest())


def schedule_id(event: ScheduleSet) -> ScheduleId:
    """It commits to the whole event, so a schedule has one plan and one first electorate."""
    return ScheduleId(sha256(b"clockmesh/schedule/1\0" + encode_event(event)).digest())


def move_hash(event: ScheduleMoved) -> SetHash:
    return SetHash(sha256(b"clockmesh/schedule-move/1\0" + encode_event(event)).digest())


def tick_run(schedule: ScheduleId, due_ms: int) -> RunId:
    """The run of one tick, the same whoever submits it."""
    return RunId(sha256(b"clockmesh/tick/1\0" + schedule + due_ms.to_bytes(8, "big")).digest())


def secret_id(event: SecretSet) -> SecretId:
    """It commits to the whole event, so a key that is shared for it belongs to one value."""
    return SecretId(sha256(b"clockmesh/secret/1\0" + encode_event(event)).digest())


def task_hash(ref: AttemptRef) -> bytes:
    """32 bytes: what ownership of this attempt is computed from (SHA-256 of canonical [run, key, attempt])."""
    return sha256(pack([ref.run, ref.key, ref.attempt])).digest()
