"""One peer's life in its mesh: the parts, each made once, and the order in which they come up.

Nodes are reloaded, then the runner host is asked what it has, and only then does the machine decide anything: it must
know which of its attempts still run before it votes or declares one lost (DESIGN 5.8).
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import structlog
import trio

from clockmesh.coordinator.effects import Answer, Effect, Forget, RunChanged, Start
from clockmesh.coordinator.errors import CoordinatorError
from clockmesh.coordinator.inputs import BeaconHeard, CancelWanted, DescribeWanted, Input, RoomTold, Started
from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.view import run_view
from clockmesh.daemon.cronlines import CronCalendar
from clockmesh.daemon.errors import ConfigurationError
from clockmesh.daemon.fetch import Fetcher, nearest
from clockmesh.daemon.hostlink import HostLink
from clockmesh.daemon.invitations import Invitations
from clockmesh.daemon.join import Door
from clockmesh.daemon.journal import Journal
from clockmesh.daemon.loop import Doing, Loop
from clockmesh.daemon.network import Network
from clockmesh.daemon.perform import Performer
from clockmesh.daemon.reach import Reach
from clockmesh.daemon.replicate import Keeper
from clockmesh.daemon.serving import Serving
from clockmesh.daemon.setup import Setup
from clockmesh.daemon.store import META_RETIRED, META_SLOTS
from clockmesh.daemon.sync import Intake
from clockmesh.daemon.vault import Vault
from clockmesh.daemon.waiting import Answers, Changes
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.codec import decode_beacon, decode_node, encode_beacon
from clockmesh.protocol.errors import ProtocolError, RemoteError
from clockmesh.protocol.events import ForkProven, MeshFounded, PeerAdmitted, PeerDescribed
from clockmesh.protocol.ids import BlobHash, JobKey, MeshId, PeerId, RunId
from clockmesh.protocol.limits import MAX_ADDRESSES, MAX_LABELS
from clockmesh.protocol.node import Node
from clockmesh.protocol.secrets import KeysShared, SecretRemoved, SecretSet
from clockmesh.runner.eligibility import EXTERNAL
from clockmesh.runner.faults import Faults
from clockmesh.runner.host_messages import Jobs
from clockmesh.runner.spec import job_dir

log = structlog.get_logger()
_MEMBERSHIP = (MeshFounded, PeerAdmitted, PeerDescribed)
_KEYS = (*_MEMBERSHIP, SecretSet, SecretRemoved, KeysShared)
_NEAREST_ASKED = 3
_DISK_SECONDS = 1.0
"""Between two looks at the disk; the looks of submissions come on top."""


def boottime() -> float:
    """Seconds since the machine started, time asleep included: what leases count by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Timing:
    """What leases and liveness go by; seconds."""

    beacon_period: float = 1.0
    lease: float = 15.0
    """L: at least ten beacon periods."""
    now: Callable[[], float] = boottime
    wall: Callable[[], float] = time.time
    """Seconds since 1970: what schedules go by."""


