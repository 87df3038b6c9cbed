"""Whoever a real daemon must bear: our own client under another key, and what can be seen of the daemon meanwhile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from clockmesh.daemon.demo.peers import Peer
from clockmesh.daemon.identity import load
from clockmesh.daemon.network import Network, free_port
from clockmesh.daemon.network_switch import Link
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.keys import SigningKey
from tests.integration.network_support import HOST, Recorder, eventually


@dataclass(frozen=True)
class Target:
    """A running daemon, as one who would harm it knows it."""

    peer: PeerId
    address: tuple[str, int]
    mesh: MeshId
    pid: int

    @classmethod
    def of(cls, peer: Peer) -> Target:
        status = peer.json("status")
        assert peer.daemon is not None
        host, port = status["addresses"][0].split("/")[2::2]
        mesh = MeshId(bytes.fromhex(status["mesh"]))
        return cls(load(peer.home / "identity.key").peer, (host, int(port)), mesh, peer.daemon.pid)

    @property
    def multiaddress(self) -> str:
        return f"/ip4/{self.address[0]}/tcp/{self.address[1]}"

    @property
    def rss(self) -> float:
        """MiB of memory that it has now."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    @property
    def peak(self) -> float:
        """MiB that it had at most since `forget_peak`."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@dataclass
class Intruder:
    """One who takes the target for a member of its mesh, which need not be mutual; `recorder` has what it gave away."""

    network: Network
    recorder: Recorder
    target: Target

    @property
    def host(self) -> Any:
        return self.network._host

    def known_link(self) -> Link | None:
        link: Link | None = self.host.members[self.target.peer].link if self.host is not None else None
        return link

    async def link(self) -> Link:
        """A connection to the target; it is dialled as often as it is lost."""
        await eventually(lambda: self.known_link() is not None)
        link = self.known_link()
        assert link is not None
        return link

    async def fresh_link(self) -> Link:
        """Another one than there was."""
        old = self.known_link()
        if old is not None:
            old.abort()
            await eventually(lambda: self.known_link() is not old)
        return await self.link()


@asynccontextmanager
async def intruder(key: SigningKey, target: Target) -> AsyncIterator[Intruder]:
    recorder = Recorder()
    network = Network(key, (HOST, free_port(HOST)), recorder)
    network.set_mesh(target.mesh, {target.peer: (target.multiaddress,)})
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        yield Intruder(network, recorder, target)
        nursery.cancel_scope.cancel()

