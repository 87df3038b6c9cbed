"""Real daemons, started as a user would; every test of this folder uses the installed commands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import Mesh, share_with_jobs, stopped_at_end, wait_until, why_no_sandbox


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


@contextmanager
def new_mesh(*seen: Path) -> Iterator[Mesh]:
    """One without peers, whose jobs will be in sandboxes where this machine can make them, and see these folders."""
    with tempfile.TemporaryDirectory(prefix="cm-") as name:
        folder = Path(name)
        for shared in seen:
            share_with_jobs(shared)
        sandbox = "none" if why_no_sandbox(folder) else "bubblewrap"
        with stopped_at_end(Mesh(folder, sandbox=sandbox, seen=seen)) as mesh:
            yield mesh


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Jobs may write there, who are another user's where the tests run as root."""
    share_with_jobs(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def all_tmp_paths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    share_with_jobs(folder)
    return folder


@pytest.fixture(scope="module")
def mesh(all_tmp_paths: Path) -> Iterator[Mesh]:
    """Three healthy peers, shared by the tests of one file that do no harm."""
    with new_mesh(all_tmp_paths) as mesh:
        join_all(mesh, "alpha", "beta", "gamma")
        yield mesh


@pytest.fixture
def fresh_mesh(all_tmp_paths: Path) -> Iterator[Mesh]:
    """Three peers for one test that breaks something."""
    with new_mesh(all_tmp_paths) as mesh:
        join_all(mesh, "alpha", "beta", "gamma")
        yield mesh
