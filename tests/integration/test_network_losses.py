"""Connections that are lost while both peers live: everyone is connected again, soon and always."""

from __future__ import annotations

import os
import random
import statistics
from functools import partial

import pytest
import trio

from clockmesh.daemon.network import Timing
from tests.integration.network_support import LONG, PATIENT, Peer, all_connected, eventually, meshed


async def test_a_member_that_is_lost_again_and_again_is_back_soon_each_time() -> None:
    # Whoever takes a peer that was connected a moment ago for one that does not answer soon waits for a minute.
    async with meshed(2, Timing(redial_first=0.05, redial_most=60.0, redial_lost=0.2)) as (one, two):
        times = []
        for number in range(10):
            here, there = (one, two) if number % 2 else (two, one)
            begun = trio.current_time()
            await here.lose(there)
            await all_connected([one, two], LONG)
            times.append(trio.current_time() - begun)
        # At most 0.24 s of pause, 0.2 s for the larger id, a handshake; the rest is for a busy machine.
        assert statistics.median(times) < 2, times


@pytest.mark.parametrize("seed", range(3))
async def test_connections_cut_by_either_side_at_any_moment_are_made_again(seed: int) -> None:
    rng = random.Random(seed)
    async with meshed(3, PATIENT) as peers:
        times = []
        for _ in range(15):
            for _ in range(rng.choice((1, 1, 2, 4))):
                links = list(rng.choice(peers).host.switch.links.values())
                for link in rng.sample(links, rng.randint(0, len(links))):
                    link.abort(reset=rng.random() < 0.7)
                await trio.sleep(rng.choice((0, 0.01, 0.1)) * rng.random())
            begun = trio.current_time()
            await _all_hear_all(peers)
            times.append(trio.current_time() - begun)
        assert statistics.median(times) < 2, times
        for each in peers:
            await each.recorder.until(partial(_told_rightly, each, len(peers) - 1), LONG)


async def test_of_two_connections_either_may_go_and_the_member_stays_connected() -> None:
    for newest in (0, 1):
        async with meshed(2) as (one, two):
            await one.host.dialler.dial(two.id, two.network.addresses)
            links, others = one.host.members[two.id].links, two.host.members[one.id].links
            await eventually(lambda links=links, others=others: len(links) >= 2 and len(others) == len(links))
            for link in links[newest : len(links) - 1 + newest]:
                link.abort()
            await eventually(lambda links=links, others=others: len(links) == len(others) == 1)
            await _all_hear_all([one, two])
            assert one.recorder.down == two.recorder.down == []


async def _all_hear_all(peers: list[Peer]) -> None:
    """Until a node and a beacon of each have reached every other; those sent on a lost connection are sent again."""
    async with trio.open_nursery() as nursery:
        for each in peers:
            for other in peers:
                if other is not each:
                    nursery.start_soon(_hears, other, each)


async def _hears(listener: Peer, sender: Peer) -> None:
    words: set[bytes] = set()

    def heard() -> bool:
        beacons = {data for _, data in listener.recorder.beacons}
        return not words.isdisjoint(listener.recorder.heard) and not words.isdisjoint(beacons)

    with trio.fail_after(LONG):
        while not heard():
            word = os.urandom(8)
            words.add(word)
            await sender.network.publish(word)
            sender.network.send_beacon(word)
            with trio.move_on_after(0.2):
                await listener.recorder.until(heard)


def _told_rightly(peer: Peer, others: int) -> bool:
    return len(peer.network.connected) == others and len(peer.recorder.up) == len(peer.recorder.down) + others
