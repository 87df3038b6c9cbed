"""Init and join while no daemon runs: this process does what the daemon would, under the home's lock."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import structlog

from clockmesh.daemon.alone import init_alone, join_alone
from clockmesh.daemon.config import choose_sandbox
from clockmesh.daemon.home import Home
from clockmesh.daemon.refusals import trouble_of


def init_here(home: str, name: str | None, slots: int | None, sandbox: str | None) -> dict[str, Any]:
    _be_quiet()
    try:
        _choose(home, sandbox)
        mesh, peer = init_alone(Home(Path(home)), name, slots)
    except Exception as error:  # Any room's error: the user meets it as if the daemon had answered.
        raise trouble_of(error) or error from None
    return {"v": 1, "mesh": mesh.hex(), "peer": peer}


def join_here(home: str, line: str, name: str | None, slots: int | None, sandbox: str | None) -> dict[str, Any]:
    _be_quiet()
    try:
        _choose(home, sandbox)
        mesh, peer = join_alone(Home(Path(home)), line, name, slots)
    except Exception as error:  # As above.
        raise trouble_of(error) or error from None
    return {"v": 1, "mesh": mesh.hex(), "peer": peer}


def _choose(home: str, sandbox: str | None) -> None:
    """Before the mesh learns what this peer offers."""
    if sandbox:
        place = Home(Path(home))
        place.make()
        choose_sandbox(place.config, sandbox)


def _be_quiet() -> None:
    """A command tells its user how it went itself; the daemon's log lines would only stand between."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
