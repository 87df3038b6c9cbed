"""Ed25519 keys: who a peer is, and what it signed."""

from __future__ import annotations

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.ids import PeerId

SEED_BYTES = 32
SIGNATURE_BYTES = 64


class SigningKey:
    """A peer's secret. Its `repr` shows the public half only."""

    __slots__ = ("_secret", "peer", "seed")

    def __init__(self, seed: bytes) -> None:
        """`seed`: 32 secret bytes."""
        if len(seed) != SEED_BYTES:
            raise LocalError(f"a key's seed is {SEED_BYTES} bytes, not {len(seed)}")
        public, self._secret = crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.peer = PeerId(public)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        return cls(seed)

    def sign(self, data: bytes) -> bytes:
        """64 bytes, the same for the same data."""
        return crypto_sign(data, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey({self.peer.hex()[:16]}...)"


def verify(peer: PeerId, data: bytes, signature: bytes) -> bool:
    """Whether `peer` signed `data`. Keys of small order and signatures in another form are refused."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + data, peer)
    except (CryptoError, ValueError):
        return False
    return True
