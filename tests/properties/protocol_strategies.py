"""Hypothesis strategies for all that peers say: only what the limits allow."""

from __future__ import annotations

import random

import msgpack
from hypothesis import strategies as st

from clockmesh.protocol.beacon import Beacon, Heard
from clockmesh.protocol.clock import Clock
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
from clockmesh.protocol.ids import AttemptRef
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
)
from clockmesh.protocol.node import Node
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
from clockmesh.protocol.wire import clean_line
from tests.unit.protocol_builders import digest, filled, founded_clock, key, write

HASH = st.binary(min_size=32, max_size=32)
HASHES = st.integers(0, 5).map(lambda number: digest(str(number))) | HASH
NONCES = st.binary(min_size=16, max_size=16)
COUNTS = st.integers(0, 2**63 - 1)
ATTEMPTS = st.integers(1, 5) | st.integers(1, 2**31 - 1)


def lines(high: int, low: int = 1) -> st.SearchStrategy[str]:
    text = st.text(min_size=low, max_size=min(high, 20)).map(lambda value: clean_line(value, high))
    return text.filter(lambda value: len(value) >= low)


def pairs(high: int) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    found = st.dictionaries(lines(20), st.text(max_size=30), max_size=high)
    return found.map(lambda values: tuple(sorted(values.items())))


def sorted_tuples(values: st.SearchStrategy, high: int = 4) -> st.SearchStrategy[tuple]:
    return st.sets(values, max_size=high).map(lambda found: tuple(sorted(found)))


DESCRIPTIONS = st.builds(
    Description,
    name=lines(64),
    slots=st.integers(0, 1024),
    labels=sorted_tuples(lines(128)),
    addresses=st.lists(st.from_regex(r"/[a-z0-9./]{1,40}", fullmatch=True), max_size=3).map(tuple),
)
JOB_FIELDS = {
    "labels": st.lists(lines(128), max_size=3).map(tuple),
    "matrix": st.text(max_size=30),
    "max_parallel": st.integers(0, 1024),
    "fail_fast": st.booleans(),
    "continue_on_error": st.booleans(),
    "timeout_s": st.integers(1, 366 * 24 * 3600),
}


@st.composite
def planned_jobs(draw) -> tuple[PlannedJob, ...]:
    """Some jobs, each needing some of those before it, shuffled."""
    names = draw(st.lists(lines(256), min_size=1, max_size=5, unique=True))
    jobs = []
    for index, name in enumerate(names):
        needs = tuple(draw(st.sets(st.sampled_from(names[:index])))) if index else ()
        fields = {field: draw(strategy) for field, strategy in JOB_FIELDS.items()}
        jobs.append(PlannedJob(key=name, job_id=name, needs=needs, **fields))
    return tuple(draw(st.permutations(jobs)))


