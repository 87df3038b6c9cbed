"""The verbs about this peer and its mesh: init, invite, join, peer list, status, version."""

from __future__ import annotations

import sys

from clockmesh.daemon.cli_output import colour, print_json, say, width
from clockmesh.daemon.client import Client, start_hint
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import clean, count, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked

_JOINING_S = 120.0
"""For the inviter's addresses to be tried, and the mesh's nodes to come."""
_ID_WIDTH = 52
"""Of a peer's id; shown whole where the terminal has room for it."""


def init_verb(asked: Asked) -> int:
    body = {"name": asked.options.name, "slots": asked.options.slots}
    told, running = _through_daemon_or_alone(asked, "init", body)
    if asked.json:
        print_json(told)
        return Exit.OK
    say(f"{told['peer']} founded mesh {told['mesh'][:12]}.")
    _tell_next(asked, running)
    say(f"To invite a machine:  {asked.command('invite')}")
    return Exit.OK


def join_verb(asked: Asked) -> int:
    line = sys.stdin.readline() if asked.options.line == "-" else asked.options.line
    body = {"line": line.strip(), "name": asked.options.name, "slots": asked.options.slots}
    told, running = _through_daemon_or_alone(asked, "join", body)
    if asked.json:
        print_json(told)
        return Exit.OK
    say(f"{told['peer']} joined mesh {told['mesh'][:12]}.")
    _tell_next(asked, running)
    say(f"To see who is there:  {asked.command('peer list')}")
    return Exit.OK


def invite_verb(asked: Asked) -> int:
    told = Client(asked.home).post("/v1/invitations", {"ttl_s": asked.options.ttl})
    if asked.json:
        print_json(told)
        return Exit.OK
    say(told["line"])
    if sys.stdout.isatty():
        good = f"Good for one machine and {span(asked.options.ttl)}: `clockmesh join` that line there."
        print(good, file=sys.stderr)
    return Exit.OK


def peers_verb(asked: Asked) -> int:
    told = Client(asked.home).get("/v1/peers")
    if asked.json:
        print_json(told)
        return Exit.OK
    rows: list[tuple[str, ...]] = [
        (
            peer["name"] + (" (this peer)" if peer["self"] else ""),
            "live" if peer["live"] else "silent",
            str(peer["slots"]),
            ", ".join(peer["labels"]),
            peer["id"],
        )
        for peer in told["peers"]
    ]
    heads = ("PEER", "STATE", "SLOTS", "LABELS", "ID")
    shown = 5 if _room_for_ids(rows) else 4
    say(table(heads[:shown], [row[:shown] for row in rows], width(), colour(), (0, 3)))
    return Exit.OK


def _room_for_ids(rows: list[tuple[str, ...]]) -> bool:
    return sum(max(len(row[place]) for row in rows) for place in range(4)) + 8 + _ID_WIDTH <= width()


def status_verb(asked: Asked) -> int:
    told = Client(asked.home).get("/v1/status")
    if asked.json:
        print_json(told)
        return Exit.OK
    say(f"peer   {told['peer'] or 'no name yet'}  ({told['id']})")
    if told["mesh"] is None:
        say(f"mesh   none yet: {asked.command('init')}, or {asked.command('join LINE')}")
        return Exit.OK
    say(f"mesh   {told['mesh'][:12]}, {count(told['peers'], 'peer')}, {told['live']} live")
    heads = ", ".join(head[:12] for head in told["heads"])
    say(f"clock  {count(told['nodes'], 'node')}, {count(len(told['heads']), 'head')}: {heads}")
    say(f"runs   {told['runs']}, {told['unfinished']} of them unfinished")
    say(f"jobs   {_jobs(told)}")
    say(f"home   {told['home']}")
    disk = told["disk"]
    if disk["low"]:
        left, reserve = (f"{disk[key] >> 20} MiB" for key in ("left", "reserve"))
        say(f"disk   low: {left} left, {reserve} are kept for votes and results; no new work is taken on")
    for address in told["addresses"]:
        say(f"at     {address}")
    for warning in told["warnings"]:
        say(f"warning: {clean(warning)}")
    return Exit.OK


def _jobs(told: dict[str, Any]) -> str:
    """Under which conditions this peer runs jobs."""
    if told["refused"]:
        return f"NONE are run here: {told['refused']}"
    return "in a sandbox (bubblewrap)" if told["sandbox"] != "none" else "without a sandbox, as the daemon's user"


def version_verb(asked: Asked) -> int:
    from clockmesh import __version__

    if asked.json:
        print_json({"v": 1, "version": __version__})
    else:
        say(f"clockmesh {__version__}")
    return Exit.OK


def _through_daemon_or_alone(asked: Asked, verb: str, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What came of it, and whether the daemon did it (else this process, under the home's lock)."""
    client = Client(asked.home)
    if client.answers():
        if asked.options.sandbox:
            raise Trouble(Exit.CONFLICT, "daemon_runs", f"a daemon runs; put `sandbox: {asked.options.sandbox}` into "
                          f"{asked.home}/config.yml and start it again")
        return client.post(f"/v1/{verb}", body, timeout=_JOINING_S), True
    from clockmesh.daemon.cli_alone import init_here, join_here

    here: Callable[..., dict[str, Any]] = init_here if verb == "init" else join_here
    try:
        return here(asked.home, sandbox=asked.options.sandbox, **body), False
    except Trouble as trouble:
        if trouble.code != "home_locked" or not client.answers():
            raise
    return client.post(f"/v1/{verb}", body, timeout=_JOINING_S), True


def _tell_next(asked: Asked, running: bool) -> None:
    if not running:
        say(f"To start its daemon:  {start_hint(asked.home)}")
