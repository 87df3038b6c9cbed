"""The store: all or nothing, in order, and only its own peer's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from clockmesh.daemon.errors import ConfigurationError, StoreError
from clockmesh.daemon.store import META_MESH, Store
from clockmesh.protocol.clock import Clock, append
from clockmesh.protocol.codec import mesh_id
from clockmesh.protocol.events import Description, MeshFounded, PeerDescribed
from clockmesh.protocol.ids import MeshId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.node import Node

KEY = SigningKey.from_seed(b"k" * 32)
OTHER = SigningKey.from_seed(b"o" * 32)


def some_nodes(count: int) -> list[Node]:
    clock = Clock(mesh_id(KEY.peer, b"n" * 16))
    founder = Description("alpha", 2)
    first = append(clock, KEY, wall_ms=1, events=[MeshFounded(b"n" * 16, founder)])
    return [first] + [append(clock, KEY, wall_ms=i, events=[PeerDescribed(founder)]) for i in range(2, count + 1)]


def test_nodes_come_back_in_the_order_they_were_written(tmp_path: Path) -> None:
    nodes = some_nodes(5)
    store = Store.open(tmp_path / "state.db", KEY.peer)
    store.commit(nodes[:2], {})
    store.commit(nodes[1:], {"fact": b"1"})
    store.close()
    store = Store.open(tmp_path / "state.db", KEY.peer)
    assert list(store.nodes()) == [node.data for node in nodes]
    assert store.get("fact") == b"1"


def test_a_commit_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db", KEY.peer)
    with pytest.raises(StoreError):
        store.commit(some_nodes(1), {"fact": object()})  # type: ignore[dict-item]
    assert list(store.nodes()) == []
    assert store.get("fact") is None


def test_facts_are_replaced_and_deleted(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db", KEY.peer)
    store.commit((), {"a/1": b"x", "a/2": b"y", "b": b"z"})
    store.commit((), {"a/1": None, "a/2": b"w"})
    assert store.facts("a/") == {"a/2": b"w"}
    store.close()
    assert Store.open(tmp_path / "state.db", KEY.peer).facts("a/") == {"a/2": b"w"}


def test_another_peers_store_is_refused_in_words(tmp_path: Path) -> None:
    Store.open(tmp_path / "state.db", KEY.peer).close()
    with pytest.raises(ConfigurationError, match="belongs to peer"):
        Store.open(tmp_path / "state.db", OTHER.peer)


def test_a_store_never_changes_its_mesh(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db", KEY.peer)
    store.commit((), {META_MESH: b"m" * 32})
    with pytest.raises(StoreError, match="another mesh"):
        store.commit((), {META_MESH: b"x" * 32})
    assert store.mesh == MeshId(b"m" * 32)


def test_incarnations_count_up_across_restarts(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db", KEY.peer)
    assert [store.next_incarnation(), store.next_incarnation()] == [1, 2]
    store.close()
    assert Store.open(tmp_path / "state.db", KEY.peer).next_incarnation() == 3


def test_what_is_no_store_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Store.open(tmp_path / "junk.db", KEY.peer)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE x (y)")
    other.commit()
    other.close()
    with pytest.raises(ConfigurationError, match="version"):
        Store.open(tmp_path / "other.db", KEY.peer)


def test_the_store_is_its_owners_alone_and_syncs_every_commit(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db", KEY.peer)
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
