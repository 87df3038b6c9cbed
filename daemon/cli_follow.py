"""Following a run on the terminal: its changes and its jobs' log lines as they come, and how it ended."""

from __future__ import annotations

from clockmesh.daemon.cli_output import colour, exit_of, print_json, say
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import RUN_DIGITS, clean, coloured, log_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked
    from clockmesh.daemon.client import Client


def follow(client: Client, run: str, asked: Asked) -> int:
    """Print until the run ends; the status is the run's. A Ctrl-C ends the following, not the run."""
    try:
        return _follow(client, run, asked.json)
    except KeyboardInterrupt:
        short = run[:RUN_DIGITS]
        raise Trouble(
            Exit.INTERRUPTED, "interrupted", f"run {short} goes on; `{asked.command(f'run cancel {short}')}` ends it"
        ) from None


def _follow(client: Client, run: str, json: bool) -> int:
    shown = colour()
    for event in client.lines(f"/v1/runs/{run}/events?logs=1"):
        if json:
            print_json(event)
        elif line := told(event, shown):
            say(line)
        if event["event"] == "end":
            return exit_of(event["conclusion"])
    raise Trouble(Exit.UNREACHABLE, "connection_lost", f"the daemon stopped telling of run {run[:RUN_DIGITS]}")


def told(event: dict[str, Any], shown: bool) -> str:
    """The event as one line for people; '' where there is nothing to say."""
    kind = event["event"]
    if kind == "log":
        return f"{clean(event['job'])} | {log_text(event['text'], shown)}"
    if kind == "job":
        return _job_line(event, shown)
    if kind == "end":
        word = coloured(event["conclusion"], shown)
        return f"run {event['run'][:RUN_DIGITS]} {word}" + (f": {clean(event['error'])}" if event["error"] else "")
    return ""


def _job_line(job: dict[str, Any], shown: bool) -> str:
    key, status = clean(job["key"]), job["status"]
    attempt = f", attempt {job['attempt']}" if job["attempt"] > 1 else ""
    peer = clean(job["peer"] or "")
    if job["conclusion"]:
        error = f": {clean(job['error'])}" if job["error"] else ""
        return f"{key} > {coloured(job['conclusion'], shown)}{f' on {peer}' if peer else ''}{attempt}{error}"
    if status == "assigned":
        return f"{key} > claimed by {peer}{attempt}"
    if status == "in_progress":
        return f"{key} > runs on {peer}{attempt}"
    return ""
