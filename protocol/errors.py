"""What can go wrong with bytes: a stranger's fault or our own."""

from __future__ import annotations


class ProtocolError(Exception):
    """The family of this room."""


class RemoteError(ProtocolError):
    """Bytes from a peer, a stranger or a disk are not what the protocol allows. Refuse them; nothing was changed."""


class LocalError(ProtocolError):
    """This program asked for bytes that no peer would accept. It gets none."""
