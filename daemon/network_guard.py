"""The border between the network and the daemon: what the daemon's handlers raise must not end a host.

Any exception that leaves a task of libp2p ends its host, and with it every connection. A stranger's bytes may make a
handler fail in ways nobody thought of; such a failure is logged and costs one message.
"""

from __future__ import annotations

import structlog

from clockmesh.daemon.network_types import Handlers
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import PeerId, peer_text

log = structlog.get_logger()


class Guard:
    """`Handlers`, such that nothing but cancellation comes out."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    async def gossiped(self, peer: PeerId, data: bytes) -> frozenset[PeerId] | None:
        try:
            return await self.handlers.gossiped(peer, data)
        except Exception as error:
            _report("gossip", peer, error)
            return None

    async def beaconed(self, peer: PeerId, data: bytes) -> None:
        try:
            await self.handlers.beaconed(peer, data)
        except Exception as error:
            _report("beacon", peer, error)

    def connected(self, peer: PeerId) -> None:
        try:
            self.handlers.connected(peer)
        except Exception as error:
            _report("connection", peer, error)

    def disconnected(self, peer: PeerId) -> None:
        try:
            self.handlers.disconnected(peer)
        except Exception as error:
            _report("disconnection", peer, error)


def _report(what: str, peer: PeerId, error: Exception) -> None:
    """A stranger's fault is one line; ours comes with its trace."""
    if isinstance(error, RemoteError):
        log.warning("message_refused", what=what, peer=peer_text(peer), why=str(error))
    else:
        log.error("handler_failed", what=what, peer=peer_text(peer), exc_info=error)
