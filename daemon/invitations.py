"""Invitations that this peer made: durable, each good for one peer until it expires. Only the hash of a secret is
kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from dataclasses import dataclass, replace

import msgpack
import structlog

from clockmesh.daemon.errors import Conflict, NotAllowed, UsageError
from clockmesh.daemon.loop import Loop
from clockmesh.daemon.store import Store
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.invitation import SECRET_BYTES, Invitation
from clockmesh.protocol.limits import MAX_ADDRESSES

log = structlog.get_logger()
_PREFIX = "invitation/"
_ID_BYTES = 16
_LONGEST_S = 30 * 24 * 3600
_MOST_OPEN = 1000
"""Far above the members of a mesh; what has been used or has expired does not count."""


@dataclass(frozen=True, slots=True)
class Made:
    """What this peer remembers of one."""

    secret_hash: bytes
    expires_ms: int
    used_by: PeerId | None = None

    def open(self, now_ms: int) -> bool:
        return self.used_by is None and self.expires_ms > now_ms


class Invitations:
    """One peer's invitations. Wall time decides on expiry: a line may be carried to another machine by hand."""

    def __init__(self, store: Store, loop: Loop, me: PeerId, mesh: MeshId) -> None:
        self._loop = loop
        self._me = me
        self._mesh = mesh
        self._made = {bytes.fromhex(key.removeprefix(_PREFIX)): _unpack(value)
                      for key, value in store.facts(_PREFIX).items()}

    async def make(self, ttl_s: float, addresses: tuple[str, ...]) -> str:
        """One line for one peer; durable before it returns. UsageError for a time that is not between a second and 30
        days; Conflict when too many are open."""
        if not 1 <= ttl_s <= _LONGEST_S:
            raise UsageError("an invitation lasts a second at least and 30 days at most: clockmesh invite --ttl 1d")
        now_ms = _wall_ms()
        if sum(made.open(now_ms) for made in self._made.values()) >= _MOST_OPEN:
            raise Conflict(f"{_MOST_OPEN} invitations are open; let some be used or expire")
        number, secret = os.urandom(_ID_BYTES), os.urandom(SECRET_BYTES)
        expires_ms = now_ms + int(ttl_s * 1000)
        line = Invitation(self._mesh, self._me, addresses[:MAX_ADDRESSES], number, secret, expires_ms).to_line()
        self._made[number] = Made(_hash(secret), expires_ms)
        await self._loop.keep({**self._drop_old(now_ms), _key(number): _pack(self._made[number])})
        log.info("invitation_made", invitation=number.hex(), expires_ms=expires_ms)
        return line

    def redeem(self, number: bytes, secret: bytes, peer: PeerId) -> dict[str, bytes | None]:
        """What to write in the commit that admits `peer`; call `use` when that is decided. NotAllowed, in words for the
        stranger. The peer that has used an invitation may come with it again: its answer may have been lost."""
        made = self._made.get(number)
        if made is None or not hmac.compare_digest(made.secret_hash, _hash(secret)):
            raise NotAllowed("this invitation is not known here; ask for a new one (`clockmesh invite`)")
        if made.used_by not in (None, peer):
            raise NotAllowed("this invitation has been used; ask for a new one (`clockmesh invite`)")
        if made.used_by is None and made.expires_ms <= _wall_ms():
            raise NotAllowed("this invitation has expired; ask for a new one (`clockmesh invite`)")
        return {_key(number): _pack(replace(made, used_by=peer))}

    def use(self, number: bytes, peer: PeerId) -> None:
        """`peer` is admitted by this one."""
        self._made[number] = replace(self._made[number], used_by=peer)

    def _drop_old(self, now_ms: int) -> dict[str, bytes | None]:
        """Forget those that expired unused, a day after: until then they can say why they do not work."""
        old = [number for number, made in self._made.items()
               if made.used_by is None and made.expires_ms < now_ms - 24 * 3600 * 1000]
        for number in old:
            del self._made[number]
        return {_key(number): None for number in old}


def _key(number: bytes) -> str:
    return _PREFIX + number.hex()


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(b"clockmesh/invitation-secret/1\0" + secret).digest()


def _pack(made: Made) -> bytes:
    data: bytes = msgpack.packb([made.secret_hash, made.expires_ms, made.used_by])
    return data


def _unpack(data: bytes) -> Made:
    secret_hash, expires_ms, used_by = msgpack.unpackb(data)
    return Made(secret_hash, expires_ms, None if used_by is None else PeerId(used_by))


def _wall_ms() -> int:
    return int(time.time() * 1000)
