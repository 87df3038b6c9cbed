"""The registry of events: one fact each, carried by nodes. `codec` writes and reads them.

The author of the node is the author of each of its events, and is not repeated inside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.ids import JobKey, NodeHash, PeerId, ResultHash, RunId
from clockmesh.protocol.plan import Guard, Plan
from clockmesh.protocol.reports import JobReported
from clockmesh.protocol.result import Result
from clockmesh.protocol.schedules import ScheduleFact
from clockmesh.protocol.secrets import SecretFact


@dataclass(frozen=True, slots=True)
class Description:
    """What a peer says of itself."""

    name: str
    slots: int
    """Jobs at a time; 0 votes and runs nothing."""
    labels: tuple[str, ...] = ()
    """Lower case, sorted: `linux`, `x64`, the host's name, ..."""
    addresses: tuple[str, ...] = ()
    """Where it listens, as multiaddresses: `/ip4/127.0.0.1/tcp/4001`."""


@dataclass(frozen=True, slots=True)
class MeshFounded:
    """The first node of a mesh; its author and `nonce` (16 bytes) give the mesh id."""

    nonce: bytes
    founder: Description


@dataclass(frozen=True, slots=True)
class InvitationRedeemed:
    invitation: bytes
    """16 bytes; written in the same node as the admission it paid for."""


@dataclass(frozen=True, slots=True)
class PeerAdmitted:
    peer: PeerId
    description: Description


@dataclass(frozen=True, slots=True)
class PeerDescribed:
    """Its author's labels, slots, addresses or name from now on."""

    description: Description


@dataclass(frozen=True, slots=True)
class RunSubmitted:
    """`run_id` of this event is the run's origin and its id, whatever node carries it."""

    nonce: bytes
    """16 bytes."""
    heads: bytes
    """32 bytes: the submitter's head (`clock.combined_head`) when it submitted."""
    plan: Plan
    guard: Guard
    lease_ms: int
    """L of the safety rules."""
    priority: float
    """1.0 critical ... 6 and more very low; finite."""
    electorate: tuple[PeerId, ...]
    """Sorted. Under a lease only a record: each claimant elects itself."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    run: RunId


@dataclass(frozen=True, slots=True)
class JobClaimed:
    run: RunId
    key: JobKey
    attempt: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class ClaimGranted:
    run: RunId
    key: JobKey
    attempt: int
    claimant: PeerId
    carried_attempt: int = 0
    """The highest attempt of which this voter accepted a result, and that result; 0 and None without one."""
    carried: ResultHash | None = None


class Ending(StrEnum):
    """How an attempt ended without a result."""

    RELEASED = "released"
    LOST = "lost"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    run: RunId
    key: JobKey
    attempt: int
    how: Ending


@dataclass(frozen=True, slots=True)
class ResultProposed:
    run: RunId
    key: JobKey
    attempt: int
    result: Result


@dataclass(frozen=True, slots=True)
class ResultAccepted:
    run: RunId
    key: JobKey
    attempt: int
    result: ResultHash


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a program using the Python API wrote down (`MerkleClock.append`); no peer acts on it."""

    label: str
    """What its author calls itself."""
    data: str
    """A JSON object."""


@dataclass(frozen=True, slots=True)
class ForkProven:
    """These two nodes have one author and one number: its key is stolen, or its home was copied. Written by each peer
    before it takes in the second, so that what it had taken for good until then is named by a node of its own."""

    author: PeerId
    seq: int
    first: NodeHash
    second: NodeHash
    """The greater one."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of a newer version: kept, passed on, ignored."""

    code: int
    version: int
    fields: bytes
    """Its canonical msgpack bytes, as they came."""


Event = (
    MeshFounded
    | InvitationRedeemed
    | PeerAdmitted
    | PeerDescribed
    | RunSubmitted
    | CancelAsked
    | JobClaimed
    | ClaimGranted
    | AttemptEnded
    | ResultProposed
    | ResultAccepted
    | JobReported
    | ScheduleFact
    | SecretFact
    | Noted
    | ForkProven
    | UnknownEvent
)