SHAS = st.just("") | st.from_regex(r"[0-9a-f]{40}", fullmatch=True)
SOURCES = st.builds(
    Snapshot,
    blob=st.none() | HASH,
    size=st.integers(0, 2**28),
    sha=SHAS,
    ref=lines(50, 0),
    origin=lines(50, 0),
) | st.builds(Remote, url=lines(50), ref=lines(50, 0), sha=SHAS)
PLANS = st.builds(
    Plan,
    name=lines(50, 0),
    path=lines(50, 0),
    workflow=st.none() | HASH,
    source=SOURCES,
    event=lines(20, 0),
    jobs=planned_jobs(),
    inputs=pairs(3),
    force=st.booleans(),
)
RESULTS = st.builds(
    Result,
    conclusion=st.sampled_from(Conclusion),
    outputs=pairs(3),
    error=lines(100, 0),
    log=st.none() | HASH,
    log_size=COUNTS,
    started_ms=COUNTS,
    finished_ms=COUNTS,
    resolved=st.none() | PLANS,
)
REPORTS = st.builds(
    Report,
    annotations=st.lists(
        st.builds(
            Annotation,
            level=st.sampled_from(Level),
            message=st.text(max_size=50),
            step=lines(50, 0),
            title=lines(50, 0),
            file=lines(50, 0),
            line=st.integers(0, 2**31 - 1),
            column=st.integers(0, 2**31 - 1),
        ),
        max_size=3,
    ).map(tuple),
    more=COUNTS,
    summary=st.none() | HASH,
    summary_size=st.integers(0, 2**28),
)
KEY_BOXES = st.dictionaries(HASH, st.binary(min_size=80, max_size=80), max_size=3).map(
    lambda found: tuple(sorted(found.items()))
)
PACKABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
UNKNOWN = st.builds(
    UnknownEvent,
    code=st.integers(100, 65_535),
    version=st.integers(1, 65_535),
    fields=st.lists(PACKABLE, max_size=4).map(msgpack.packb),
) | st.builds(
    UnknownEvent,
    code=st.sampled_from((1, 2, 3, 4, 10, 11, 20, 21, 22, 23, 24)),
    version=st.integers(2, 65_535),
    fields=st.lists(PACKABLE, max_size=4).map(msgpack.packb),
)
GRANTS = st.builds(ClaimGranted, run=HASHES, key=lines(50), attempt=ATTEMPTS, claimant=HASHES) | st.builds(
    ClaimGranted,
    run=HASHES,
    key=lines(50),
    attempt=ATTEMPTS,
    claimant=HASHES,
    carried_attempt=ATTEMPTS,
    carried=HASH,
)
ELECTORATES = sorted_tuples(HASH, 7).filter(bool)
EVENTS = st.one_of(
    st.builds(MeshFounded, nonce=NONCES, founder=DESCRIPTIONS),
    st.builds(InvitationRedeemed, invitation=NONCES),
    st.builds(PeerAdmitted, peer=HASH, description=DESCRIPTIONS),
    st.builds(PeerDescribed, description=DESCRIPTIONS),
    st.builds(
        RunSubmitted,
        nonce=NONCES,
        heads=HASH,
        plan=PLANS,
        guard=st.sampled_from(Guard),
        lease_ms=st.integers(1, 86_400_000),
        priority=st.floats(allow_nan=False, allow_infinity=False),
        electorate=sorted_tuples(HASH, 7),
    ),
    st.builds(CancelAsked, run=HASHES),
    st.builds(JobClaimed, run=HASHES, key=lines(50), attempt=ATTEMPTS, incarnation=COUNTS),
    GRANTS,
    st.builds(AttemptEnded, run=HASHES, key=lines(50), attempt=ATTEMPTS, how=st.sampled_from(Ending)),
    st.builds(ResultProposed, run=HASHES, key=lines(50), attempt=ATTEMPTS, result=RESULTS),
    st.builds(ResultAccepted, run=HASHES, key=lines(50), attempt=ATTEMPTS, result=HASH),
    st.builds(JobReported, run=HASHES, key=lines(50), attempt=ATTEMPTS, report=REPORTS),
    st.builds(
        ScheduleSet,
        nonce=NONCES,
        name=lines(50),
        lines=st.lists(st.builds(CronLine, lines(50), lines(50, 0)), min_size=1, max_size=3).map(tuple),
        plan=PLANS,
        guard=st.sampled_from(Guard),
        guard_follows=st.booleans(),
        lease_ms=st.integers(1, 86_400_000),
        priority=st.floats(allow_nan=False, allow_infinity=False),
        electorate=ELECTORATES,
        catch_up=st.sampled_from(CatchUp),
        catch_up_age_s=st.integers(0, 31_622_400),
        catch_up_count=st.integers(1, 1000),
        overlap=st.sampled_from(Overlap),
        jitter_s=st.integers(0, 86_400),
        due_from_ms=COUNTS,
    ),
    st.builds(ScheduleMoved, HASH, HASH, ATTEMPTS, st.sampled_from(Guard), ELECTORATES, COUNTS),
    st.builds(ScheduleVoted, HASH, HASH, ATTEMPTS, st.none() | HASH),
    st.builds(ScheduleRemoved, HASH),
    st.builds(SchedulePaused, HASH, ATTEMPTS),
    st.builds(ScheduleResumed, HASH, ATTEMPTS, COUNTS),
    st.builds(TickSubmitted, HASH, COUNTS),
    st.builds(TickSkipped, HASH, COUNTS),
    st.builds(SchedulePausesAfter, HASH, st.integers(1, 1000)),
    st.builds(
        SecretSet,
        kind=st.sampled_from(Kind),
        name=st.from_regex(r"[A-F_][A-Z0-9_]{0,20}", fullmatch=True),
        workflows=sorted_tuples(lines(100)),
        count=st.integers(1, 2**63 - 1),
        sealed=st.builds(Sealed, st.binary(min_size=24, max_size=24), st.binary(max_size=100), KEY_BOXES),
    ),
    st.builds(SecretRemoved, st.sampled_from(Kind), st.just("TOKEN"), st.integers(1, 2**63 - 1)),
    st.builds(KeysShared, HASH, KEY_BOXES),
    st.lists(HASH, min_size=2, max_size=2, unique=True).flatmap(
        lambda two: st.builds(ForkProven, HASH, st.integers(1, 2**63 - 1), st.just(min(two)), st.just(max(two)))
    ),
    st.builds(Noted, lines(50), st.text(max_size=50)),
    UNKNOWN,
)
BEACONS = st.builds(
    Beacon,
    peer=st.just(key(0).peer),
    incarnation=COUNTS,
    number=st.integers(1, 2**63 - 1),
    vector=HASH,
    free=st.integers(0, 1024),
    load=st.floats(0, 1000),
    heard=st.lists(st.builds(Heard, HASH, COUNTS, COUNTS), max_size=4, unique_by=lambda heard: heard.peer).map(tuple),
    over=st.lists(st.builds(AttemptRef, HASHES, lines(50), ATTEMPTS), max_size=4).map(tuple),
)
VECTORS = st.dictionaries(HASH, st.integers(1, 2**63 - 1), max_size=5)
NODE_BYTES = st.lists(st.binary(max_size=300), max_size=4).map(tuple)
MESSAGES = st.one_of(
    st.builds(JoinRequest, NONCES, HASH, DESCRIPTIONS),
    st.builds(JoinAccepted, HASH, NODE_BYTES, st.booleans()),
    st.builds(JoinRefused, lines(100, 0)),
    st.builds(SyncRequest, VECTORS),
    st.builds(SyncNodes, NODE_BYTES),
    st.builds(SyncDone, VECTORS),
    st.builds(BlobRequest, HASH, st.integers(0, 2048)),
    st.builds(BlobManifest, st.integers(0, 2**28), st.lists(HASH, max_size=4).map(tuple)),
    st.builds(BlobChunk, st.integers(0, 2047), st.binary(max_size=100)),
    st.builds(BlobMissing, HASH),
    st.builds(NodesRequest, st.lists(HASH, max_size=4).map(tuple)),
    st.builds(BlobsRequest, st.lists(HASH, max_size=4).map(tuple)),
    st.builds(LogRequest, HASH, lines(50), st.integers(0, 2**31 - 1), COUNTS, st.booleans()),
    st.builds(LogData, COUNTS, st.binary(max_size=100)),
    st.builds(LogEnd, COUNTS, st.booleans()),
    st.builds(Refused, lines(100, 0)),
)

