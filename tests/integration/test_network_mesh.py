"""Several networks in one process: everyone connected, everything heard, and again after a restart."""

from __future__ import annotations

import os
from collections import Counter

import pytest
import trio

from clockmesh.daemon.network import NetworkError, PortTaken
from clockmesh.protocol.ids import MeshId
from tests.integration.network_support import NOISE, PATIENT, Peer, admit, all_connected, eventually, meshed


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_what_one_publishes_every_other_member_hears_once(count: int) -> None:
    async with meshed(count) as peers:
        for number, each in enumerate(peers):
            await each.network.publish(b"node %d" % number)
        for number, each in enumerate(peers):
            wanted = {b"node %d" % other for other in range(count) if other != number}
            await each.recorder.until(lambda each=each, wanted=wanted: set(each.recorder.heard) >= wanted)
        await peers[0].network.publish(b"last")
        for each in peers[1:]:
            await each.recorder.until(lambda each=each: b"last" in each.recorder.heard)
            assert set(Counter(each.recorder.heard).values()) == {1}


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_a_beacon_reaches_every_other_member(count: int) -> None:
    async with meshed(count) as peers:
        for number, each in enumerate(peers):
            each.network.send_beacon(b"beacon %d" % number)
        for number, each in enumerate(peers):
            wanted = {(other.id, b"beacon %d" % at) for at, other in enumerate(peers) if at != number}
            await each.recorder.until(lambda each=each, wanted=wanted: set(each.recorder.beacons) >= wanted)
            assert len(each.recorder.beacons) == count - 1


async def test_members_that_start_at_the_same_time_settle_on_working_connections() -> None:
    for _ in range(3):
        async with meshed(2) as (one, two):
            await one.network.publish(b"to two")
            await two.network.publish(b"to one")
            await two.recorder.until(lambda two=two: two.recorder.heard == [b"to two"])
            await one.recorder.until(lambda one=one: one.recorder.heard == [b"to one"])
            assert one.recorder.up == [two.id]
            assert two.recorder.up == [one.id]


async def test_a_member_restarted_on_its_port_is_soon_back(nursery: trio.Nursery) -> None:
    peers = [Peer(PATIENT) for _ in range(3)]
    mesh = MeshId(os.urandom(32))
    admit(mesh, peers)
    for each in peers:
        await each.start(nursery)
    await all_connected(peers)
    stopped = trio.current_time()
    await peers[0].stop()
    for each in peers[1:]:
        await each.recorder.until(lambda each=each: each.recorder.down == [peers[0].id])
    # Told by the connection's end, not by the silence after it.
    assert trio.current_time() - stopped < PATIENT.silence
    again = peers[0].restarted()
    admit(mesh, [again, *peers[1:]])
    await again.start(nursery)
    back = trio.current_time()
    await all_connected([again, *peers[1:]])
    assert trio.current_time() - back < PATIENT.redial_most + NOISE
    await again.network.publish(b"first after the restart")
    for each in peers[1:]:
        await each.recorder.until(lambda each=each: each.recorder.heard == [b"first after the restart"])
    nursery.cancel_scope.cancel()


async def test_what_was_heard_before_a_restart_does_not_hide_what_comes_after_it(nursery: trio.Nursery) -> None:
    one, two = Peer(PATIENT), Peer(PATIENT)
    mesh = MeshId(os.urandom(32))
    admit(mesh, [one, two])
    await one.start(nursery)
    await two.start(nursery)
    await all_connected([one, two])
    for number in range(20):
        await one.network.publish(b"before %d" % number)
    await two.recorder.until(lambda: len(two.recorder.heard) == 20)
    await one.stop()
    await two.recorder.until(lambda: two.recorder.down == [one.id])
    again = one.restarted()
    admit(mesh, [again, two])
    await again.start(nursery)
    await all_connected([again, two])
    for number in range(20):
        await again.network.publish(b"after %d" % number)
    await two.recorder.until(lambda: len(two.recorder.heard) == 40)
    nursery.cancel_scope.cancel()


async def test_an_end_takes_less_than_a_second_and_leaves_no_task() -> None:
    times = []
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            peers = [Peer() for _ in range(3)]
            admit(MeshId(os.urandom(32)), peers)
            before = _tasks()
            for each in peers:
                await each.start(nursery)
            await all_connected(peers)
            begun = trio.current_time()
            nursery.cancel_scope.cancel()
        times.append(trio.current_time() - begun)
        assert _tasks() == before
        assert all(each.host is None and each.network.connected == frozenset() for each in peers)
    # What the machine does meanwhile may slow one down, or two.
    assert min(times) < 1, times


async def test_many_connections_come_and_go_without_leaving_anything(nursery: trio.Nursery) -> None:
    stays, mesh = Peer(PATIENT), MeshId(os.urandom(32))
    goes = Peer(PATIENT)
    await stays.start(nursery)
    alone = _tasks()
    for _ in range(5):
        goes = goes.restarted()
        admit(mesh, [stays, goes])
        await goes.start(nursery)
        await all_connected([stays, goes])
        await goes.stop()
        seen = len(stays.recorder.up)
        await stays.recorder.until(lambda seen=seen: len(stays.recorder.down) == seen)
    switch = stays.host.switch
    await eventually(lambda: switch.connections == {} and switch.links == {} and len(switch.manager._root_tasks) == 1)
    # The member's own task stays, with what it takes to dial.
    await eventually(lambda: _tasks() <= alone + 3)
    nursery.cancel_scope.cancel()


async def test_a_port_that_another_process_has_is_named_with_what_to_do() -> None:
    async with meshed(2) as peers:
        intruder = Peer(listen=peers[0].listen)
        with pytest.raises(PortTaken, match=f"port {peers[0].listen[1]} .*choose another"):
            await intruder.network.run()


async def test_an_address_of_another_machine_is_named_with_what_to_do() -> None:
    with pytest.raises(NetworkError, match=r"192\.0\.2\.1:4001"):
        await Peer(listen=("192.0.2.1", 4001)).network.run()


async def test_a_message_too_large_for_a_frame_is_refused_here_and_one_that_fits_arrives() -> None:
    async with meshed(2) as (one, two):
        with pytest.raises(NetworkError, match="too many"):
            await one.network.publish(bytes(256 * 1024 + 1))
        largest = os.urandom(256 * 1024)
        await one.network.publish(largest)
        await two.recorder.until(lambda: two.recorder.heard == [largest])


async def test_what_is_published_as_a_member_comes_back_reaches_it(nursery: trio.Nursery) -> None:
    one, two = Peer(PATIENT), Peer(PATIENT)
    admit(MeshId(os.urandom(32)), [one, two])
    await one.start(nursery)
    await one.network.publish(b"while nobody was there")
    await two.start(nursery)
    await two.recorder.until(lambda: two.recorder.heard == [b"while nobody was there"])
    nursery.cancel_scope.cancel()


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living
