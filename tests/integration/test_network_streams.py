"""Beacons, frozen peers, requests: what a slow or silent other end can and cannot do to this one."""

from __future__ import annotations

import os
import statistics
from collections.abc import AsyncIterator

import pytest
import trio
from libp2p.rcmgr import Direction

from clockmesh.daemon.network import Unreachable
from clockmesh.protocol.messages import BlobChunk, BlobRequest, Message, Refused, SyncDone, SyncNodes, SyncRequest
from tests.integration.network_support import LONG, NOISE, PATIENT, QUICK, Peer, all_connected, eventually, meshed

_CHUNK = bytes(128 * 1024)


def _freeze(peer: Peer) -> None:
    """As SIGSTOP would: nothing is read any more, while the kernel keeps the connection."""
    for link in peer.host.switch.links.values():
        link.pipe._receive = trio.sleep_forever


async def test_sending_beacons_to_a_frozen_peer_never_waits_and_the_others_get_theirs() -> None:
    async with meshed(3) as (one, frozen, three):
        _freeze(frozen)
        for number in range(200):
            one.network.send_beacon(b"%d " % number + bytes(100_000))
            await trio.lowlevel.checkpoint()
        assert frozen.id in one.network.connected
        await three.recorder.until(lambda: bool(three.recorder.beacons)
                                   and three.recorder.beacons[-1][1].startswith(b"199 "))


async def test_of_beacons_that_wait_only_the_newest_is_sent() -> None:
    async with meshed(2) as (one, two):
        for number in range(100):
            one.network.send_beacon(b"%d" % number)
        await two.recorder.until(lambda: bool(two.recorder.beacons))
        assert two.recorder.beacons == [(one.id, b"99")]


async def test_a_beacon_stream_that_is_lost_is_opened_again() -> None:
    async with meshed(2) as (one, two):
        one.network.send_beacon(b"first")
        await two.recorder.until(lambda: len(two.recorder.beacons) == 1)
        for stream in list(two.host.members[one.id].links[-1].conn.streams):
            if stream._direction is Direction.INBOUND:
                await stream.reset()
        with trio.fail_after(LONG):
            while (one.id, b"again") not in two.recorder.beacons:
                one.network.send_beacon(b"again")
                await trio.sleep(0.05)
        await one.network.publish(b"gossip too")
        await two.recorder.until(lambda: b"gossip too" in two.recorder.heard)


async def test_beacons_do_not_wait_behind_blobs_or_nodes() -> None:
    async with meshed(2) as (one, two):

        async def endless(_peer: object, _message: Message) -> AsyncIterator[Message]:
            while True:
                yield BlobChunk(0, _CHUNK)

        one.recorder.answers = endless
        loaded: set[int] = set()
        async with trio.open_nursery() as nursery:

            async def download(number: int) -> None:
                async with two.network.ask(one.id, BlobRequest(bytes(32), 0)) as answers:
                    async for _ in answers:
                        loaded.add(number)

            for number in range(4):
                nursery.start_soon(download, number)
            await eventually(lambda: len(loaded) == 4)
            delays = []
            for number in range(20):
                begun = trio.current_time()
                one.network.send_beacon(b"%d" % number)
                await two.recorder.until(lambda number=number: two.recorder.beacons[-1:] == [(one.id, b"%d" % number)])
                delays.append(trio.current_time() - begun)
            nursery.cancel_scope.cancel()
        # At most four 128 KiB writes are in front of it; the blobs themselves never end.
        assert statistics.median(delays) < 1, delays


async def test_a_frozen_peer_is_noticed_and_dialled_again() -> None:
    async with meshed(2, QUICK) as (one, two):
        links = list(one.host.members[two.id].links)
        _freeze(two)
        begun = trio.current_time()
        await one.recorder.until(lambda: one.recorder.down == [two.id])
        assert trio.current_time() - begun < QUICK.silence + QUICK.reprieve + NOISE
        await all_connected([one, two])
        assert not set(links) & set(one.host.members[two.id].links)


async def test_a_peer_frozen_in_the_middle_of_a_large_write_is_noticed_too() -> None:
    async with meshed(2, QUICK) as (one, two):
        _freeze(two)
        for _ in range(40):
            await one.network.publish(os.urandom(200_000))
        await one.recorder.until(lambda: one.recorder.down == [two.id])
        await all_connected([one, two])


async def test_a_silent_but_living_connection_is_kept() -> None:
    async with meshed(2, QUICK) as (one, two):
        await trio.sleep((QUICK.silence + QUICK.reprieve) * 3)
        assert one.recorder.down == two.recorder.down == []


async def test_answers_come_one_by_one_in_order_and_end() -> None:
    async with meshed(2) as (one, two):

        async def many(_peer: object, message: Message) -> AsyncIterator[Message]:
            assert message == SyncRequest({one.id: 7})
            for number in range(50):
                yield SyncNodes((b"%d" % number,))
            yield SyncDone({two.id: 50})

        two.recorder.answers = many
        async with one.network.ask(two.id, SyncRequest({one.id: 7})) as answers:
            got = [each async for each in answers]
        assert got == [*(SyncNodes((b"%d" % number,)) for number in range(50)), SyncDone({two.id: 50})]
        assert two.recorder.asked_by == [one.id]


