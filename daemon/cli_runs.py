"""The verbs about runs: list, show, logs, wait, cancel, rerun, why."""

from __future__ import annotations

import time

from clockmesh.daemon.cli_output import colour, exit_of, print_json, say, width
from clockmesh.daemon.client import Client, quoted
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import RUN_DIGITS, age, clean, coloured, complain, count, log_text, moment, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked

_NEWEST = 25
"""Runs that `run list` shows to people who ask for no number."""
_RETURN_S = 20.0
"""How long a waiter looks for a daemon that was restarted."""
_RETRY_S = 0.3


def list_verb(asked: Asked) -> int:
    limit = asked.options.limit
    if limit is None:
        limit = 0 if asked.json else _NEWEST
    told = Client(asked.home).get(f"/v1/runs?limit={limit}")
    if asked.json:
        print_json(told)
        return Exit.OK
    runs = told["runs"]
    if not runs:
        say(f"no runs yet; submit one: {asked.command('run submit FILE')}")
        return Exit.OK
    rows = [
        (run["run"][:RUN_DIGITS], run["name"], _standing(run), _age(run["submitted_at"]), " ".join(run["peers"]))
        for run in runs
    ]
    say(table(("RUN", "NAME", "STATUS", "AGE", "PEERS"), rows, width(), colour(), (1, 4)))
    if older := told["total"] - len(runs):
        say(f"and {older} older; --limit 0 shows all")
    return Exit.OK


def show_verb(asked: Asked) -> int:
    if asked.options.summary:
        return _show_summary(asked)
    told = Client(asked.home).get(_of(asked))
    if asked.json:
        print_json(told)
        return Exit.OK
    shown = colour()
    submitted = f"{_ago(told['submitted_at'])} by {clean(told['submitted_by'])}"
    ending = "  (its end was asked for)" if told["cancel_asked"] and not told["conclusion"] else ""
    say(f"run        {told['run'][:RUN_DIGITS]}  {coloured(_standing(told), shown)}{ending}")
    say(f"workflow   {clean(told['name'])}  ({clean(told['path'])})")
    say(f"submitted  {submitted}, priority {told['priority']:g}, guard {told['guard']}")
    if told["error"]:
        say(f"error      {clean(told['error'])}")
    if told["jobs"]:
        say("")
        rows = [_job_row(job) for job in told["jobs"]]
        say(table(("JOB", "STATUS", "PEER", "ATTEMPT", "TIME"), rows, width(), shown, (0, 2)))
    for job in told["jobs"]:
        _say_details(job, told["error"])
    if written := sum(job["summary_bytes"] for job in told["jobs"]):
        again = asked.command(f"run show {told['run'][:RUN_DIGITS]} --summary")
        say(f"\nThe jobs wrote a summary of {count(written, 'byte')}:  {again}")
    if not told["conclusion"]:
        say("\nTo see why it is there:  " + asked.command(f"why {told['run'][:RUN_DIGITS]}"))
    return Exit.OK


def _show_summary(asked: Asked) -> int:
    summaries: dict[str, str] = {}
    for part in Client(asked.home).lines(f"{_of(asked)}/summary"):
        summaries[part["job"]] = summaries.get(part["job"], "") + part["text"]
    if asked.json:
        print_json({"v": 1, "summaries": [{"job": job, "text": text} for job, text in summaries.items()]})
    for text in [] if asked.json else summaries.values():
        for line in text.splitlines():
            say(log_text(line, False))
    return Exit.OK


def logs_verb(asked: Asked) -> int:
    options = asked.options
    wanted = [f"follow={int(options.follow)}", *([f"job={quoted(options.job)}"] if options.job else [])]
    lines = _without_gaps(Client(asked.home).lines(f"{_of(asked)}/logs?{'&'.join(wanted)}"))
    if asked.json and not options.follow:
        print_json({"v": 1, "lines": list(lines)})
        return Exit.OK
    shown = colour()
    for line in lines:
        if asked.json:
            print_json(line)
        else:
            prefix = "" if options.job else f"{clean(line['job'])} | "
            say(prefix + log_text(line["text"], shown))
    return Exit.OK


