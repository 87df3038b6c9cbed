"""The one loop: what happens goes into the machine at once; what it decides is made durable, then done.

    take(input) -> machine.step -> pending batch -> commit in a thread -> publish own nodes -> effects, in order

A batch collects while the one before it is being written, so under load one commit, one signature and one message
carry many events. The machine steps even then: it never waits for the disk. Stopping a job and moving its deadline
need no commit and are done at once. When a commit fails the loop ends with StoreError: nothing decided since may
become visible.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import trio

from clockmesh.coordinator.effects import Append, Effect, Extend, RunChanged, Stop, Wake
from clockmesh.coordinator.inputs import Input, NodeAdded, Ticked
from clockmesh.coordinator.machine import Machine, step
from clockmesh.daemon.store import Store
from clockmesh.daemon.writing import build_nodes
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.events import Event
from clockmesh.protocol.forks import Counting
from clockmesh.protocol.ids import NodeHash, PeerId, RunId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.node import Node
from clockmesh.runner.faults import Faults, Point

_CALM_RATE = 50
"""Own nodes in a second up to which each is written at once."""
_LONGEST_WINDOW = 0.05
"""Seconds: under load a node collects for at most so long (a gossip message costs milliseconds of CPU)."""
_FOREIGN_WINDOW = 0.02
"""Seconds that foreign nodes, on which nothing of ours depends yet, wait for company before they are written."""

_SHORTEST_PAUSE = 0.002
"""Seconds between a step and the tick it asked for: a wish that lies in the past must not spin."""


@dataclass(slots=True)
class Batch:
    """What the next commit makes durable, and what is done after it."""

    foreign: list[Node] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    facts: dict[str, bytes | None] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    durable: trio.Event = field(default_factory=trio.Event)

    @property
    def empty(self) -> bool:
        return not (self.foreign or self.events or self.facts or self.effects)

    @property
    def urgent(self) -> bool:
        return bool(self.events or self.facts or any(not isinstance(effect, RunChanged) for effect in self.effects))


@dataclass(frozen=True, slots=True)
class Doing:
    """What the loop calls. `at_once` gets Extend and Stop before any commit; `after` the other effects once they are
    durable; `stored` each node once it is; `publish` each own node's bytes."""

    at_once: Callable[[Extend | Stop], None]
    after: Callable[[Effect], None]
    stored: Callable[[Node], None]
    publish: Callable[[bytes], Awaitable[None]]


