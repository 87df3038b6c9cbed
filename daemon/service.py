"""What a peer does for whoever asks it: the one door that the control API (and every later surface) goes through.

Nothing here formats text or knows HTTP. Everything that is accepted is durable before the method returns. All methods
belong to the Trio thread that runs `Service.run`, and every `async` one can be cancelled at any await.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
import trio

from clockmesh.coordinator.inputs import Change
from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.schedule_view import ScheduleView, schedule_views
from clockmesh.daemon import founding, join, logs, scheduling, submitting, summaries
from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.config import Listen, check_slots
from clockmesh.daemon.errors import Conflict, NoMesh, NotFound, UsageError
from clockmesh.daemon.external import ExternalDesk
from clockmesh.daemon.handlers import PeerHandlers
from clockmesh.daemon.home import Home
from clockmesh.daemon.keeping import Keeping
from clockmesh.daemon.logs import LogLine
from clockmesh.daemon.member import Member, Timing
from clockmesh.daemon.network import Network
from clockmesh.daemon.reserve import Reserve
from clockmesh.daemon.scheduling import Rescue, ScheduleOrder
from clockmesh.daemon.setup import Setup, prepare
from clockmesh.daemon.store import META_PROBE
from clockmesh.daemon.submitting import Order, Rerun
from clockmesh.daemon.summaries import SummaryPart
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import BlobHash, JobKey, MeshId, NodeHash, PeerId, RunId, ScheduleId, peer_text
from clockmesh.protocol.invitation import Invitation
from clockmesh.protocol.plan import Guard, Remote, Snapshot
from clockmesh.runner.faults import Faults

log = structlog.get_logger()
_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Status:
    """This peer, in short."""

    peer: str
    """Its name; its id while it belongs to no mesh."""
    mesh: MeshId | None
    heads: tuple[NodeHash, ...]
    nodes: int
    addresses: tuple[str, ...]
    sandbox: str
    """What jobs run in: `bubblewrap` or `none`."""
    refused: str = ""
    """Why no jobs are run here; '' where they are."""
    forked: tuple[str, ...] = ()
    """Members who signed two nodes with one number: what they write counts for nothing any more."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One member of the mesh as this peer sees it."""

    peer: PeerId
    name: str
    is_self: bool
    live: bool
    slots: int
    labels: tuple[str, ...]

    @property
    def id(self) -> str:
        return peer_text(self.peer)