class Member:
    """One peer in one mesh. `run` it once; the parts may be used from then on, in the same thread."""

    def __init__(self, setup: Setup, mesh: MeshId, network: Network, timing: Timing, *,
                 host_unit: bool = False, faults: Faults | None = None) -> None:
        faults = faults or Faults()
        self.mesh = mesh
        self.home = setup.home
        self.me = setup.key.peer
        self.blobs = setup.blobs
        self.network = network
        self.clock = Clock(mesh)
        self.machine = Machine(self.me, mesh, beacon_period=timing.beacon_period, lease=timing.lease,
                               calendar=CronCalendar())
        self.answers = Answers()
        self._journal = Journal(self.machine)
        self.changes = Changes()
        self.fetcher = Fetcher(network, setup.blobs)
        self._setup = setup
        self._timing = timing
        self._host_unit = host_unit
        self.vault = Vault(setup.key, self.machine, self._take, timing.now)
        self.performer = Performer(setup.home, self.me, self.machine, setup.blobs, self.fetcher, self._take,
                                   self.sources, setup.reserve, timing.now, faults, self.vault)
        doing = Doing(self.performer.at_once, self._after, self._stored, network.publish)
        self.loop = Loop(setup.key, self.clock, self.machine, setup.store, doing, now=timing.now,
                         longest_pause=timing.beacon_period, wall=timing.wall, faults=faults)
        self.intake = Intake(self.me, mesh, self.loop, network, self._retire)
        self._reach = Reach(lambda: self.machine.leases.period)
        self.serving = Serving(self.loop, setup.blobs, log_path=lambda ref: job_dir(setup.home.path, ref) / "log",
                               running=self.performer.running, newest=self._newest_attempt,
                               lacking=self.intake.want)
        self.invitations = Invitations(setup.store, self.loop, self.me, mesh)
        self.door = Door(self.loop, mesh, self.invitations, self.answers)
        self._keeper = Keeper(self.me, lambda: self.machine.members, setup.blobs, self.fetcher, setup.reserve)
        self._nursery: trio.Nursery | None = None
        self._host: HostLink | None = None
        self._retired: str | None = None
        self._retiring = trio.Event()

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. StoreError when nothing can be made durable, HostError when no runner host can be started,
        ConfigurationError when this home turns out to be an old copy."""
        self._reload()
        incarnation = self._setup.store.next_incarnation()
        host = HostLink(self.home, incarnation, self._timing.lease, self.performer.reported, unit=self._host_unit,
                        sandbox=self._setup.config.jobs_sandbox)
        jobs = await host.connect()
        self._host = host
        try:
            await self._live(host, jobs, incarnation, task_status)
        finally:
            await host.leave()

    async def _live(self, host: HostLink, jobs: Jobs, incarnation: int, task_status: Any) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            known = self.performer.attach(host, nursery, jobs.jobs)
            self._tell_network()
            self.loop.take(Started(incarnation, known))
            self._describe(able=not host.refused)
            for part in (host.run, self.loop.run, self.intake.run, self._keeper.run, self.vault.run,
                         self._send_beacons, self._watch_disk, self._stop_when_retired):
                nursery.start_soon(part)
            nursery.start_soon(self.performer.desk.run, self._offer_external)
            task_status.started()

    @property
    def refused(self) -> str:
        """Why this peer can run no jobs; '' where it can."""
        return self._host.refused if self._host else ""

    def start_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`, which guards itself, beside the rest."""
        if self._nursery is not None:
            self._nursery.start_soon(work)

    async def cancel(self, run: RunId) -> None:
        """See `Service.cancel`."""
        await self.request(lambda token: CancelWanted(token, run))

    async def request(self, wanted: Callable[[int], Input]) -> RunId | None:
        """Ask the machine for what `wanted` makes of a token; return when that is durable, with the run it made."""
        token = self.answers.token()
        try:
            self.loop.take(wanted(token))
        except CoordinatorError:
            self.answers.forget(token)
            raise
        return await self.answers.wait(token)

    def gossiped(self, peer: PeerId, data: bytes) -> frozenset[PeerId] | None:
        """A node came from `peer`. Who need not get it from us; None if nobody should."""
        author = self.intake.receive(data, peer)
        return None if author is None else self._reach.served(author, self._timing.now())

    def hear(self, peer: PeerId, data: bytes) -> None:
        """A beacon came. It goes into the machine at once."""
        try:
            beacon = decode_beacon(self.mesh, data)
            if beacon.peer != peer:
                raise RemoteError("it is signed by another peer")
        except RemoteError as error:
            log.warning("beacon_refused", peer=self.machine.name_of(peer), error=str(error))
            return
        if peer in self.clock.forked:  # whoever has its key may say anything: it counts as silent
            return
        self._reach.hear(beacon, self._timing.now())
        self.loop.take(BeaconHeard(beacon))
        self.intake.saw_digest(peer, beacon.vector)

    def sources(self, blob: BlobHash) -> Iterable[PeerId]:
        """Members that may have `blob`: those that are to keep it, then the others that are connected."""
        return dict.fromkeys((*nearest(blob, self.machine.members, _NEAREST_ASKED), *sorted(self.network.connected)))

    def _newest_attempt(self, run: RunId, key: JobKey) -> int:
        if run not in self.machine.runs:
            return 0
        return next((job.attempt for job in run_view(self.machine, run).jobs if job.key == key), 0)

    # ---- coming up ----

    def _reload(self) -> None:
        began = time.monotonic()
        try:
            count = self.loop.reload(self._stored_nodes())
        except ProtocolError as error:
            raise ConfigurationError(f"the store {self.home.store} is damaged ({error}); move the home away and join "
                                     "again as a new peer") from error
        log.info("nodes_reloaded", nodes=count, seconds=round(time.monotonic() - began, 3))

    def _stored_nodes(self) -> Iterator[Node]:
        return (decode_node(self.mesh, data, verify=False) for data in self._setup.store.nodes())

    def _describe(self, *, able: bool) -> None:
        """Tell the mesh what changed of this peer since it was last here: labels, slots, addresses, name. One that is
        not `able` to run jobs votes on and offers no slots; how many it had is kept for when it is able again."""
        known = self.machine.members[self.me].description
        if kept := self._setup.store.get(META_SLOTS):
            known = replace(known, slots=int(kept))
        described = self._setup.describe(None, None, tuple(self.network.addresses)[:MAX_ADDRESSES], known)
        if able == bool(kept):
            self._setup.store.commit((), {META_SLOTS: b"" if able else str(known.slots).encode()})
        self.loop.take(DescribeWanted(described if able else replace(described, slots=0)))

    def _offer_external(self, offered: bool) -> None:
        """A program that executes external jobs has come, or the last one has gone."""
        known = self.machine.members[self.me].description
        always = EXTERNAL in self._setup.config.labels
        labels = set(known.labels) | {EXTERNAL} if offered or always else set(known.labels) - {EXTERNAL}
        if len(labels) <= MAX_LABELS:
            self.loop.take(DescribeWanted(replace(known, labels=tuple(sorted(labels)))))
        if offered:
            log.info("external_offered")
        else:
            log.info("external_withdrawn")

    # ---- what the loop calls ----

    def _take(self, input_: Input) -> None:
        self.loop.take(input_)

    def _after(self, effect: Effect) -> None:
        match effect:
            case Start(ref):
                self.performer.start(ref)
            case Answer(token, run):
                self.answers.give(token, run)
            case Forget():
                self.performer.forget(effect)
            case RunChanged(run):
                self._journal.changed(run)
                self.changes.tell(run)

    def _stored(self, node: Node) -> None:
        self._keeper.stored(node)
        if node.author == self.me:
            self._journal.wrote(node)
            for event in node.events:
                if isinstance(event, ForkProven):
                    self.intake.written_down(event.author)
        else:
            self._journal.received(node)
        if any(isinstance(event, _MEMBERSHIP) for event in node.events):
            self._tell_network()
        if any(isinstance(event, _KEYS) for event in node.events):
            self.vault.look()

    def _tell_network(self) -> None:
        members = self.machine.members.items()
        self.network.set_mesh(self.mesh, {peer: member.description.addresses for peer, member in members
                                          if peer != self.me})

    # ---- beside the loop ----

    async def _send_beacons(self) -> None:
        """On time whatever the store does: leases live by them."""
        cores = os.cpu_count() or 1
        while True:
            began = trio.current_time()
            load = os.getloadavg()[0] / cores
            beacon = self.machine.make_beacon(self._timing.now(), self.clock.vector_digest(), load)
            self.network.send_beacon(encode_beacon(self._setup.key, self.mesh, beacon))
            await trio.sleep_until(began + self.machine.leases.period)

    async def _watch_disk(self) -> None:
        """A peer whose disk is low claims no jobs, and says so."""
        reserve, low = self._setup.reserve, False
        while True:
            if reserve.look() is not low:
                low = not low
                told = {"home": str(self.home.path), "left": reserve.left, "reserve": reserve.size}
                if low:
                    log.warning("disk_filled", **told)
                else:
                    log.info("disk_recovered", **told)
                self.loop.take(RoomTold(not low))
            await trio.sleep(_DISK_SECONDS)

    def _retire(self, reason: str) -> None:
        self.loop.halt()
        self._retired = reason
        self._retiring.set()

    async def _stop_when_retired(self) -> None:
        await self._retiring.wait()
        reason = self._retired or ""
        self._setup.store.commit((), {META_RETIRED: reason.encode()})
        raise ConfigurationError(reason)
