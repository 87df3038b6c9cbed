"""What docs/protocol.md pins, made from fixed inputs. `python -m tests.vectors.protocol_vectors` prints it."""

from __future__ import annotations

from dataclasses import replace

from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.codec import (
    electorate_seed,
    encode_beacon,
    encode_event,
    encode_plan,
    encode_result,
    mesh_id,
    move_hash,
    plan_hash,
    result_hash,
    run_id,
    schedule_id,
    secret_id,
    task_hash,
    tick_run,
)
from clockmesh.protocol.events import (
    AttemptEnded,
    CancelAsked,
    ClaimGranted,
    Description,
    Ending,
    ForkProven,
    InvitationRedeemed,
    JobClaimed,
    MeshFounded,
    Noted,
    PeerAdmitted,
    PeerDescribed,
    ResultAccepted,
    ResultProposed,
    RunSubmitted,
    UnknownEvent,
)
from clockmesh.protocol.framing import frame
from clockmesh.protocol.ids import AttemptRef, JobKey, NodeHash, SetHash, peer_text
from clockmesh.protocol.invitation import Invitation
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.messages import (
    BlobChunk,
    BlobManifest,
    BlobMissing,
    BlobRequest,
    BlobsRequest,
    JoinAccepted,
    JoinRefused,
    JoinRequest,
    LogData,
    LogEnd,
    LogRequest,
    NodesRequest,
    Refused,
    SyncDone,
    SyncNodes,
    SyncRequest,
    encode_message,
)
from clockmesh.protocol.plan import Guard, Plan, PlannedJob, Remote, Snapshot
from clockmesh.protocol.reports import Annotation, JobReported, Level, Report
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.protocol.schedules import (
    CatchUp,
    CronLine,
    Overlap,
    ScheduleMoved,
    SchedulePaused,
    SchedulePausesAfter,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSet,
    ScheduleVoted,
    TickSkipped,
    TickSubmitted,
)
from clockmesh.protocol.secrets import KeysShared, Kind, Sealed, SecretRemoved, SecretSet

ADA = SigningKey.from_seed(bytes(range(32)))
BOB = SigningKey.from_seed(bytes(range(32, 64)))
NONCE = bytes(range(16))
WALL_MS = 1_750_000_000_000
DUE_MS = 1_750_000_020_000
BUILD = JobKey("build")
CONTENT = bytes(200_000)
ADA_DESCRIPTION = Description("ada", 2, ("linux", "x64"), ("/ip4/192.0.2.7/tcp/4001",))
BOB_DESCRIPTION = Description("bob", 0)