async def test_answers_are_made_no_faster_than_they_are_taken_and_a_slow_taker_loses_nothing() -> None:
    async with meshed(2) as (one, two):
        made = 0

        async def many(_peer: object, _message: Message) -> AsyncIterator[Message]:
            nonlocal made
            for number in range(64):
                made += 1
                yield BlobChunk(number, _CHUNK)

        two.recorder.answers = many
        async with one.network.ask(two.id, BlobRequest(bytes(32), 0)) as answers:
            assert (await anext(answers)).index == 0
            # Longer than the 5 s after which libp2p itself would break the stream.
            await trio.sleep(5.5)
            assert made < 16, "all was made before anything was taken"
            assert [each.index async for each in answers] == list(range(1, 64))


async def test_leaving_early_stops_the_answerer() -> None:
    async with meshed(2) as (one, two):
        stopped = trio.Event()

        async def endless(_peer: object, _message: Message) -> AsyncIterator[Message]:
            try:
                yield SyncDone({})
                await trio.sleep_forever()
            finally:
                stopped.set()

        two.recorder.answers = endless
        async with one.network.ask(two.id, SyncRequest({})) as answers:
            await anext(answers)
        with trio.fail_after(LONG):
            await stopped.wait()


async def test_an_answerer_whose_asker_left_is_closed_where_it_stands() -> None:
    async with meshed(2) as (one, two):
        closed = trio.Event()

        async def flood(_peer: object, _message: Message) -> AsyncIterator[Message]:
            try:
                while True:
                    yield BlobChunk(0, _CHUNK)
            finally:
                closed.set()

        two.recorder.answers = flood
        async with one.network.ask(two.id, SyncRequest({})) as answers:
            for _ in range(4):
                await anext(answers)
        with trio.fail_after(LONG):
            await closed.wait()


async def test_a_cancelled_ask_stops_the_answerer() -> None:
    async with meshed(2) as (one, two):
        stopped = trio.Event()

        async def silent(_peer: object, _message: Message) -> AsyncIterator[Message]:
            try:
                await trio.sleep_forever()
                yield SyncDone({})
            finally:
                stopped.set()

        two.recorder.answers = silent
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await two.recorder.until(lambda: two.recorder.asked_by == [one.id])
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel)
            async with one.network.ask(two.id, SyncRequest({})) as answers:
                await anext(answers)
        assert nursery.cancel_scope.cancelled_caught
        with trio.fail_after(LONG):
            await stopped.wait()


async def test_who_does_not_begin_to_answer_in_time_is_unreachable() -> None:
    async with meshed(2, QUICK) as (one, two):

        async def silent(_peer: object, _message: Message) -> AsyncIterator[Message]:
            await trio.sleep_forever()
            yield SyncDone({})

        two.recorder.answers = silent
        with pytest.raises(Unreachable, match="no answer within 2 s"):
            async with one.network.ask(two.id, SyncRequest({})) as answers:
                await anext(answers)


async def test_an_answerer_that_is_lost_is_told_from_one_that_has_ended() -> None:
    async with meshed(2) as (one, two):

        async def halfway(_peer: object, _message: Message) -> AsyncIterator[Message]:
            yield SyncDone({})
            await trio.sleep_forever()

        two.recorder.answers = halfway
        with pytest.raises(Unreachable):  # noqa: PT012
            async with one.network.ask(two.id, SyncRequest({})) as answers:
                await anext(answers)
                await two.stop()
                await anext(answers)


async def test_one_member_cannot_have_more_than_sixteen_requests_answered_at_a_time() -> None:
    async with meshed(3) as (one, two, three):
        release = trio.Event()

        async def waiting(_peer: object, _message: Message) -> AsyncIterator[Message]:
            await release.wait()
            yield SyncDone({})

        two.recorder.answers = waiting
        got: list[Message] = []

        async def ask(asker: Peer) -> None:
            async with asker.network.ask(two.id, SyncRequest({})) as answers:
                async for each in answers:
                    got.append(each)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask, one)
            nursery.start_soon(ask, three)
            await eventually(lambda: len(got) == 4 and len(two.recorder.asked_by) == 17)
            assert all(isinstance(each, Refused) for each in got)
            assert two.recorder.asked_by.count(three.id) == 1
            release.set()
        assert got.count(SyncDone({})) == 17
        await ask(one)
        assert got[-1] == SyncDone({})


async def test_a_hundred_requests_in_a_row_leave_no_stream_open() -> None:
    async with meshed(2, PATIENT) as (one, two):
        link = one.host.members[two.id].link
        before = len(link.muxed.streams)
        for _ in range(300):
            async with one.network.ask(two.id, SyncRequest({})) as answers:
                async for _each in answers:
                    pass
        await eventually(lambda: len(link.muxed.streams) <= before and len(link.conn.streams) <= before)
        assert link.muxed.stream_backlog_semaphore.value > 250
