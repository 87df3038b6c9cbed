"""Commit before act: the order in which the loop does things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from clockmesh.coordinator.effects import Answer, Effect, Extend, Stop
from clockmesh.coordinator.errors import NotFound
from clockmesh.coordinator.inputs import AdmitWanted, CancelWanted, Started, SubmitWanted
from clockmesh.coordinator.machine import Machine
from clockmesh.daemon.errors import StoreError
from clockmesh.daemon.loop import Doing, Loop
from clockmesh.daemon.store import Store
from clockmesh.daemon.writing import build_nodes
from clockmesh.protocol.clock import Clock
from clockmesh.protocol.codec import decode_node, mesh_id
from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.events import Description, InvitationRedeemed, MeshFounded, PeerAdmitted, PeerDescribed
from clockmesh.protocol.ids import JobKey, PeerId, RunId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Plan, PlannedJob, Snapshot

KEY = SigningKey.from_seed(b"k" * 32)
MESH = mesh_id(KEY.peer, b"n" * 16)
PLAN = Plan("t", "t.yml", None, Snapshot(), "push", (PlannedJob(JobKey("a"), "a"),))


class Bench:
    """One loop on a real store, with everything that it does written down."""

    def __init__(self, tmp_path: Path) -> None:
        self.done: list[object] = []
        self.store = Store.open(tmp_path / "state.db", KEY.peer)
        self.clock = Clock(MESH)
        self.machine = Machine(KEY.peer, MESH)
        self.fail = False
        self.loop = Loop(KEY, self.clock, self.machine, self._watched_store(), self._doing(),
                         now=trio.current_time, longest_pause=1.0)
        founder = Description("alpha", 2, ("linux", "x64"))
        first = build_nodes(KEY, self.clock, [MeshFounded(b"n" * 16, founder)], 1)[0]
        self.store.commit([first], {})
        self.clock = self.loop.clock = Clock(MESH)
        self.loop.reload([first])
        self.loop.take(Started(1))
        self.done.clear()

    def _watched_store(self) -> Store:
        commit = self.store.commit

        def watched(nodes: Sequence[Node], meta: Mapping[str, bytes | None]) -> None:
            if self.fail:
                raise StoreError("disk full")
            commit(nodes, meta)
            self.done.append(("commit", tuple(type(event).__name__ for node in nodes for event in node.events)))

        self.store.commit = watched  # type: ignore[method-assign]
        return self.store

    def _doing(self) -> Doing:
        async def publish(data: bytes) -> None:
            self.done.append("publish")

        def at_once(effect: Extend | Stop) -> None:
            self.done.append(effect)

        def after(effect: Effect) -> None:
            self.done.append(effect)

        return Doing(at_once, after, lambda node: None, publish)

    def store_commits(self) -> int:
        return sum(1 for what in self.done if isinstance(what, tuple))

    def submit(self, token: int = 1) -> None:
        heads = self.clock.combined_head()
        self.loop.take(SubmitWanted(token, PLAN, bytes([token]) * 16, heads))

    def stored(self) -> list[Node]:
        return [decode_node(MESH, data, verify=False) for data in self.store.nodes()]


async def test_nothing_is_done_or_published_before_it_is_durable(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.submit()
    assert not bench.done
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.loop.run)
        await bench.loop.keep()
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.cancel_scope.cancel()
    answered = next(place for place, what in enumerate(bench.done) if isinstance(what, Answer))
    assert "RunSubmitted" in bench.done[0][1]  # type: ignore[index]
    assert bench.done[0][0] == "commit"  # type: ignore[index]
    assert bench.done[1] == "publish"
    assert answered > 1


async def test_what_is_shown_of_a_run_waits_until_it_can_not_be_undone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    seen: list[int] = []

    async def look(run: RunId) -> None:
        await bench.loop.settled(run)
        seen.append(bench.store_commits())

    bench.submit()
    [run] = bench.machine.runs
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, run)
        nursery.start_soon(look, RunId(bytes(32)))
        await trio.testing.wait_all_tasks_blocked()
        assert seen == [0], "what nothing was decided of is shown at once"
        nursery.start_soon(bench.loop.run)
        with trio.fail_after(10):
            while len(seen) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert seen[1] >= 1


async def test_what_comes_while_a_commit_is_written_shares_the_next_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.loop.run)
        for token in range(1, 11):
            bench.submit(token)
        await bench.loop.keep()
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.cancel_scope.cancel()
    submissions = [node for node in bench.stored()[1:] if "RunSubmitted" in str(node.events)]
    assert len(submissions) == 1


async def test_a_commit_that_fails_ends_the_loop_and_nothing_is_answered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fail = True
    bench.submit()
    with pytest.raises((StoreError, ExceptionGroup)):
        await bench.loop.run()
    assert not bench.done


async def test_a_refused_request_leaves_nothing_to_commit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    before = list(bench.loop._pending.effects)
    with pytest.raises(NotFound):
        bench.loop.take(CancelWanted(1, RunId(b"x" * 32)), {"fact": b"x"})
    assert bench.loop._pending.facts == {}
    assert bench.loop._pending.effects == before


async def test_an_admission_and_its_used_invitation_are_one_commit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    stranger = PeerId(SigningKey.from_seed(b"s" * 32).peer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.loop.run)
        await bench.loop.keep()
        bench.done.clear()
        bench.loop.take(AdmitWanted(1, b"i" * 16, stranger, Description("beta", 1)), {"invitation/69": b"used"})
        await bench.loop.keep()
        nursery.cancel_scope.cancel()
    assert bench.store.get("invitation/69") == b"used"
    last = next(node for node in bench.stored() if any(isinstance(event, PeerAdmitted) for event in node.events))
    assert any(isinstance(event, InvitationRedeemed) for event in last.events)


async def test_own_nodes_are_shown_to_nobody_before_they_are_durable(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ahead = build_nodes(KEY, bench.clock, [PeerDescribed(Description("alpha", 2))], 2)
    assert ahead[0] in list(bench.clock.missing_for({}))
    assert ahead[0] not in list(bench.loop.durable_nodes({}))


async def test_a_foreign_node_is_stored_though_nothing_is_decided_on_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    other = SigningKey.from_seed(b"o" * 32)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.loop.run)
        bench.loop.take(AdmitWanted(1, b"i" * 16, PeerId(other.peer), Description("beta", 1)))
        await bench.loop.keep()
        foreign = build_nodes(other, bench.clock, [PeerDescribed(Description("beta", 3))], 5)[0]
        bench.loop.entered(foreign)
        await bench.loop.keep()
        nursery.cancel_scope.cancel()
    assert foreign.data in list(bench.store.nodes())


def test_events_that_fit_no_single_node_go_into_several_in_order() -> None:
    clock = Clock(MESH)
    build_nodes(KEY, clock, [MeshFounded(b"n" * 16, Description("alpha", 2))], 1)
    events = [PeerDescribed(Description("alpha", 2, tuple(f"label-{i:04}-{j:02}" + "x" * 100 for j in range(60))))
              for i in range(100)]
    nodes = build_nodes(KEY, clock, events, 2)
    assert len(nodes) > 1
    assert [event for node in nodes for event in node.events] == events
    assert [node.seq for node in nodes] == list(range(2, len(nodes) + 2))


def test_an_event_that_fits_no_node_is_our_own_error() -> None:
    clock = Clock(MESH)
    build_nodes(KEY, clock, [MeshFounded(b"n" * 16, Description("alpha", 2))], 1)
    with pytest.raises(LocalError):
        build_nodes(KEY, clock, [PeerDescribed(Description("x" * 1000, 2))], 2)