class Service:
    """One peer. Make it with the home's lock held; `run` it; ask it. What takes on new work raises DiskLow while the
    home's disk is low."""

    def __init__(self, home: Home, *, listen: Listen | None = None, timing: Timing | None = None,
                 host_unit: bool = False, faults: Faults | None = None) -> None:
        """Reads the home: identity, configuration, store. ConfigurationError where they are not usable. `host_unit`: a
        service manager starts the runner host, this peer never does."""
        self._setup: Setup = prepare(home, listen)
        self._timing = timing or Timing()
        self._host_unit = host_unit
        self._faults = faults
        self._handlers = PeerHandlers()
        self._network = Network(self._setup.key, (self.listen.host, self.listen.port), self._handlers)
        self._member: Member | None = None
        self._nursery: trio.Nursery | None = None
        self._joining = trio.Lock()

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Live until cancelled; started once peers can be reached and, where there is a mesh, the runner host has
        answered. StoreError (fail-stop) when nothing can be made durable any more. Closes the store at its end."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await nursery.start(self._network.run)
                if mesh := self._setup.store.mesh:
                    await self._enter(mesh)
                task_status.started()
        finally:
            self._nursery = None
            self._setup.store.close()

    # ---- this peer and its mesh ----

    @property
    def home(self) -> Home:
        return self._setup.home

    @property
    def me(self) -> PeerId:
        return self._setup.key.peer

    @property
    def listen(self) -> Listen:
        """Where this peer listens, the port chosen."""
        return self._setup.listen

    @property
    def blobs(self) -> BlobStore:
        return self._setup.blobs

    @property
    def machine(self) -> Machine:
        """For reading (views) only. NoMesh."""
        return self._in_mesh().machine

    @property
    def has_mesh(self) -> bool:
        return self._member is not None

    def now(self) -> float:
        """The time that the machine goes by: seconds of CLOCK_BOOTTIME."""
        return self._timing.now()

    def status(self) -> Status:
        addresses, sandbox = tuple(self._network.addresses), self._setup.config.jobs_sandbox.name
        if self._member is None:
            return Status(peer_text(self.me), None, (), 0, addresses, sandbox)
        clock = self._member.clock
        name = self._member.machine.name_of(self.me)
        forked = tuple(sorted(map(self._member.machine.name_of, clock.forked)))
        return Status(name, self._member.mesh, tuple(clock.heads), len(clock), addresses, sandbox,
                      self._member.refused, forked)

    def peers(self) -> list[PeerStatus]:
        """All members, sorted by name. NoMesh."""
        machine = self.machine
        now = self.now()
        rows = [
            PeerStatus(peer, machine.name_of(peer), peer == self.me, machine.live(peer, now),
                       member.description.slots, member.description.labels)
            for peer, member in machine.members.items()
        ]
        return sorted(rows, key=lambda row: (row.name, row.peer))

    @property
    def reserve(self) -> Reserve:
        """How much room the home's disk has."""
        return self._setup.reserve

    async def init(self, name: str | None = None, slots: int | None = None) -> MeshId:
        """Found a mesh. Conflict when this peer belongs to one; UsageError for a bad name or number."""
        async with self._joining:
            self._refuse_second_mesh()
            self.reserve.refuse_when_low()
            mesh = await founding.found(self._setup, self._describe(name, slots))
            await self._enter(mesh)
            return mesh

    async def join(self, line: str, name: str | None = None, slots: int | None = None) -> MeshId:
        """Join the mesh of an invitation. Conflict when this peer belongs to one; UsageError (also RemoteError for a
        line that is no invitation) for bad arguments; NotAllowed when the inviter refuses (used, expired, name taken);
        Unreachable when none of its addresses answers."""
        async with self._joining:
            self._refuse_second_mesh()
            self.reserve.refuse_when_low()
            invitation = Invitation.from_line(line)
            mesh = await join.join(self._setup, self._network, invitation, self._describe(name, slots))
            await self._enter(mesh)
            return mesh

    async def invite(self, ttl_s: float) -> str:
        """One line that admits one peer within `ttl_s` seconds; durable before it returns. NoMesh; UsageError for a
        time that is not between a second and 30 days."""
        with self.reserve.new_work():
            return await self._in_mesh().invitations.make(ttl_s, tuple(self._network.addresses))

    async def probe(self) -> None:
        """Return when a write to the store has come through: what `alive` means for this peer."""
        if self._member is not None:
            await self._member.loop.keep({META_PROBE: b""})

    # ---- runs ----

    async def submit(self, workflow: bytes, path: str, *, inputs: Mapping[str, str] | None = None,
                     priority: float = 5.0, guard: Guard | None = None, force: bool = False,
                     snapshot: Snapshot | None = None, remote: Remote | None = None, name: str = "") -> RunId:
        """Take on a run; durable before it returns. With `remote`, `workflow` is ignored and `path` lies in that
        repository. `name` '': its workflow's.

        NoMesh; WorkflowError (file:line:column), RunnerError for a workflow or inputs that cannot run; NeedsSnapshot
        when it checks out its repository and brings none; NotFound for a blob that is not here; Refused."""
        order = Order(workflow, path, dict(inputs or {}), priority, guard, force, snapshot, remote, name=name)
        with self.reserve.new_work():
            return await submitting.submit(self._in_mesh(), order)

    async def cancel(self, run: RunId) -> None:
        """Ask that `run` end; durable before it returns. NoMesh; the coordinator's NotFound, and Conflict when it has
        ended."""
        await self._in_mesh().cancel(run)

    async def rerun(self, run: RunId, *, abandon: bool = False, guard: Guard | None = None) -> Rerun:
        """Take on the plan of `run` as a new run, with today's members as its electorate, and under another guard where
        one is given; durable before it returns. NoMesh; the coordinator's NotFound, and Conflict when it has not ended,
        unless it is to be abandoned: then its end is asked for too."""
        return await submitting.rerun(self._in_mesh(), run, abandon, guard)

    async def settled(self, run: RunId) -> None:
        """Return when what was decided here of `run` before the call is durable; show nothing of it earlier."""
        await self._in_mesh().loop.settled(run)

    def find_run(self, text: str) -> RunId:
        """The run whose id begins with these hexadecimal digits. NoMesh; NotFound for none; UsageError for several, or
        for fewer digits than 4, which mean one by chance."""
        wanted = text.lower()
        found = [run for run in self.machine.runs if run.hex().startswith(wanted)]
        if not found:
            raise NotFound(f"no run {text[:80]}; `clockmesh run list` shows those there are")
        if len(wanted) < _SHORTEST_PREFIX:
            raise UsageError(f"run {text}: give at least {_SHORTEST_PREFIX} digits of its id")
        if len(found) > 1:
            raise UsageError(f"{len(found)} runs begin with {text}; give more digits")
        return found[0]

    async def wait_changed(self, run: RunId | None = None) -> None:
        """Return when something to see changed about `run` (None: about any run) since the call. Look first, then
        wait: no change between the two is missed, as long as nothing is awaited in between. NoMesh."""
        await self._in_mesh().changes.wait(run)

    # ---- schedules ----

    async def add_schedule(self, wanted: ScheduleOrder) -> ScheduleId:
        """Make a run of a workflow at each time of its `on.schedule`; durable before it returns. As `submit`, and
        WorkflowError for a workflow that is never due; the coordinator's Conflict for a name that is taken."""
        with self.reserve.new_work():
            return await scheduling.add(self._in_mesh(), wanted)

    async def change_schedule(self, schedule: ScheduleId, what: Change) -> None:
        """Pause, resume or remove it. NoMesh; the coordinator's NotFound."""
        await scheduling.change(self._in_mesh(), schedule, what)

    async def rescue_schedule(self, schedule: ScheduleId, *, abandon: bool) -> Rescue:
        """Begin it anew with an electorate of the living. NoMesh; the coordinator's NotFound, and Conflict where it
        needs no rescue or nobody said to `abandon` those who are away."""
        return await scheduling.rescue(self._in_mesh(), schedule, abandon, self.now())

    async def backfill_schedule(self, schedule: ScheduleId, since_ms: int, until_ms: int) -> list[tuple[int, RunId]]:
        """Submit its ticks that were due from `since_ms` up to `until_ms` (ms since 1970) and never came; their due
        times and runs. NoMesh; the coordinator's NotFound, and Refused for too many."""
        return await scheduling.backfill(self._in_mesh(), schedule, since_ms, until_ms)

    async def trigger_schedule(self, schedule: ScheduleId) -> RunId:
        """A run of it now, beside its ticks. NoMesh; the coordinator's NotFound."""
        with self.reserve.new_work():
            return await scheduling.trigger(self._in_mesh(), schedule)

    def schedules(self) -> list[ScheduleView]:
        """By name. NoMesh."""
        member = self._in_mesh()
        return schedule_views(member.machine, member.loop.wall_ms(), self.now())

    def schedule_time(self) -> int:
        """What the clock shows that schedules go by, in ms since 1970. NoMesh."""
        return self._in_mesh().loop.wall_ms()

    def find_schedule(self, text: str) -> ScheduleId:
        """The schedule of this name, or whose id begins so. NoMesh; NotFound; UsageError for several."""
        return scheduling.find(self._in_mesh(), text)

    @property
    def external(self) -> ExternalDesk:
        """The external jobs that this peer holds. NoMesh."""
        return self._in_mesh().performer.desk

    @property
    def keeping(self) -> Keeping:
        """Secrets, and credentials of remotes. NoMesh."""
        return Keeping(self._in_mesh())

    # ---- content ----

    async def put_blob(self, chunks: AsyncIterator[bytes], limit: int | None = None) -> BlobHash:
        """Keep content, of any sizes of pieces. TooLarge above `limit` (default limits.MAX_BLOB_BYTES) bytes."""
        with self.reserve.new_work():
            return await self.blobs.put_stream(self._while_room(chunks), limit)

    async def _while_room(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Content must not fill the disk up to the reserve."""
        async for chunk in chunks:
            self.reserve.refuse_when_low()
            yield chunk

    async def read_log(self, run: RunId, key: JobKey | None = None, *,
                       follow: bool = False) -> AsyncGenerator[LogLine, None]:
        """The log of one job, or of all jobs of `run` in the plan's order, from whichever peer has it; each line is one
        JSON text without its line feed. `follow`: wait for jobs to begin and lines to come, until the run (or job) has
        ended. Gives what exists and leaves out what no reachable peer has.

        NoMesh; NotFound for a run or a job that is not there."""
        async for line in logs.read(self._in_mesh(), run, key, follow=follow):
            yield line

    async def read_summaries(self, run: RunId) -> AsyncGenerator[SummaryPart, None]:
        """The step summaries of the jobs that have ended, in the plan's order; what no reachable peer has is left out.
        NoMesh."""
        async for part in summaries.read(self._in_mesh(), run):
            yield part

    # ---- inside ----

    def _in_mesh(self) -> Member:
        if self._member is None:
            raise NoMesh
        return self._member

    def _refuse_second_mesh(self) -> None:
        if self._setup.store.mesh is not None:
            raise Conflict(f"this peer belongs to mesh {self._setup.store.mesh.hex()[:12]} already; another one needs "
                           "another home (--home DIR)")

    def _describe(self, name: str | None, slots: int | None) -> Description:
        """How this peer introduces itself: what was asked for, then what is configured, then the defaults."""
        return self._setup.describe(name, None if slots is None else check_slots(slots), tuple(self._network.addresses))

    async def _enter(self, mesh: MeshId) -> None:
        if self._nursery is None:
            raise Conflict("the daemon is stopping")
        member = Member(self._setup, mesh, self._network, self._timing, host_unit=self._host_unit,
                        faults=self._faults)
        # The store says already that this peer belongs to the mesh: a client that hangs up must not leave it outside.
        with trio.CancelScope(shield=True):
            await self._nursery.start(member.run)
        self._handlers.enter(member)
        self._member = member