class Loop:
    """One peer's clock and machine, and the order in which things are done."""

    def __init__(self, key: SigningKey, clock: Clock, machine: Machine, store: Store, doing: Doing, *,
                 now: Callable[[], float], longest_pause: float, wall: Callable[[], float] = time.time,
                 faults: Faults | None = None) -> None:
        """`now`: seconds of CLOCK_BOOTTIME. `longest_pause`: seconds between two steps at most. `wall`: seconds since
        1970 by the clock that schedules go by; it may jump."""
        self.clock = clock
        self.machine = machine
        self._key = key
        self._store = store
        self._doing = doing
        self._now = now
        self._wall = wall
        self._faults = faults or Faults()
        self._pause = longest_pause
        self._counting = Counting(clock)
        self._pending = Batch()
        self._writing: Batch | None = None
        self._halted = False
        self._writer = trio.CapacityLimiter(1)  # its own: a commit must not wait for a thread that reads blobs
        self._filled = trio.Event()
        self._hurried = trio.Event()
        self._wake_at = now() + longest_pause
        self._wake_moved = trio.Event()
        self._written: deque[float] = deque(maxlen=1000)
        self.durable_seq = self._own_seq()
        """Own nodes above this number are not durable yet: nobody may see them."""

    # ---- in ----

    def take(self, input_: Input, facts: dict[str, bytes | None] | None = None) -> None:
        """Step at once; `facts` become durable together with what the machine decides on it. Raises the coordinator's
        errors, and has then changed nothing."""
        effects = step(self.machine, input_, self._now())
        if facts:
            self._pending.facts.update(facts)
        self._collect(effects)
        self._announce()

    def halt(self) -> None:
        """Nothing more may be written: this identity is in use elsewhere. What waits in `keep` waits for ever."""
        self._halted = True

    async def keep(self, facts: dict[str, bytes | None] | None = None) -> None:
        """Return when `facts`, and all that was decided before this call, are durable."""
        if facts:
            self._pending.facts.update(facts)
            self._announce()
        batch = self._writing if self._pending.empty else self._pending
        if batch is not None:
            self._hurried.set()
            await batch.durable.wait()

    async def settled(self, run: RunId) -> None:
        """Return when all that this peer had decided of `run` is durable: what is shown of it then stands."""
        for batch in (self._pending, self._writing):
            if batch is not None and any(getattr(event, "run", None) == run for event in batch.events):
                self._hurried.set()
                await batch.durable.wait()
                return

    def entered(self, node: Node) -> None:
        """A foreign node has just entered the clock."""
        self._pending.foreign.append(node)
        for counted in self._counting.entered(node):
            self.take(NodeAdded(counted))
        self._announce()

    def note(self, event: Event) -> None:
        """Have an event of ours written that the machine need not decide."""
        self._pending.events.append(event)
        self._announce()

    def reload(self, nodes: Iterable[Node]) -> int:
        """At start: nodes that the store holds already. How many there were."""
        count = 0
        for node in nodes:
            self.clock.add_branch(node)
            count += 1
        for node in self._counting.all():
            step(self.machine, NodeAdded(node), self._now())
        self.durable_seq = self._own_seq()
        return count

    def durable_nodes(self, vector: Mapping[PeerId, int]) -> Iterator[Node]:
        """What who has `vector` lacks, parents before children, without our own nodes that a crash could still undo:
        their numbers would be used again, and that would be a fork."""
        return filter(self._is_durable, self.clock.missing_for(vector))

    def durable(self, hashes: Iterable[NodeHash]) -> Iterator[Node]:
        """Those of these nodes that are here for good."""
        return (node for node in map(self.clock.get, hashes) if node is not None and self._is_durable(node))

    def _is_durable(self, node: Node) -> bool:
        return node.author != self._key.peer or node.seq <= self.durable_seq

    # ---- out ----

    async def run(self) -> None:
        """Commit and tick until cancelled. StoreError when a commit fails."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            while True:
                await self._filled.wait()
                await self._collect_company()
                if self._halted:
                    await trio.sleep_forever()
                self._writing = self._next_batch()
                await self._commit(self._writing)
                self._writing = None

    async def _tick(self) -> None:
        while True:
            with trio.move_on_after(max(0.0, self._wake_at - self._now())):
                await self._wake_moved.wait()
            self._wake_moved = trio.Event()
            if self._now() >= self._wake_at:
                self._wake_at = self._now() + self._pause
                self.take(Ticked(self.wall_ms()))

    async def _collect_company(self) -> None:
        """Wait for more to share the commit with, where that delays nobody."""
        if not self._pending.urgent:
            with trio.move_on_after(_FOREIGN_WINDOW):
                await self._hurried.wait()
        while self._written and self._written[0] < self._now() - 1.0:
            self._written.popleft()
        if (above := len(self._written) - _CALM_RATE) > 0:
            await trio.sleep(min(_LONGEST_WINDOW, above * 0.001))

    def _next_batch(self) -> Batch:
        batch, self._pending = self._pending, Batch()
        self._filled = trio.Event()
        self._hurried = trio.Event()
        return batch

    async def _commit(self, batch: Batch) -> None:
        own = build_nodes(self._key, self.clock, batch.events, int(time.time() * 1000))
        for node in own:
            for counted in self._counting.entered(node):
                self._collect(step(self.machine, NodeAdded(counted), self._now()))
        self._announce()
        nodes = batch.foreign + own
        if nodes or batch.facts:
            # Cancelled half way, the thread would go on writing while the store closes: finish the commit.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._write, nodes, batch.facts, limiter=self._writer)
        if own:
            self.durable_seq = own[-1].seq
            self._written.append(self._now())
        batch.durable.set()
        for node in nodes:
            self._doing.stored(node)
        for node in own:
            await self._doing.publish(node.data)
        for effect in batch.effects:
            self._faults.passing(Point.BEFORE_EFFECT)
            self._doing.after(effect)

    def _write(self, nodes: list[Node], facts: dict[str, bytes | None]) -> None:
        self._faults.passing(Point.BEFORE_COMMIT)
        self._store.commit(nodes, facts)
        self._faults.passing(Point.AFTER_COMMIT)

    def _collect(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(event):
                    self._pending.events.append(event)
                case Extend() | Stop():
                    self._doing.at_once(effect)
                case Wake(at):
                    self._wake(at)
                case _:
                    self._pending.effects.append(effect)

    def _announce(self) -> None:
        if not self._pending.empty:
            self._filled.set()
        if self._pending.urgent:
            self._hurried.set()

    def _wake(self, at: float) -> None:
        at = max(at, self._now() + _SHORTEST_PAUSE)
        if at < self._wake_at:
            self._wake_at = at
            self._wake_moved.set()

    def wall_ms(self) -> int:
        """What the clock shows that schedules go by."""
        return int(self._wall() * 1000)

    def _own_seq(self) -> int:
        return self.clock.vector().get(self._key.peer, 0)