def _without_gaps(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines; what is missing between them is said on standard error."""
    for line in lines:
        if "missing" in line:
            complain(f"{line['job']}: {line['missing']}")
        else:
            yield line


def wait_verb(asked: Asked) -> int:
    deadline = None if asked.options.timeout is None else time.monotonic() + asked.options.timeout
    told = _waited(asked, deadline)
    if asked.json:
        print_json(told)
    else:
        error = f": {clean(told['error'])}" if told["error"] else ""
        say(f"run {told['run'][:RUN_DIGITS]} {coloured(told['conclusion'], colour())}{error}")
    return exit_of(told["conclusion"])


def cancel_verb(asked: Asked) -> int:
    told = Client(asked.home).post(f"{_of(asked)}/cancel")
    if asked.json:
        print_json(told)
    else:
        short = told["run"][:RUN_DIGITS]
        say(f"run {short} is asked to end; its jobs get ten seconds: {asked.command(f'run wait {short}')}")
    return Exit.OK


def rerun_verb(asked: Asked) -> int:
    options = asked.options
    told = Client(asked.home).post(f"{_of(asked)}/rerun", {"abandon": options.abandon, "guard": options.guard})
    if asked.json:
        print_json(told)
        return Exit.OK
    old, new = told["again"][:RUN_DIGITS], told["run"][:RUN_DIGITS]
    say(f"run {old} runs again as {new}; to see it run: {asked.command(f'run logs {new} -f')}")
    if told["may_be_running"]:
        say(f"warning: {clean(', '.join(told['may_be_running']))} may be running {old} until its end is heard of there")
    return Exit.OK


def why_verb(asked: Asked) -> int:
    told = Client(asked.home).get(f"{_of(asked)}/why")
    if asked.json:
        print_json(told)
    else:
        for sentence in told["why"]:
            say(clean(sentence))
    return Exit.OK


def _of(asked: Asked) -> str:
    return f"/v1/runs/{quoted(asked.options.run)}"


def _waited(asked: Asked, deadline: float | None) -> dict[str, Any]:
    """The run as it ended. A daemon that restarts meanwhile is waited for too; one that is not there is not."""
    client = Client(asked.home)
    lost_at: float | None = None
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            return client.get(f"{_of(asked)}/wait" + ("" if left is None else f"?timeout={left:.3f}"), timeout=None)
        except Trouble as trouble:
            now = time.monotonic()
            if trouble.code == "connection_lost":
                lost_at = now
            elif trouble.exit is not Exit.UNREACHABLE or lost_at is None or now > lost_at + _RETURN_S:
                raise
        if deadline is not None and time.monotonic() >= deadline:
            raise Trouble(Exit.TIMED_OUT, "timed_out", f"run {asked.options.run} has not ended in time")
        time.sleep(_RETRY_S)


def _standing(item: dict[str, Any]) -> str:
    """What people want to know first: how it ended, else where it is."""
    return str(item["conclusion"] or item["status"])


def _age(at: str | None) -> str:
    return "?" if at is None else age(time.time() - moment(at))


def _ago(at: str | None) -> str:
    told = _age(at)
    return "just now" if told in ("now", "?") else f"{told} ago"


def _job_row(job: dict[str, Any]) -> tuple[str, ...]:
    attempt = str(job["attempt"]) if job["attempt"] else ""
    return job["key"], _standing(job), job["peer"] or "", attempt, _duration(job)


def _duration(job: dict[str, Any]) -> str:
    if job["started_at"] is None or job["finished_at"] is None:
        return ""
    return span(moment(job["finished_at"]) - moment(job["started_at"]))


def _say_details(job: dict[str, Any], said: str) -> None:
    """The job's outputs, and its error where it was not `said` of the run already."""
    error = job["error"] if job["error"] != said else ""
    if job["duplicates"]:
        say(f"\n{clean(job['key'])} ran to its end {count(job['duplicates'], 'more time')}, with another result")
    if not job["outputs"] and not error and not job["annotations"]:
        return
    say(f"\n{clean(job['key'])}" + (f": {clean(error)}" if error else ""))
    for name, value in job["outputs"].items():
        first, *more = value.split("\n")
        rest = f" … and {count(len(more), 'line')} more" if more else ""
        say(f"  {clean(name)} = {clean(first)}{rest}")
    for told in job["annotations"]:
        say("  " + _annotation(told))
    if job["more_annotations"]:
        say(f"  and {job['more_annotations']} more in its log")


def _annotation(told: dict[str, Any]) -> str:
    """`error a.py:3: title: message`, as far as each is there; of a message its first line."""
    place = ":".join(str(part) for part in (told["file"], told["line"], told["column"]) if part)
    first, *more = told["message"].split("\n")
    rest = f" … and {count(len(more), 'line')} more" if more else ""
    return f"{told['level']} " + ": ".join(clean(part) for part in (place, told["title"], first + rest) if part)
