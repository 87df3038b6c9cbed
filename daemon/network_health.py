"""Frozen peers: a connection on which nothing comes is asked for a sign of life, then aborted and so dialled anew.

A stopped process, or a machine that lost its cable, leaves TCP connections that look well for minutes. Members send a
beacon each second, so in the normal case nothing is ever asked. Time is counted in our own ticks: after this process
itself was stopped for a while, everyone gets a full chance to be heard.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import structlog
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_PING, YAMUX_HEADER_FORMAT

from clockmesh.daemon.network_switch import Link
from clockmesh.daemon.network_types import Timing
from clockmesh.protocol.ids import peer_text

log = structlog.get_logger()


async def watch_health(links: Callable[[], Iterable[Link]], timing: Timing) -> None:
    """Look at all links each tick, until cancelled."""
    async with trio.open_nursery() as nursery:
        while True:
            await trio.sleep(timing.tick)
            for link in list(links()):
                _look(link, timing, nursery)


def _look(link: Link, timing: Timing, nursery: trio.Nursery) -> None:
    if link.pipe.received != link.heard:
        link.heard, link.silent = link.pipe.received, 0.0
        return
    before, link.silent = link.silent, link.silent + timing.tick
    if link.silent >= timing.silence + timing.reprieve:
        log.warning("peer_frozen", peer=peer_text(link.peer), silent_s=round(link.silent))
        link.abort()
    elif before < timing.silence <= link.silent:
        nursery.start_soon(_ping, link)


async def _ping(link: Link) -> None:
    """Whatever answers counts as a byte received. The write may never end where the other side is frozen."""
    muxed = link.muxed
    try:
        muxed._ping_id += 1
        muxed._ping_sent_time = trio.current_time()
        await muxed._write_frame(struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, muxed._ping_id))
    except (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        log.debug("ping_failed", peer=peer_text(link.peer), why=str(error))
        link.abort()
