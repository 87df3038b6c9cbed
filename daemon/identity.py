"""Who this peer is: a 32-byte Ed25519 seed in a file that only its owner can read.

The file is written whole or not at all, and never over another one: a peer that loses its key cannot get its name
back, and two keys under one name would be a fork.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from clockmesh.daemon.errors import ConfigurationError
from clockmesh.protocol.keys import SigningKey

_SEED_BYTES = 32


def load_or_create(path: Path) -> SigningKey:
    """The key in `path`, made first if there is none."""
    if not path.exists():
        _create(path, os.urandom(_SEED_BYTES))
    return load(path)


def load(path: Path) -> SigningKey:
    """The key in `path`. ConfigurationError, with the remedy, if it is readable by others, damaged or missing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigurationError(f"cannot read the identity {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise ConfigurationError(f"the identity {path} can be read by others (mode {mode:04o}); if nobody has "
                                     f"copied it, close it with `chmod 600 {path}`")
        seed = file.read(_SEED_BYTES + 1)
    if len(seed) != _SEED_BYTES:
        raise ConfigurationError(f"the identity {path} is damaged: {len(seed)} bytes instead of {_SEED_BYTES}; put "
                                 "its copy back, or move the whole home away and join again as a new peer")
    return SigningKey.from_seed(seed)


def _create(path: Path, seed: bytes) -> None:
    """Write `seed` so that a crash leaves nothing or all of it, and an identity made meanwhile stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(seed)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
