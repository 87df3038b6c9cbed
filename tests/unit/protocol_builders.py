"""Builders with defaults for what peers say to each other."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.codec import encode_node, mesh_id
from clockmesh.protocol.events import (
    AttemptEnded,
    CancelAsked,
    ClaimGranted,
    Description,
    Ending,
    Event,
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
from clockmesh.protocol.ids import BlobHash, JobKey, MeshId, NodeHash, ResultHash, RunId, SecretId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Guard, Plan, PlannedJob, Snapshot
from clockmesh.protocol.reports import Annotation, JobReported, Level, Report
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.protocol.secrets import KeysShared, Kind, Sealed, SecretRemoved, SecretSet

NONCE = bytes(range(16))
WALL_MS = 1_750_000_000_000


def key(number: int) -> SigningKey:
    """The same key for the same number."""
    return SigningKey.from_seed(sha256(b"key %d" % number).digest())


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


RUN = RunId(digest("run"))
MESH: MeshId = mesh_id(key(0).peer, NONCE)


def description(name: str = "ada", slots: int = 2) -> Description:
    return Description(name, slots, ("linux", "x64"), ("/ip4/127.0.0.1/tcp/4001",))


def job(name: str = "build", **changes: object) -> PlannedJob:
    return PlannedJob(**{"key": JobKey(name), "job_id": name, **changes})


def plan(*jobs: PlannedJob, **changes: object) -> Plan:
    defaults = {
        "name": "Scrape",
        "path": ".github/workflows/scrape.yml",
        "workflow": BlobHash(digest("workflow")),
        "source": Snapshot(),
        "event": "workflow_dispatch",
        "jobs": jobs or (job(),),
    }
    return Plan(**{**defaults, **changes})


def submitted(**changes: object) -> RunSubmitted:
    defaults = {
        "nonce": NONCE,
        "heads": digest("heads"),
        "plan": plan(),
        "guard": Guard.QUORUM,
        "lease_ms": 15_000,
        "priority": 5.0,
        "electorate": (key(0).peer,),
    }
    return RunSubmitted(**{**defaults, **changes})


def result(**changes: object) -> Result:
    return Result(**{"conclusion": Conclusion.SUCCESS, "outputs": (("rows", "12"),), **changes})


BUILD = JobKey("build")
ONE_OF_EACH: tuple[Event, ...] = (
    MeshFounded(NONCE, description()),
    InvitationRedeemed(NONCE),
    PeerAdmitted(key(1).peer, description("bob")),
    PeerDescribed(description("ada", 0)),
    submitted(),
    CancelAsked(RUN),
    JobClaimed(RUN, BUILD, 1, 3),
    ClaimGranted(RUN, BUILD, 2, key(1).peer, 1, ResultHash(digest("result"))),
    AttemptEnded(RUN, BUILD, 1, Ending.LOST),
    ResultProposed(RUN, BUILD, 1, result()),
    ResultAccepted(RUN, BUILD, 1, ResultHash(digest("result"))),
    Noted("ada", "{}"),
    JobReported(RUN, BUILD, 1, Report((Annotation(Level.ERROR, "bad", "Build"),))),
    SecretSet(Kind.SECRET, "TOKEN", (), 1, Sealed(bytes(24), bytes(17), ((key(0).peer, bytes(80)),))),
    SecretRemoved(Kind.REMOTE, "https://example.org/x", 2),
    KeysShared(SecretId(digest("secret")), ((key(1).peer, bytes(80)),)),
    ForkProven(key(1).peer, 3, NodeHash(digest("two")), NodeHash(digest("one"))),
    UnknownEvent(900, 2, bytes.fromhex("9301a16190")),
)


def lone_node(*events: Event, author: SigningKey | None = None, **changes: object) -> Node:
    """A signed node in the middle of nowhere: good bytes, parents unknown."""
    parent = digest("parent")
    defaults = {"seq": 2, "parents": (parent,), "previous": parent, "height": 2, "wall_ms": WALL_MS}
    return encode_node(author or key(0), MESH, events=events or (CancelAsked(RUN),), **{**defaults, **changes})


def founded_clock(*members: int) -> Clock:
    """A clock founded by key 0, which also admits these other keys."""
    clock = Clock(MESH)
    admissions = [PeerAdmitted(key(number).peer, description(f"peer{number}")) for number in members]
    append(clock, key(0), wall_ms=WALL_MS, events=[MeshFounded(NONCE, description("peer0"))])
    if admissions:
        append(clock, key(0), wall_ms=WALL_MS, events=admissions)
    return clock


def write(clock: Clock, number: int, *events: Event) -> Node:
    """Key `number` appends these events (by default one that says little)."""
    return append(clock, key(number), wall_ms=WALL_MS, events=events or (CancelAsked(RUN),))


def filled(nodes: Iterable[Node]) -> Clock:
    """A new clock with these nodes."""
    clock = Clock(MESH)
    for node in nodes:
        clock.add(node)
    return clock
