"""What peers say of secrets: values that the clock holds sealed, each to the members' keys.

The value is encrypted once, under a key of its own; that key is sealed to every member (libsodium's sealed box, the
members' Ed25519 keys turned to Curve25519). A member that came later gets the key from one that can open it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from clockmesh.protocol.ids import PeerId, SecretId

SECRET_NAME = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]{0,127}")
"""As GitHub has them, in upper case; what begins with GITHUB_ is its own."""


class Kind(StrEnum):
    SECRET = "secret"
    """Its name is what workflows call it."""
    REMOTE = "remote"
    """Credentials, `user:password`; the name is the URL of the git repositories that ask for them."""


KeyBox = tuple[PeerId, bytes]
"""To whom, and the key sealed to it: 80 bytes."""


@dataclass(frozen=True, slots=True)
class Sealed:
    nonce: bytes
    """24 bytes."""
    data: bytes
    """The value under XChaCha20-Poly1305, bound to kind, name and workflows (`secret_codec.bound_to`)."""
    keys: tuple[KeyBox, ...]
    """Sorted by peer, each once."""


@dataclass(frozen=True, slots=True)
class SecretSet:
    kind: Kind
    name: str
    workflows: tuple[str, ...]
    """Names or paths of the workflows that may have it, sorted; () is all."""
    count: int
    """One more than that of the setting or removal its author knew: the highest stands, of equal ones a removal, then
    the lowest `secret_id`."""
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class SecretRemoved:
    kind: Kind
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class KeysShared:
    """A member that can open a secret gives its key to others, which came later."""

    secret: SecretId
    keys: tuple[KeyBox, ...]


SecretFact = SecretSet | SecretRemoved | KeysShared
