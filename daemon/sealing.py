"""Sealing a value to members' keys, and opening it with one's own. The randomness is libsodium's."""

from __future__ import annotations

import os
from collections.abc import Iterable

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_box_seal,
    crypto_box_seal_open,
    crypto_scalarmult_base,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
)
from nacl.exceptions import CryptoError

from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.secret_codec import NONCE_BYTES, bound_to
from clockmesh.protocol.secrets import KeyBox, Kind, Sealed, SecretSet

_KEY_BYTES = 32


def seal(value: bytes, kind: Kind, name: str, workflows: tuple[str, ...], peers: Iterable[PeerId]) -> Sealed:
    """The value under a fresh key, that key sealed to each of the peers. About 0.1 ms for each."""
    key, nonce = os.urandom(_KEY_BYTES), os.urandom(NONCE_BYTES)
    data = crypto_aead_xchacha20poly1305_ietf_encrypt(value, bound_to(kind, name, workflows), nonce, key)
    return Sealed(nonce, data, boxes(key, peers))


def boxes(key: bytes, peers: Iterable[PeerId]) -> tuple[KeyBox, ...]:
    """The key for each of these peers, sorted; one whose name is no usable public key goes without."""
    found = []
    for peer in sorted(peers):
        try:
            found.append((peer, crypto_box_seal(key, crypto_sign_ed25519_pk_to_curve25519(peer))))
        except (CryptoError, RuntimeError, ValueError):
            continue
    return tuple(found)


def key_in(mine: SigningKey, told: SecretSet, sealed: Iterable[bytes]) -> bytes | None:
    """The key of this secret out of the first of my boxes that truly holds it; None for none."""
    return next((key for key, _ in _opened(mine, told, sealed)), None)


def value_in(mine: SigningKey, told: SecretSet, sealed: Iterable[bytes]) -> bytes | None:
    """The value; None when none of my boxes opens it."""
    return next((value for _, value in _opened(mine, told, sealed)), None)


def _opened(mine: SigningKey, told: SecretSet, sealed: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
    secret = crypto_sign_ed25519_sk_to_curve25519(mine.seed + mine.peer)
    public = crypto_scalarmult_base(secret)
    context = bound_to(told.kind, told.name, told.workflows)
    for box in sealed:
        try:
            key = crypto_box_seal_open(box, public, secret)
            yield key, crypto_aead_xchacha20poly1305_ietf_decrypt(told.sealed.data, context, told.sealed.nonce, key)
        except (CryptoError, ValueError, TypeError):
            continue  # another member's mistake or mischief
