"""The members of the mesh as the network knows them: where each can be dialled, and the connections that there are."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from clockmesh.daemon.network_switch import Link
from clockmesh.protocol.ids import PeerId

_MOST_LINKS = 4
"""Connections of one member at a time: two when both sides dial at once, and as many again while dead ones linger."""


@dataclass(eq=False)
class Member:
    """One admitted peer."""

    peer: PeerId
    addresses: tuple[str, ...]
    links: list[Link] = field(default_factory=list)
    """Its connections, the newest last."""
    connected: bool = False
    """Whether the daemon was told so."""
    beacon: bytes | None = None
    """The newest beacon that waits to be sent; one that comes meanwhile takes its place."""
    beacon_waits: trio.Event = field(default_factory=trio.Event)
    asking: int = 0
    """Requests of this member that are being answered."""
    removed: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Around the task that keeps it connected."""
    _changed: trio.Event = field(default_factory=trio.Event)

    @property
    def link(self) -> Link | None:
        """The connection to use: the newest, which is the one most likely alive."""
        return self.links[-1] if self.links else None

    def touch(self) -> None:
        """Wake who waits in `changed`."""
        self._changed.set()
        self._changed = trio.Event()

    async def changed(self, limit: float = float("inf")) -> None:
        """Until its connections or addresses change, at most `limit` seconds."""
        with trio.move_on_after(limit):
            await self._changed.wait()

    def add(self, link: Link) -> None:
        self.links.append(link)
        if len(self.links) > _MOST_LINKS:
            self.links.pop(0).abort()
        self.touch()

    def drop(self, link: Link) -> None:
        if link in self.links:
            self.links.remove(link)
            self.touch()

    def put_beacon(self, data: bytes) -> None:
        self.beacon = data
        self.beacon_waits.set()

    async def next_beacon(self) -> bytes:
        while self.beacon is None:
            self.beacon_waits = trio.Event()
            await self.beacon_waits.wait()
        data, self.beacon = self.beacon, None
        return data
