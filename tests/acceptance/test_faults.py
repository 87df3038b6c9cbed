"""A daemon or its runner host that dies at a named point loses nothing: started again, it ends what it had begun."""

from __future__ import annotations

from pathlib import Path

from clockmesh.daemon.demo.peers import Peer, wait_until
from clockmesh.runner.faults import VARIABLE, Point
from tests.acceptance.conftest import join_all, new_mesh
from tests.acceptance.storm import POINTS

FLOW = """\
name: Count
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  first:
    runs-on: ubuntu-latest
    outputs:
      word: ${{ steps.say.outputs.word }}
    steps:
      - id: say
        run: echo "word=done" >> "$GITHUB_OUTPUT"
  second:
    needs: first
    runs-on: ubuntu-latest
    steps:
      - run: test "${{ needs.first.outputs.word }}" = done
"""


def test_whatever_point_it_dies_at_a_peer_ends_what_it_had_accepted() -> None:
    with new_mesh() as mesh:
        faults = mesh.folder / "faults"
        join_all(mesh, "alpha", variables={"alpha": {VARIABLE: str(faults)}})
        for point in POINTS:
            _die_at(point, mesh["alpha"], faults)
        wait_until(lambda: mesh["alpha"].json("status")["unfinished"] == 0, "all runs have ended", 40)
        runs = mesh["alpha"].json("run", "list")["runs"]
        assert len(runs) >= len(POINTS)
        assert {run["conclusion"] for run in runs} == {"success"}, runs


def _die_at(point: Point, peer: Peer, faults: Path) -> None:
    """Submit a run on the way of which the peer dies at `point`, and see it end."""
    flow = faults.with_name("flow.yml")
    flow.write_text(FLOW)
    assert peer.daemon is not None
    daemon, hosts = peer.daemon, peer.hosts()
    faults.write_text(f"crash {point}\n")
    peer.run("run", "submit", str(flow), good=(0, 4))
    wait_until(lambda: daemon.poll() is not None or peer.hosts() != hosts, f"it dies at {point}", 20)
    assert (daemon.poll() is None) == point.startswith("host-")
    if daemon.poll() is not None:
        peer.start()
    run = peer.json("run", "submit", str(flow))["run"]
    peer.run("run", "wait", run, "--timeout", "30")
