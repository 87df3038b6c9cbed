"""An invitation: one word that lets its bearer into a mesh, once, until it expires. Only its inviter can redeem it."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256

from clockmesh.protocol import limits
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.event_codec import INVITATION_BYTES, read_address, read_peer
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.wire import array, fields, integer, pack, raw, unpack_canonical

SECRET_BYTES = 32
_PREFIX = "clockmesh-invite-1-"
_CHECK_BYTES = 4
_REMEDY = "copy the whole line that `clockmesh invite` printed"
_MAX_LINE = 8192


@dataclass(frozen=True, slots=True)
class Invitation:
    mesh: MeshId
    inviter: PeerId
    addresses: tuple[str, ...]
    """Of the inviter, as multiaddresses; at least one."""
    invitation: bytes
    """16 bytes, under which the inviter knows it."""
    secret: bytes = field(repr=False)
    """32 bytes; what makes it an invitation."""
    expires_ms: int
    """Wall time."""


    def to_line(self) -> str:
        """`clockmesh-invite-1-` and base64url of canonical msgpack with a check of 4 bytes; no spaces. LocalError if
        `from_line` would refuse it."""
        body = pack(
            [self.mesh, self.inviter, list(self.addresses), self.invitation, self.secret, self.expires_ms],
        )
        try:
            _read(body)
        except RemoteError as error:
            raise LocalError(str(error)) from error
        return _PREFIX + urlsafe_b64encode(body + _check(body)).decode().rstrip("=")

    @classmethod
    def from_line(cls, text: str) -> Invitation:
        """RemoteError, which says what to do, unless `text` is a whole invitation (white space around it is
        harmless). Whether it has expired is not looked at."""
        word = text.strip()
        if not word.startswith(_PREFIX):
            if word.startswith("clockmesh-invite-"):
                raise RemoteError("the invitation is for another version of clockmesh: use one version everywhere")
            raise RemoteError(f"not an invitation, which begins with {_PREFIX}: {_REMEDY}")
        data = _decode(word[len(_PREFIX) :])
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if _check(body) != check:
            raise RemoteError(f"the invitation is cut off or was changed: {_REMEDY}")
        return _read(body)


def _check(body: bytes) -> bytes:
    return sha256(b"clockmesh/invitation/1\0" + body).digest()[:_CHECK_BYTES]


def _decode(word: str) -> bytes:
    try:
        # The decoder skips what is not of its alphabet, so going back is the check.
        data = urlsafe_b64decode(word + "=" * (-len(word) % 4)) if len(word) <= _MAX_LINE else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data or urlsafe_b64encode(data).decode().rstrip("=") != word:
        raise RemoteError(f"the invitation is cut off or was changed: {_REMEDY}")
    return data


def _read(body: bytes) -> Invitation:
    mesh, inviter, addresses, invitation, secret, expires_ms = fields(unpack_canonical(body), "invitation", 6)
    return Invitation(
        mesh=MeshId(raw(mesh, "mesh", 32)),
        inviter=read_peer(inviter),
        addresses=tuple(read_address(one) for one in array(addresses, "addresses", limits.MAX_ADDRESSES, 1)),
        invitation=raw(invitation, "invitation", INVITATION_BYTES),
        secret=raw(secret, "secret", SECRET_BYTES),
        expires_ms=integer(expires_ms, "expiry"),
    )
