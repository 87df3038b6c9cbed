"""The verbs about schedules: add, list, trigger, backfill, pause, resume, remove,
rescue."""

from __future__ import annotations

import base64

from clockmesh.daemon.cli_output import colour, print_json, say, width
from clockmesh.daemon.cli_submit import order_of, posted, say_unset
from clockmesh.daemon.client import Client, quoted
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import RUN_DIGITS, age, clean, moment, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked


def schedule_add_verb(asked: Asked) -> int:
    options = asked.options
    body = order_of(asked)
    body |= {"name": options.name, "catch_up": options.catch_up, "overlap": options.overlap, "jitter_s": options.jitter,
             "pause_after": options.pause_after}
    if options.remote is not None:
        body["workflow_b64"] = _read_remote(asked, body["path"])
    told = _send(Client(asked.home), asked, body)
    say_unset(asked, told)
    if asked.json:
        print_json(told)
        return Exit.OK
    remote = told["remote"]
    source = f"; each tick takes {_source(remote)}" if remote else ""
    say(f"schedule {clean(told['name'])} is due {_when(told['next_at'], moment(told['now_at']))}{source}")
    say(f"To see its ticks:  {asked.command('schedule list')}")
    return Exit.OK


def _read_remote(asked: Asked, path: str) -> str:
    """The workflow in the repository, in base64: with what this user's git can show a server, else with the mesh's
    credentials."""
    from clockmesh.daemon.cli_remote import PATIENCE_S, read_remote_file

    url, ref = asked.options.remote, asked.options.ref or ""
    try:
        return base64.b64encode(read_remote_file(url, ref, path)).decode("ascii")
    except Trouble:
        if not url.lower().startswith(("http://", "https://")):
            raise
    wanted = {"url": url, "ref": ref, "path": path}
    return str(Client(asked.home).post("/v1/remotes/read", wanted, timeout=PATIENCE_S + 10)["workflow_b64"])


def _send(client: Client, asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
    """Add it. Where the workflow checks out its repository, each tick takes that from `origin`; a work tree without
    one is sent as it is."""
    try:
        return posted(client, "/v1/schedules", asked, body)
    except Trouble as trouble:
        if trouble.code != "needs_snapshot":
            raise
    from clockmesh.daemon.cli_remote import origin_of

    if (origin := origin_of(asked.options.file)) is not None:
        body["remote"] = {"url": origin[0], "ref": origin[1]}
    else:
        from clockmesh.daemon.cli_snapshot import upload_snapshot

        body["path"], body["snapshot"] = upload_snapshot(client, asked.options.file)
    return posted(client, "/v1/schedules", asked, body)


def schedule_list_verb(asked: Asked) -> int:
    told = Client(asked.home).get("/v1/schedules")
    if asked.json:
        print_json(told)
        return Exit.OK
    if not told["schedules"]:
        say(f"no schedules yet; add one: {asked.command('schedule add FILE')}")
        return Exit.OK
    now = moment(told["now_at"])
    rows = [_row(schedule, now) for schedule in told["schedules"]]
    say(table(("SCHEDULE", "NAME", "CRON", "NEXT", "LAST", "RUN", "STATUS"), rows, width(), colour(), (1, 2)))
    for schedule in told["schedules"]:
        if schedule["warning"]:
            say(f"warning: {clean(schedule['warning'])}")
    return Exit.OK


def _row(schedule: dict[str, Any], now: float) -> tuple[str, ...]:
    lines = ", ".join(line["cron"] + _zone(line["timezone"]) for line in schedule["lines"])
    coming = "paused" if schedule["paused"] else _when(schedule["next_at"], now)
    last = schedule["last"]
    if last is None:
        return schedule["schedule"][:RUN_DIGITS], schedule["name"], lines, coming, "", "", ""
    since = age(now - moment(last["due_at"]))
    passed = "just now" if since == "now" else f"{since} ago"
    run = (last["run"] or "")[:RUN_DIGITS]
    standing = last["conclusion"] or last["status"]
    return schedule["schedule"][:RUN_DIGITS], schedule["name"], lines, coming, passed, run, standing


def _zone(timezone: str) -> str:
    return "" if timezone == "UTC" else f" {timezone}"


def _when(at: str | None, now: float) -> str:
    """`now` is the daemon's: its schedules may go by a clock of their own."""
    if at is None:
        return "never"
    seconds = moment(at) - now
    return "now" if seconds < 1 else f"in {age(seconds)}"


def _source(remote: dict[str, Any]) -> str:
    ref = remote["ref"].removeprefix("refs/heads/") or "the default branch"
    return f"{clean(ref)} of {clean(remote['url'])}"


def schedule_trigger_verb(asked: Asked) -> int:
    told = _ask(asked, "trigger")
    if asked.json:
        print_json(told)
    else:
        short = told["run"][:RUN_DIGITS]
        say(f"run {short} submitted; to see it run: {asked.command(f'run logs {short} -f')}")
    return Exit.OK


def schedule_backfill_verb(asked: Asked) -> int:
    options = asked.options
    told = _ask(asked, "backfill", {"since_ms": options.since, "until_ms": options.until})
    if asked.json:
        print_json(told)
        return Exit.OK
    if not told["ticks"]:
        say(f"schedule {clean(options.schedule)} missed no tick in that time")
        return Exit.OK
    rows = [(tick["due_at"], tick["run"][:RUN_DIGITS]) for tick in told["ticks"]]
    say(table(("DUE", "RUN"), rows, width(), colour(), ()))
    return Exit.OK


def schedule_pause_verb(asked: Asked) -> int:
    again = asked.command(f"schedule resume {clean(asked.options.schedule)}")
    return _change(asked, "pause", f"is paused; its ticks come again after: {again}")


def schedule_resume_verb(asked: Asked) -> int:
    return _change(asked, "resume", "makes ticks again; those in its pause are not made up for")


def schedule_remove_verb(asked: Asked) -> int:
    return _change(asked, "remove", "is removed; its runs stay, and those that have begun go on")


def schedule_rescue_verb(asked: Asked) -> int:
    told = _ask(asked, "rescue", {"abandon": asked.options.abandon})
    if asked.json:
        print_json(told)
        return Exit.OK
    new = told["schedule"][:RUN_DIGITS]
    say(f"schedule {clean(asked.options.schedule)} begins anew as {new}, with the peers that are there")
    if told["may_be_running"]:
        names = clean(", ".join(told["may_be_running"]))
        say(f"warning: {names} may run ticks of the old one until its end is heard of there")
    return Exit.OK


def _change(asked: Asked, what: str, said: str) -> int:
    told = _ask(asked, what)
    if asked.json:
        print_json(told)
    else:
        say(f"schedule {clean(asked.options.schedule)} {said}")
    return Exit.OK


def _ask(asked: Asked, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return Client(asked.home).post(f"/v1/schedules/{quoted(asked.options.schedule)}/{what}", body)
