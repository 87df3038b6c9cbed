"""How long a job is gone when its holder crashes and restarts, its machine is gone, or its machine freezes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks._client import open_to_all, submit
from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import Mesh, Peer, wait_until
from clockmesh.runner.proctree import all_processes, descendants

_BEATING = """\
name: beating (p2p-workflow)
on: workflow_dispatch
jobs:
  beat:
    runs-on: self-hosted
    steps:
      - run: |
          while true; do
            echo "$EPOCHREALTIME $CLOCKMESH_PEER $CLOCKMESH_ATTEMPT" >> {side}
            sleep 0.1
          done
"""
_LIMIT_S = 60.0
Beat = tuple[float, str, int]
"""Seconds since 1970, peer, attempt."""


def crashed_s(mesh: Mesh, folder: Path) -> float:
    """SIGKILL to daemon, host and job; the daemon is started again at once."""
    return _gone_for(mesh, folder / "crashed", _crash)


def lost_s(mesh: Mesh, folder: Path) -> float:
    """The same, and it is not started before the job runs elsewhere."""
    return _gone_for(mesh, folder / "lost", _kill, Peer.start)


def frozen_s(mesh: Mesh, folder: Path) -> float:
    """SIGSTOP to daemon, host and job until the job runs elsewhere."""
    return _gone_for(mesh, folder / "frozen", lambda peer: _signal(peer, signal.SIGSTOP),
                     lambda peer: _signal(peer, signal.SIGCONT))


def _gone_for(mesh: Mesh, side: Path, fault: Callable[[Peer], object],
              heal: Callable[[Peer], object] = lambda _: None) -> float:
    """Seconds from the last beat of the first attempt to the first of the next."""
    run = submit(Client(mesh["alpha"].home), _BEATING.format(side=open_to_all(side)))
    wait_until(lambda: len(_beats(side)) >= 5, "the job beats", 20)
    holder = mesh[_beats(side)[-1][1]]
    fault(holder)
    try:
        wait_until(lambda: _beats(side)[-1][2] > 1, f"the job of {holder.name} runs again", _LIMIT_S)
    finally:
        heal(holder)
    beats = _beats(side)
    again = min(at for at, _, attempt in beats if attempt > 1)
    last = max(at for at, _, attempt in beats if attempt == 1 and at < again)
    client = Client(next(peer for peer in mesh.living if peer is not holder).home)
    client.post(f"/v1/runs/{run}/cancel")
    client.get(f"/v1/runs/{run}/wait?timeout=60", timeout=70)
    return again - last


def _crash(peer: Peer) -> None:
    _kill(peer)
    peer.start()


def _kill(peer: Peer) -> None:
    _signal(peer, signal.SIGKILL)
    assert peer.daemon is not None
    peer.daemon.wait()


def _signal(peer: Peer, number: signal.Signals) -> None:
    """To its daemon, its host and all below, twice: what forks meanwhile is met by the second pass."""
    assert peer.daemon is not None
    roots = [peer.daemon.pid, *peer.hosts()]
    for _ in range(2):
        table = all_processes()
        below = [proc.pid for root in roots for proc in descendants(root, table)]
        for pid in roots + below:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.01)


def _beats(side: Path) -> list[Beat]:
    words = [line.split() for line in side.read_text().splitlines()]
    return [(float(each[0]), each[1], int(each[2])) for each in words if len(each) == 3]