GROWTH = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), min_size=4, max_size=40)
"""Steps of a mesh of five: (peer, peer, sync): the first writes, or takes in what the second has."""


def grown(steps: list[tuple[int, int, bool]]) -> tuple[Clock, list[Clock]]:
    """Peers 0 to 3 are members from the start; 4 is admitted when it first has something to write. Gives a clock with
    all nodes, and those that the peers ended with."""
    clocks = [founded_clock(1, 2, 3) for _ in range(5)]
    for writer, other, sync in steps:
        if sync:
            exchange(clocks[writer], clocks[other])
        elif writer == 4 and not clocks[4].is_admitted(key(4).peer):
            admit_fourth(clocks[other], other, clocks)
            exchange(clocks[4], clocks[other])
        else:
            write(clocks[writer], writer)
    every = filled(clocks[0])
    for clock in clocks[1:]:
        exchange(every, clock)
    return every, clocks


def admit_fourth(clock: Clock, number: int, clocks: list[Clock]) -> None:
    if not clock.is_admitted(key(4).peer):
        write(clock, number, PeerAdmitted(key(4).peer, Description(f"late{len(clocks)}", 1)))


def exchange(clock: Clock, other: Clock) -> None:
    """`clock` takes in what it lacks of `other`."""
    for node in other.missing_for(clock.vector()):
        clock.add(node)


def linear_extension(nodes: list[Node], seed: int) -> list[Node]:
    """The nodes in another order that is causal, and admits authors before they write."""
    chooser = random.Random(seed)
    order: list[Node] = []
    clock = Clock(founded_clock().mesh)
    waiting = list(nodes)
    while waiting:
        chooser.shuffle(waiting)
        fits = next(node for node in waiting if all(p in clock for p in node.parents) and may_write(clock, node))
        clock.add(fits)
        order.append(fits)
        waiting.remove(fits)
    return order


def may_write(clock: Clock, node: Node) -> bool:
    return not node.parents or clock.is_admitted(node.author)
