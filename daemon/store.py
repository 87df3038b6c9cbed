"""What must survive a crash: the mesh's nodes in causal order, and small facts. SQLite, one writer, each commit
synced.

The store belongs to one identity and at most one mesh, and says so when it is asked to serve another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from clockmesh.daemon.errors import ConfigurationError, StoreError
from clockmesh.daemon.reserve import Reserve
from clockmesh.protocol.ids import MeshId, PeerId, peer_text
from clockmesh.protocol.node import Node

_T = TypeVar("_T")
_SCHEMA = 1
_APPLICATION = 0x636C6D68
"""`clmh`: tells our files from other SQLite files."""

_TABLES = """
CREATE TABLE node (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, data BLOB NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL);
"""

META_IDENTITY = "identity"
META_MESH = "mesh"
META_LISTEN = "listen"
META_INCARNATION = "incarnation"
META_PROBE = "probe"
"""Written to show that writing works."""
META_SLOTS = "slots"
"""Of a peer that offers none for want of a sandbox: how many it had."""
META_RETIRED = "retired"
"""Why this identity must never append again (DESIGN 5.13), as UTF-8 text."""


class Store:
    """Open with `Store.open`. `commit` may run in a worker thread, one call at a time; everything else belongs to the
    thread that opened the store."""

    def __init__(self, connection: sqlite3.Connection, path: Path, reserve: Reserve | None = None) -> None:
        self._connection = connection
        self._path = path
        self._reserve = reserve
        self._meta = dict(connection.execute("SELECT key, value FROM meta"))

    @classmethod
    def open(cls, path: Path, identity: PeerId, reserve: Reserve | None = None) -> Store:
        """The store in `path`, made if there is none; on a full disk it draws on `reserve`. ConfigurationError if it is
        damaged, newer, or another peer's; StoreError if there is no room for it."""
        try:
            store = _with_room(reserve, partial(cls._open, path, reserve))
        except sqlite3.Error as error:
            if _is_full(error):
                raise _no_room(path) from error
            raise ConfigurationError(f"the store {path} cannot be used ({error}); if its disk is sound, move the home "
                                     "away and join again as a new peer") from error
        store._bind(identity)
        return store

    @classmethod
    def _open(cls, path: Path, reserve: Reserve | None) -> Store:
        connection = _connect(path)
        _prepare(connection, path)
        return cls(connection, path, reserve)

    def _bind(self, identity: PeerId) -> None:
        owner = self._meta.get(META_IDENTITY)
        if owner is None:
            self.commit((), {META_IDENTITY: identity})
        elif owner != identity:
            raise ConfigurationError(f"the store {self._path} belongs to peer {peer_text(PeerId(owner))}, but this "
                                     f"home's identity is {peer_text(identity)}; put the right identity.key back, or "
                                     "move the store away and join again as a new peer")

    @property
    def mesh(self) -> MeshId | None:
        """The mesh this peer belongs to."""
        mesh = self._meta.get(META_MESH)
        return None if mesh is None else MeshId(mesh)

    def get(self, key: str) -> bytes | None:
        """A small fact."""
        return self._meta.get(key)

    def facts(self, prefix: str) -> dict[str, bytes]:
        """All small facts whose key begins so."""
        return {key: value for key, value in self._meta.items() if key.startswith(prefix)}

    def nodes(self) -> Iterator[bytes]:
        """The bytes of all nodes, parents before children. ConfigurationError when the file cannot be read."""
        try:
            for (data,) in self._connection.execute("SELECT data FROM node ORDER BY id"):
                yield data
        except sqlite3.Error as error:
            raise ConfigurationError(f"the store {self._path} cannot be read ({error}); if its disk is sound, move the "
                                     "home away and join again as a new peer") from error

    def commit(self, nodes: Sequence[Node], meta: Mapping[str, bytes | None]) -> None:
        """Make all of it durable, or nothing. None deletes a fact; a node that is stored already is left alone. On a
        full disk it draws on the reserve.

        StoreError when it cannot be: the caller must not act on any of it."""
        if META_MESH in meta and self.mesh not in (None, meta[META_MESH]):
            raise StoreError(f"the store {self._path} belongs to another mesh")
        try:
            _with_room(self._reserve, partial(self._write, nodes, meta))
        except sqlite3.Error as error:
            if _is_full(error):
                raise _no_room(self._path) from error
            raise StoreError(f"cannot write the store {self._path}: {error}") from error
        for key, value in meta.items():
            if value is None:
                self._meta.pop(key, None)
            else:
                self._meta[key] = value

    def _write(self, nodes: Sequence[Node], meta: Mapping[str, bytes | None]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO node (hash, data) VALUES (?, ?)",
                                         [(node.hash, node.data) for node in nodes])
            for key, value in meta.items():
                self._write_fact(key, value)

    def _write_fact(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._connection.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self._connection.execute("INSERT INTO meta (key, value) VALUES (?, ?) "
                                     "ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))

    # ---- a file that several processes write, one at a time (the embedded coordinator's) ----

    def version(self) -> int:
        """Another number than before once another connection has committed to this file."""
        number = self._connection.execute("PRAGMA data_version").fetchone()[0]
        assert isinstance(number, int)
        return number

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read within is of one moment."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    def nodes_after(self, count: int) -> list[bytes]:
        """The nodes beyond the first `count`: what others wrote since there were so many."""
        rows = self._connection.execute("SELECT data FROM node WHERE id > ? ORDER BY id", (count,))
        return [data for (data,) in rows]

    def reread(self, keys: Iterable[str] | None = None) -> None:
        """Take these facts (None: all) from the file as others left them."""
        if keys is None:
            self._meta = dict(self._connection.execute("SELECT key, value FROM meta"))
            return
        for key in keys:
            row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            if row is None:
                self._meta.pop(key, None)
            else:
                self._meta[key] = row[0]

    def next_incarnation(self) -> int:
        """Count this start of the daemon, durably; from 1."""
        incarnation = int.from_bytes(self._meta.get(META_INCARNATION, b""), "big") + 1
        self.commit((), {META_INCARNATION: incarnation.to_bytes(8, "big")})
        return incarnation

    def close(self) -> None:
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Autocommit mode: transactions are begun by hand, so that Python never begins one of its own."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _SCHEMA:
        return
    if version != 0 or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise ConfigurationError(f"the store {path} is of version {version}, this clockmesh knows {_SCHEMA}; run the "
                                 "clockmesh that wrote it")
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION}; "
                             f"PRAGMA user_version = {_SCHEMA}; COMMIT;")


def _with_room(reserve: Reserve | None, work: Callable[[], _T]) -> _T:
    """What `work` gives; while the disk is full for it, with a piece of the reserve more each time."""
    while True:
        try:
            return work()
        except sqlite3.Error as error:
            if reserve is None or not _is_full(error) or not reserve.give():
                raise


def _is_full(error: sqlite3.Error) -> bool:
    """A full disk has two faces: SQLite says so where it writes a file, and calls it an I/O error where it makes room
    for the memory that it shares."""
    return getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def _no_room(path: Path) -> StoreError:
    return StoreError(f"the disk of {path.parent} is full and the reserve is used up: make room there, then start the "
                      "daemon again; nothing that was accepted is lost")
