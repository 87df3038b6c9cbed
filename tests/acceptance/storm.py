"""A storm of kills over three peers with runs in flight: half at named points of the code, half at random moments.

    storm = Storm(mesh, folder, seed=1)
    with storm.crowd():
        storm.blow(kills=50)
    storm.settle()

One peer at a time is killed and is back within seconds, so that a quorum always lives. Clients go on submitting all
the while and try another peer when one does not answer; what was answered must come to its end.
"""

from __future__ import annotations

import base64
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import Mesh, Peer, wait_until
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.runner.faults import VARIABLE, Point
from clockmesh.runner.proctree import all_processes, descendants
from tests.acceptance.conftest import join_all
from tests.acceptance.ticking import ticking_workflow

NAMES = ("alpha", "beta", "gamma")
IN_FLIGHT = 20
SLOTS = 8
"""Of each peer: those in flight run at the same time, on two of three peers too."""
JOB_S = (2.0, 6.0)
DOWN_S = (1.0, 3.0)
SETTLE_S = 150.0
"""Within which all is done after the last kill: a lost holder's lease, then its job, on a busy machine."""
POINTS = tuple(point for point in Point if point is not Point.HOST_BEFORE_KILL)
"""A D passes only where a peer is away for longer than a storm allows: the tests with SIGSTOP see to that one."""
OFTEN = {Point.BEFORE_COMMIT: 12, Point.AFTER_COMMIT: 12, Point.BEFORE_EFFECT: 12}
"""A crash comes at a random passing up to this one; the other points are passed about once a second."""
SELDOM = 2
STRIKE_S = 20.0


@dataclass(frozen=True)
class Accepted:
    """A submission that was answered."""

    run: str
    trace: Path
    seconds: float


class Storm:
    """`kills` tells how and whom, in order; `accepted` what must come to an end."""

    def __init__(self, mesh: Mesh, folder: Path, seed: int) -> None:
        """Starts the three peers of an empty `mesh`; `folder` is for traces."""
        self.mesh = mesh
        self.folder = folder
        self.kills: list[str] = []
        self.accepted: list[Accepted] = []
        self.refused = 0
        """Submissions that were not answered: nothing was promised."""
        self._random = random.Random(seed)
        self._points = self._random.sample(POINTS, len(POINTS))
        self._raining = threading.Event()
        self._trouble: Exception | None = None
        faults = {name: {VARIABLE: str(folder / f"{name}.faults")} for name in NAMES}
        join_all(mesh, *NAMES, slots=SLOTS, variables=faults)

    # ---- clients ----

    @contextmanager
    def crowd(self) -> Iterator[None]:
        """Clients that keep IN_FLIGHT runs in flight for as long as the block lasts."""
        self._raining.set()
        thread = threading.Thread(target=self._submit_on, args=(random.Random(self._random.random()),))
        thread.start()
        try:
            wait_until(lambda: self._trouble or len(self.accepted) >= IN_FLIGHT, "as many runs are in flight", 60)
            yield
        finally:
            self._raining.clear()
            thread.join()
        if self._trouble is not None:
            raise self._trouble

    def _submit_on(self, choice: random.Random) -> None:
        try:
            while self._raining.is_set():
                client = Client(choice.choice(list(self.mesh)).home)
                with suppress(Trouble):
                    for _ in range(IN_FLIGHT - client.get("/v1/status")["unfinished"]):
                        self._submit(client, choice)
                time.sleep(0.1)
        except Exception as error:  # of a thread: told to the test when it has ended
            self._trouble = error

    def _submit(self, client: Client, choice: random.Random) -> None:
        number = len(self.accepted) + self.refused
        trace, seconds = self.folder / f"run-{number:04}", round(choice.uniform(*JOB_S), 1)
        workflow = ticking_workflow(self.folder, trace, seconds)
        try:
            told = client.post("/v1/runs", order_of(workflow))
        except Trouble as trouble:
            self.refused += 1
            if trouble.exit is not Exit.UNREACHABLE:
                raise AssertionError(f"a submission was refused: {trouble}") from trouble
            raise
        self.accepted.append(Accepted(told["run"], trace, seconds))

    # ---- kills ----

    def blow(self, kills: int) -> None:
        for number in range(kills):
            victim = self._random.choice(list(self.mesh))
            wait_until(victim.hosts, f"{victim.name} has a runner host again", 20)
            if number % 2:
                self._kill_at_a_point(victim, self._points[number // 2 % len(POINTS)])
            else:
                self._kill_at_a_moment(victim)
            if self._trouble is not None:
                return

    def _kill_at_a_point(self, victim: Peer, point: Point) -> None:
        passings = self._random.randint(1, OFTEN.get(point, SELDOM))
        hosts, faults = victim.hosts(), Path(victim.environment[VARIABLE])
        draft = faults.with_suffix(".draft")
        draft.write_text(f"crash {point} {passings}\n")
        draft.rename(faults)
        wait_until(lambda: _gone(hosts) or victim not in self.mesh.living, f"{victim.name} dies at {point}", STRIKE_S)
        self.kills.append(f"{victim.name} {point} {passings}")
        if victim not in self.mesh.living:
            self._start_again(victim)

    def _kill_at_a_moment(self, victim: Peer) -> None:
        time.sleep(self._random.uniform(0.0, 2.0))
        kind = self._random.choice(("daemon", "host", "daemon and host", "daemon, host and jobs"))
        hosts = victim.hosts()
        below = below_hosts(victim)
        if "daemon" in kind:
            victim.kill()
        for pid in (*(hosts if "host" in kind else ()), *(below if "jobs" in kind else ())):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills.append(f"{victim.name} {kind}")
        if "daemon" in kind:
            self._start_again(victim)

    def _start_again(self, victim: Peer) -> None:
        time.sleep(self._random.uniform(*DOWN_S))
        victim.start()

    # ---- afterwards ----

    def settle(self) -> float:
        """Wait until no peer knows of an unfinished run; the seconds that took."""
        began = time.monotonic()
        for peer in self.mesh:
            wait_until(lambda peer=peer: self._done(peer), f"all runs have ended on {peer.name}", SETTLE_S)
        return time.monotonic() - began

    def _done(self, peer: Peer) -> bool:
        assert peer in self.mesh.living, f"the daemon of {peer.name} ended by itself: {peer.log.read_text()[-3000:]}"
        status = Client(peer.home).get("/v1/status")
        return bool(status["runs"] >= len(self.accepted) and not status["unfinished"])

    def shown(self, peer: Peer, run: str) -> dict[str, Any]:
        """What this peer says of a run; Trouble (NOT_FOUND) when it does not know it."""
        return Client(peer.home).get(f"/v1/runs/{run}")


def below_hosts(peer: Peer) -> list[int]:
    """Keepers, leaders and steps of this peer's jobs, and the warden."""
    table = all_processes()
    return [proc.pid for host in peer.hosts() for proc in descendants(host, table)]


def order_of(workflow: bytes) -> dict[str, Any]:
    """The body of a submission."""
    return {"workflow_b64": base64.b64encode(workflow).decode(), "path": "tick.yml"}


def _gone(pids: list[int]) -> bool:
    table = all_processes()
    return all(pid not in table or table[pid].dead for pid in pids)
