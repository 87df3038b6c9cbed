"""Real daemons, started as a user would; every test of this folder uses the installed commands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import Mesh, stopped_at_end, wait_until


def join_all(mesh: Mesh, *names: str, options: tuple[str, ...] = (), slots: int | None = None,
             variables: Mapping[str, Mapping[str, str]] | None = None,
             homes: Mapping[str, Path] | None = None) -> None:
    """Found a mesh with the first name and let the others join it; `options` are for each `clockmeshd`, `variables` of
    its environment by its name. `homes` name those that are not in the mesh's folder."""
    with_slots = () if slots is None else ("--slots", str(slots))
    first, *rest = (mesh.new_peer(name, *options) for name in names)
    for name, home in (homes or {}).items():
        mesh[name].home = home
    for peer in mesh:
        peer.environment.update((variables or {}).get(peer.name, {}))
    first.run("init", "--name", first.name, *with_slots)
    first.start()
    for peer in rest:
        peer.run("join", first.run("invite").strip(), "--name", peer.name, *with_slots)
        peer.start()

    def all_live() -> bool:
        lists = [peer.json("peer", "list")["peers"] for peer in mesh]
        return all(sum(other["live"] for other in others) == len(names) for others in lists)

    wait_until(all_live, f"{', '.join(names)} see one another", 30)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Three healthy peers, shared by the tests of one file that do no harm."""
    with tempfile.TemporaryDirectory(prefix="cm-") as folder, stopped_at_end(Mesh(Path(folder))) as mesh:
        join_all(mesh, "alpha", "beta", "gamma")
        yield mesh


@pytest.fixture
def fresh_mesh() -> Iterator[Mesh]:
    """Three peers for one test that breaks something."""
    with tempfile.TemporaryDirectory(prefix="cm-") as folder, stopped_at_end(Mesh(Path(folder))) as mesh:
        join_all(mesh, "alpha", "beta", "gamma")
        yield mesh
