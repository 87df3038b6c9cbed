"""A job that wants out, on a mesh as a user has it. `escapes.py` tells which ways are tried; tests/integration has each
of them again as root and as another user."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import Mesh, wait_until
from tests.acceptance.conftest import join_all, new_mesh

SCRIPT = Path(__file__).with_name("escapes.py").read_text()


def job(text: str, name: str = "job") -> str:
    body = "\n".join("          " + line for line in text.splitlines())
    return f"name: {name} p2p-workflow\non: push\njobs:\n  {name}:\n    runs-on: self-hosted\n    steps:\n" \
           f"      - run: |\n{body}\n"


def tried(mesh: Mesh, folder: Path, *words: str) -> list[str]:
    """What the script says, in a job of a peer that runs another one meanwhile."""
    alpha = mesh["alpha"]
    (folder / "victim.yml").write_text(job("export SECRET=hush; echo hush > mine; echo hush > /tmp/mine; sleep 300"))
    victim = alpha.json("run", "submit", str(folder / "victim.yml"))["run"]
    wait_until(alpha.jobs, "the other job runs", 20)
    (daemon,) = [alpha.daemon.pid] if alpha.daemon else []
    asked = " ".join([str(alpha.home), str(daemon), *words])
    (folder / "escape.yml").write_text(job(f"python3 - {asked} <<'END'\n{SCRIPT}\nEND"))
    run = alpha.json("run", "submit", str(folder / "escape.yml"))["run"]
    alpha.run("run", "wait", run, "--timeout", "60")
    alpha.run("run", "cancel", victim)
    alpha.run("run", "wait", victim, "--timeout", "60", good=(8,))
    log = alpha.run("run", "logs", run, "--job", "job").splitlines()
    return [line for line in log if line.startswith(("held ", "ESCAPED "))]


def test_no_way_out_of_the_sandbox_is_open(tmp_path: Path) -> None:
    with new_mesh() as mesh:
        if mesh.sandbox == "none":
            pytest.skip("no sandbox can be made here")
        join_all(mesh, "alpha")
        came = tried(mesh, tmp_path)
        assert [line for line in came if line.startswith("ESCAPED")] == []
        assert len(came) == 17


def test_without_a_sandbox_the_same_script_finds_the_way_to_the_peer(tmp_path: Path) -> None:
    """So that the test above means something."""
    with new_mesh() as mesh:
        mesh.sandbox = "none"
        join_all(mesh, "alpha")
        came = tried(mesh, tmp_path, "look")
        ways = {line.removeprefix("ESCAPED ") for line in came if line.startswith("ESCAPED")}
        assert {"read the key", "read the database", "read the peer's logs", "ask the daemon", "command the host",
                "see other jobs", "read the leader", "signal outside"} <= ways