def vectors() -> dict[str, str]:
    """Name and value, bytes in hexadecimal."""
    mesh = mesh_id(ADA.peer, NONCE)
    clock = Clock(mesh)
    founding = append(clock, ADA, wall_ms=WALL_MS, events=[MeshFounded(NONCE, ADA_DESCRIPTION)])
    admission = append(
        clock,
        ADA,
        wall_ms=WALL_MS + 1,
        events=[InvitationRedeemed(NONCE), PeerAdmitted(BOB.peer, BOB_DESCRIPTION)],
    )
    workflow = manifest_of(b"on: push\n").blob
    plan = Plan("Scrape", "scrape.yml", workflow, Snapshot(), "push", (PlannedJob(BUILD, "build", (), ("linux",)),))
    electorate = tuple(sorted((ADA.peer, BOB.peer)))
    submission = RunSubmitted(NONCE, clock.combined_head(), plan, Guard.QUORUM, 15_000, 5.0, electorate)
    run = run_id(submission)
    submitting = append(clock, BOB, wall_ms=WALL_MS + 2, events=[submission])
    result = Result(Conclusion.SUCCESS, (("rows", "12"),), "", workflow, 9, WALL_MS, WALL_MS + 5)
    remote = Plan(
        "", "scrape.yml", None, Remote("git://192.0.2.8/site.git", "main"), "push", (PlannedJob(BUILD, "build"),)
    )
    lines = (CronLine("0 6 * * *", "Europe/Berlin"), CronLine("*/15 * * * *"))
    begun = ScheduleSet(
        NONCE, "scrape", lines, remote, Guard.QUORUM, True, 15_000, 5.0, (ADA.peer,), CatchUp.LAST, 604_800, 100,
        Overlap.SKIP, 30, WALL_MS,
    )
    schedule = schedule_id(begun)
    moved = ScheduleMoved(schedule, SetHash(schedule), 1, Guard.QUORUM, submission.electorate, WALL_MS + 60_000)
    secret = SecretSet(
        Kind.SECRET, "TOKEN", ("Scrape",), 1, Sealed(bytes(range(24)), bytes(17), ((ADA.peer, bytes(80)),))
    )
    events = {
        "mesh founded": MeshFounded(NONCE, ADA_DESCRIPTION),
        "invitation redeemed": InvitationRedeemed(NONCE),
        "peer admitted": PeerAdmitted(BOB.peer, BOB_DESCRIPTION),
        "peer described": PeerDescribed(BOB_DESCRIPTION),
        "run submitted": submission,
        "cancel asked": CancelAsked(run),
        "job claimed": JobClaimed(run, BUILD, 1, 3),
        "claim granted": ClaimGranted(run, BUILD, 1, ADA.peer),
        "claim granted, carrying": ClaimGranted(run, BUILD, 2, BOB.peer, 1, result_hash(result)),
        "attempt ended": AttemptEnded(run, BUILD, 1, Ending.LOST),
        "result proposed": ResultProposed(run, BUILD, 1, result),
        "result accepted": ResultAccepted(run, BUILD, 1, result_hash(result)),
        "job reported": JobReported(
            run, BUILD, 1, Report((Annotation(Level.WARNING, "late", "Fetch", file="a.py", line=3),), 2, workflow, 9)
        ),
        "schedule set": begun,
        "schedule moved": moved,
        "schedule voted": ScheduleVoted(schedule, moved.follows, 1, move_hash(moved)),
        "schedule voted, for none": ScheduleVoted(schedule, moved.follows, 1, None),
        "schedule removed": ScheduleRemoved(schedule),
        "schedule paused": SchedulePaused(schedule, 1),
        "schedule resumed": ScheduleResumed(schedule, 2, WALL_MS + 60_000),
        "tick submitted": TickSubmitted(schedule, DUE_MS),
        "tick skipped": TickSkipped(schedule, DUE_MS),
        "schedule pauses after": SchedulePausesAfter(schedule, 3),
        "noted": Noted("ada", '{"event":"heartbeat"}'),
        "secret set": secret,
        "secret set, a remote": replace(secret, kind=Kind.REMOTE, name="https://192.0.2.9/prices", workflows=()),
        "secret removed": SecretRemoved(Kind.SECRET, "TOKEN", 2),
        "keys shared": KeysShared(secret_id(secret), ((BOB.peer, bytes(80)),)),
        "fork proven": ForkProven(BOB.peer, 1, NodeHash(bytes(32)), NodeHash(b"\xff" * 32)),
        "unknown": UnknownEvent(900, 2, bytes.fromhex("9301a16190")),
    }
    messages = {
        "join request": JoinRequest(NONCE, bytes(32), BOB_DESCRIPTION),
        "join accepted": JoinAccepted(mesh, (b"<node>",), False),
        "join refused": JoinRefused("expired"),
        "sync request": SyncRequest(clock.vector()),
        "sync nodes": SyncNodes((b"<node>", b"<node>")),
        "sync done": SyncDone({}),
        "nodes request": NodesRequest(clock.heads),
        "blob request": BlobRequest(workflow, 0),
        "blob manifest": BlobManifest(9, manifest_of(b"on: push\n").chunks),
        "blob chunk": BlobChunk(0, b"on: push\n"),
        "blob missing": BlobMissing(workflow),
        "blobs request": BlobsRequest((workflow, workflow)),
        "log request": LogRequest(run, BUILD, 1, 0, True),
        "log data": LogData(0, b"hello\n"),
        "log end": LogEnd(6, True),
        "refused": Refused("busy"),
    }
    beacon = Beacon(
        ADA.peer, 3, 9, clock.vector_digest(), 2, 0.25, (Heard(BOB.peer, 1, 7),), (AttemptRef(run, BUILD, 2),)
    )
    found = {
        "ada peer": ADA.peer.hex(),
        "ada text": peer_text(ADA.peer),
        "bob peer": BOB.peer.hex(),
        "bob text": peer_text(BOB.peer),
        "mesh id": mesh.hex(),
        "founding node": founding.data.hex(),
        "founding hash": founding.hash.hex(),
        "admission node": admission.data.hex(),
        "admission hash": admission.hash.hex(),
        "submitting node": submitting.data.hex(),
        "submitting hash": submitting.hash.hex(),
        "combined head": clock.combined_head().hex(),
        "vector digest": clock.vector_digest().hex(),
        "plan": encode_plan(plan).hex(),
        "plan hash": plan_hash(plan).hex(),
        "remote plan": encode_plan(remote).hex(),
        "result": encode_result(result).hex(),
        "result hash": result_hash(result).hex(),
        "electorate seed": electorate_seed(submission.heads, plan, NONCE).hex(),
        "run id": run.hex(),
        "schedule id": schedule.hex(),
        "secret id": secret_id(secret).hex(),
        "move hash": move_hash(moved).hex(),
        "tick run": tick_run(schedule, DUE_MS).hex(),
        "task hash": task_hash(AttemptRef(run, BUILD, 1)).hex(),
        "beacon": encode_beacon(ADA, mesh, beacon).hex(),
        "blob of 200000 zero bytes": manifest_of(CONTENT).blob.hex(),
        "frame of abc": frame(b"abc").hex(),
        "invitation": Invitation(
            mesh, ADA.peer, ADA_DESCRIPTION.addresses, NONCE, bytes(range(32)), WALL_MS
        ).to_line(),
    }
    found |= {f"event: {name}": encode_event(event).hex() for name, event in events.items()}
    return found | {f"message: {name}": encode_message(message).hex() for name, message in messages.items()}


def main() -> None:
    for name, value in vectors().items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    main()
