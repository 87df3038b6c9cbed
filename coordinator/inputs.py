"""What can happen to the machine. Times are seconds of CLOCK_BOOTTIME, given to `step` beside the input."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.beacon import Beacon
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import AttemptRef, PeerId, RunId, ScheduleId, SecretId
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Guard, Plan
from clockmesh.protocol.reports import NO_REPORT, Report
from clockmesh.protocol.result import Result
from clockmesh.protocol.schedules import CatchUp, CronLine, Overlap
from clockmesh.protocol.secrets import KeyBox, Kind, Sealed


@dataclass(frozen=True, slots=True)
class NodeAdded:
    """A node entered the clock (its parents before it): a foreign one, an own one just built, or one reloaded."""

    node: Node


@dataclass(frozen=True, slots=True)
class HostJob:
    """A job that the runner host still knows when the daemon starts."""

    ref: AttemptRef
    deadline: float
    """The D it runs under, seconds of CLOCK_BOOTTIME."""


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon is up: its nodes are reloaded and the runner host has answered. Before this the machine decides
    nothing. What the host had ended meanwhile follows as `JobEnded`; it is in `jobs` too."""

    incarnation: int
    jobs: tuple[HostJob, ...] = ()


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed; nothing else."""

    wall_ms: int | None = None
    """What this peer's wall clock shows, ms since 1970; the machine reckons on from there. Without it no tick of a
    schedule is submitted or granted."""


@dataclass(frozen=True, slots=True)
class BeaconHeard:
    beacon: Beacon


@dataclass(frozen=True, slots=True)
class SubmitWanted:
    token: int
    """Comes back in the effect `Answer` once the submission is durable."""
    plan: Plan
    nonce: bytes
    """16 bytes, never used before."""
    heads: bytes
    """32 bytes: the submitter's `clock.combined_head()` now."""
    priority: float = 5.0
    guard: Guard | None = None
    """None: quorum for 3 members or more, else lease."""


@dataclass(frozen=True, slots=True)
class CancelWanted:
    token: int
    run: RunId


@dataclass(frozen=True, slots=True)
class RerunWanted:
    """The plan of a run, as a new run. The new one's id comes back in `Answer`."""

    token: int
    run: RunId
    nonce: bytes
    """As of `SubmitWanted`."""
    heads: bytes
    abandon: bool = False
    """Even though the run has not ended: its end is asked for as well."""
    guard: Guard | None = None
    """None: that of the run."""


@dataclass(frozen=True, slots=True)
class ScheduleWanted:
    """A schedule whose ticks are due from `wall_ms` on."""

    token: int
    nonce: bytes
    """16 bytes, never used before."""
    name: str
    lines: tuple[CronLine, ...]
    plan: Plan
    wall_ms: int
    guard: Guard | None = None
    """None: as for a run, and it follows the number of members."""
    priority: float = 5.0
    catch_up: CatchUp = CatchUp.LAST
    overlap: Overlap = Overlap.SKIP
    jitter_s: int = 0
    pause_after: int = 0
    """Failed ticks in a row after which it pauses itself; 0 for never."""


class Change(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class ScheduleChangeWanted:
    token: int
    schedule: ScheduleId
    change: Change
    wall_ms: int
    """A resumed schedule's ticks are due from then on."""


@dataclass(frozen=True, slots=True)
class RescueWanted:
    """A schedule whose electorate has lost its quorum ends, and a new one with its settings and its name begins; its
    electorate are the members whose sessions live."""

    token: int
    schedule: ScheduleId
    nonce: bytes
    """16 bytes, never used before."""
    wall_ms: int
    """The new one's ticks are due from then on."""
    abandon: bool
    """A person says that who is away runs no tick of the old one any more, or that this does not matter."""


@dataclass(frozen=True, slots=True)
class BackfillWanted:
    """The ticks of a schedule that were due in a past time and never came."""

    token: int
    schedule: ScheduleId
    since_ms: int
    """Itself among them."""
    until_ms: int
    """No longer among them."""


@dataclass(frozen=True, slots=True)
class TriggerWanted:
    """A run of the schedule's plan now, beside its ticks."""

    token: int
    schedule: ScheduleId
    nonce: bytes
    heads: bytes
    """As in `SubmitWanted`."""


@dataclass(frozen=True, slots=True)
class SecretWanted:
    """A secret or a remote's credentials, sealed already."""

    token: int
    kind: Kind
    name: str
    workflows: tuple[str, ...]
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class SecretRemoveWanted:
    token: int
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class ShareWanted:
    """Keys for members that cannot open a secret; those that can by now are left out."""

    secret: SecretId
    keys: tuple[KeyBox, ...]


@dataclass(frozen=True, slots=True)
class DescribeWanted:
    """This peer's own description; an event is written only where it differs from what the clock says."""

    description: Description


@dataclass(frozen=True, slots=True)
class AdmitWanted:
    """A stranger redeemed an invitation of ours (already checked and unused)."""

    token: int
    invitation: bytes
    peer: PeerId
    description: Description


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The host's word on an attempt: its result, or None when it was killed at D, lost, or could not be started."""

    ref: AttemptRef
    result: Result | None
    report: Report = NO_REPORT


@dataclass(frozen=True, slots=True)
class RoomTold:
    """Whether this machine has room for more jobs; without it this peer claims none. At first it has."""

    enough: bool


Input = (
    NodeAdded
    | Started
    | Ticked
    | BeaconHeard
    | SubmitWanted
    | CancelWanted
    | RerunWanted
    | ScheduleWanted
    | ScheduleChangeWanted
    | RescueWanted
    | BackfillWanted
    | TriggerWanted
    | SecretWanted
    | SecretRemoveWanted
    | ShareWanted
    | DescribeWanted
    | AdmitWanted
    | JobEnded
    | RoomTold
)
