"""Where an embedded coordinator keeps what it knows: one peer's files in a folder that many processes may use.

    coordinator_PEER.db     the clock's nodes, and a fact for each workflow (`store`)
    coordinator_PEER.key    the secret seed that signs them, 0600
    coordinator_PEER.lock   held for the moment of each change
    coordinator_state_PEER.json   the reference's own state: read once, never written

A process that is killed at any moment leaves what was committed, all of it and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from clockmesh.daemon.errors import ConfigurationError, Conflict
from clockmesh.daemon.identity import load_or_create
from clockmesh.daemon.store import Store
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.node import Node

WAIT_S = 30.0
"""How long a change waits for another process's; one takes milliseconds."""
_LONGEST_NAME = 120
"""Of a peer id in a file's name; a longer one is cut and gets a hash."""


class State:
    """One peer's files. Changes are made within `locked`."""

    def __init__(self, folder: Path, peer_id: str) -> None:
        """ValueError for a folder or files that cannot be used."""
        self.folder = folder
        name = _file_name(peer_id)
        self._base = folder / f"coordinator_{name}"
        plain = "/" not in peer_id and len(os.fsencode(peer_id)) <= _LONGEST_NAME
        self.reference = folder / f"coordinator_state_{peer_id if plain else name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cannot use the data directory {folder}: {error.strerror}") from error
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        with self._flock():
            try:
                self.key: SigningKey = load_or_create(self._base.with_name(f"{self._base.name}.key"))
                self.store = Store.open(self._base.with_name(f"{self._base.name}.db"), self.key.peer)
            except (ConfigurationError, OSError) as error:
                raise ValueError(f"the state of this peer cannot be used: {error}") from error
        self._seen = -1

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other process changes this state within; Conflict after 30 s of waiting."""
        with self._flock():
            yield

    @contextmanager
    def _flock(self) -> Iterator[None]:
        path = self._base.with_name(f"{self._base.name}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ValueError(f"cannot lock the state {path}: {error.strerror}") from error
        try:
            _wait_for(descriptor, path)
            yield
        finally:
            os.close(descriptor)

    def forked(self) -> bool:
        """Whether this is a child of the process that opened the files: it has opened its own now."""
        if self._process == os.getpid():
            return False
        self._parents_store = self.store  # never closed here: the connection is the parent's
        self._open()
        return True

    def changed(self) -> bool:
        """Whether another process may have committed since this was last asked."""
        before, self._seen = self._seen, self.store.version()
        return before != self._seen

    def commit(self, nodes: Sequence[Node], facts: Mapping[str, bytes | None]) -> None:
        """Durable when it returns; StoreError when it cannot be."""
        self.store.commit(nodes, facts)

    def close(self) -> None:
        self.store.close()


def _wait_for(descriptor: int, path: Path) -> None:
    until = time.monotonic() + WAIT_S
    pause = 0.0005
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "another process"
                raise Conflict(f"the state {path.with_suffix('.db')} has been in use by process {holder} for "
                               f"{WAIT_S:g} s; wait for it, or end it") from None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)
    os.pwrite(descriptor, f"{os.getpid():<20}\n".encode(), 0)


def _file_name(peer_id: str) -> str:
    """The peer id with everything escaped that a file's name cannot hold or that leads elsewhere."""
    name = quote(peer_id, safe="")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}_{sha256(peer_id.encode()).hexdigest()[:16]}"
