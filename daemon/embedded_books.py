"""The books of an embedded coordinator: its clock, its workflows and its peers in memory, and durable in its `State`.

`changing` is the one way to change them: it takes the state's lock, reads what other processes wrote meanwhile, lets
the change happen in memory, and commits its nodes and facts together before it returns. Whatever fails on the way, the
books are read anew from the state.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from clockmesh.coordinator.queue import WorkflowPriorityQueue
from clockmesh.daemon.embedded_clock import MerkleClock
from clockmesh.daemon.embedded_node import NOTES
from clockmesh.daemon.embedded_state import State
from clockmesh.daemon.embedded_task import WorkflowStatus, WorkflowTask
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.codec import decode_node
from clockmesh.protocol.errors import ProtocolError
from clockmesh.protocol.events import Noted
from clockmesh.protocol.node import Node

_PEERS = "peers"
_WORKFLOW = "workflow/"
_COUNT = "count"
"""How many nodes there are: what cuts off the last ones does not know of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a workflow beside what it shows."""

    number: int
    """Its place in the order of submission."""
    origin: str
    """The hash of the node that submitted it: the head from which its owner is computed, whoever does it and when."""


class Books:
    """One peer's. `workflows` is in the order of submission, each task replaced, never changed, by an update."""

    def __init__(self, peer_id: str, state: State) -> None:
        self._peer_id = peer_id
        self.state = state
        self.clock = MerkleClock(peer_id, key=state.key, journal=self)
        self.peers: list[str] = [peer_id]
        self.workflows: dict[str, WorkflowTask] = {}
        self.entries: dict[str, Entry] = {}
        self.queue = WorkflowPriorityQueue()
        self.counts: Counter[WorkflowStatus] = Counter()
        self._guard = threading.RLock()
        self._depth = 0
        self._nodes: list[Node] = []
        self._facts: dict[str, bytes | None] = {}
        self._is_stale = True
        with self.current():
            pass

    # ---- reading and changing ----

    @contextmanager
    def current(self) -> Iterator[None]:
        """The books as they are now, whoever changed them; for reading."""
        with self._guard:
            if not self._depth:
                self._reopen_in_child()
                self._catch_up()
            yield

    @contextmanager
    def changing(self) -> Iterator[None]:
        """The books, for changing: durable when this is left. Conflict when another process holds them for too
        long."""
        with self._guard:
            if self._depth:
                yield
                return
            self._reopen_in_child()
            with self.state.locked():
                self._catch_up()
                self._depth = 1
                try:
                    yield
                    self._commit()
                except BaseException as error:  # an interrupt may have come between two lines of a change
                    self._is_stale = bool(self._nodes or self._facts) or not isinstance(error, Exception)
                    raise
                finally:
                    self._depth = 0
                    self._nodes, self._facts = [], {}

    def _commit(self) -> None:
        if self._nodes or self._facts:
            count = len(self.clock.nodes).to_bytes(8, "big")
            self.state.commit(self._nodes, self._facts | {_COUNT: count})

    def wrote(self, nodes: Sequence[Node]) -> None:
        """The clock has these nodes more; within `changing`."""
        self._nodes += nodes

    def keep_fact(self, key: str, value: bytes) -> None:
        self._facts[key] = value

    def set_peers(self, peers: list[str]) -> None:
        self.peers = peers
        self._facts[_PEERS] = json.dumps(peers).encode()

    def set_task(self, task: WorkflowTask, origin: str = "") -> None:
        """A new workflow (with its origin), or another state of a known one."""
        key = task.workflow_id
        entry = self.entries.get(key) or Entry(len(self.entries), origin)
        self._place(task, entry)
        record = {"task": task.to_dict(), "number": entry.number, "origin": entry.origin}
        self._facts[_WORKFLOW + key] = json.dumps(record, allow_nan=False).encode()

    def change_task(self, workflow_id: str, **values: Any) -> None:
        self.set_task(replace(self.workflows[workflow_id], **values))

    def _place(self, task: WorkflowTask, entry: Entry) -> None:
        key = task.workflow_id
        if before := self.workflows.get(key):
            self.counts[before.status] -= 1
        self.workflows[key] = task
        self.entries[key] = entry
        self.counts[task.status] += 1
        if task.status is not WorkflowStatus.PENDING:
            self.queue.discard(key)
        elif key not in self.queue:
            self.queue.add_workflow(key, task.priority, {"name": task.name, "workflow_file": task.workflow_file})

    def next_pending(self) -> WorkflowTask | None:
        """The most urgent workflow that waits for an owner; it leaves the queue."""
        if self.queue.size() != self.counts[WorkflowStatus.PENDING]:  # somebody took from the public queue
            for task in self.workflows.values():
                if task.status is WorkflowStatus.PENDING and task.workflow_id not in self.queue:
                    self._place(task, self.entries[task.workflow_id])
        taken = self.queue.get_next_workflow()
        return self.workflows[taken["workflow_id"]] if taken else None

    # ---- what other processes wrote ----

    def _reopen_in_child(self) -> None:
        self._is_stale = self.state.forked() or self._is_stale

    def _catch_up(self) -> None:
        if not self.state.changed() and not self._is_stale:
            return
        try:
            with self.state.store.reading():
                if self._is_stale:
                    self._read_all()
                else:
                    self._read_news()
        except sqlite3.Error as error:
            self._is_stale = True
            raise _damaged(self.state, error) from error

    def _read_all(self) -> None:
        store = self.state.store
        store.reread()
        nodes = self._decoded(store.nodes_after(0))
        self.clock._restore(_linked(nodes, int.from_bytes(store.get(_COUNT) or b"", "big")), self.state.key)
        self.workflows, self.entries = {}, {}
        self.queue, self.counts = WorkflowPriorityQueue(), Counter()
        self.peers = self._stored_peers()
        records = [json.loads(record) for record in store.facts(_WORKFLOW).values()]
        for record in sorted(records, key=lambda record: int(record["number"])):
            self._place(WorkflowTask.from_dict(record["task"]), Entry(record["number"], record["origin"]))
        self._is_stale = False

    def _read_news(self) -> None:
        """The clock tells what changed: each change of a workflow or a peer has its event."""
        nodes = self._decoded(self.state.store.nodes_after(len(self.clock.nodes)))
        self.clock._take(nodes)
        events = [json.loads(note.data) for node in nodes for note in node.events if isinstance(note, Noted)]
        if any(event.get("event") in ("peer_added", "peer_removed") for event in events):
            self._is_stale = True
            self._read_all()
            return
        touched = dict.fromkeys(str(event["workflow_id"]) for event in events if "workflow_id" in event)
        self.state.store.reread([_WORKFLOW + key for key in touched])
        for key in touched:
            if record := self._stored(_WORKFLOW + key):
                self._place(WorkflowTask.from_dict(record["task"]), Entry(record["number"], record["origin"]))

    def _decoded(self, stored: Sequence[bytes]) -> list[Node]:
        try:
            return [decode_node(NOTES, data, verify=False) for data in stored]
        except ProtocolError as error:
            raise _damaged(self.state, error) from error

    def _stored(self, key: str) -> Any:
        value = self.state.store.get(key)
        return None if value is None else json.loads(value)

    def _stored_peers(self) -> list[str]:
        return self._stored(_PEERS) or [self._peer_id]


def _linked(nodes: list[Node], count: int) -> Clock:
    """The clock of stored nodes. Each but the heads is named by a hash in another, so that the heads' signatures and
    the number of nodes vouch for all."""
    clock = Clock(NOTES, is_open=True)
    try:
        for node in nodes:
            clock.add(node)
        for head in clock.heads:
            tip = clock.get(head)
            assert tip is not None
            decode_node(NOTES, tip.data)
        if len(clock) != count:
            raise ValueError(f"{len(clock)} nodes instead of {count}")
    except (ProtocolError, ValueError) as error:
        raise ValueError(f"the stored clock was changed by something else: {error}; put a copy of the state back, or "
                         "move it away to begin anew") from error
    return clock


def _damaged(state: State, error: Exception) -> ValueError:
    return ValueError(f"the state in {state.folder} is damaged: {error}; put a copy of it back, or move it away to "
                      "begin anew")
