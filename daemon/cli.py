"""`clockmesh`: reads the command, runs its verb, and ends with the status that DESIGN 8 gives to what happened.

Each verb's code is imported when it is asked for: starting up is most of what a short command does.
"""

from __future__ import annotations

import os
import sys

from clockmesh.daemon.cli_arguments import HelpWanted, parse
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from clockmesh.daemon.cli_arguments import Asked

_WHERE = {
    "init": "cli_mesh",
    "invite": "cli_mesh",
    "join": "cli_mesh",
    "peers": "cli_mesh",
    "status": "cli_mesh",
    "version": "cli_mesh",
    "submit": "cli_submit",
    "local": "cli_local",
    "lint": "cli_lint",
    "list": "cli_runs",
    "show": "cli_runs",
    "logs": "cli_runs",
    "wait": "cli_runs",
    "cancel": "cli_runs",
    "rerun": "cli_runs",
    "why": "cli_runs",
    "secret_set": "cli_secrets",
    "secret_list": "cli_secrets",
    "secret_remove": "cli_secrets",
    "remote_add": "cli_secrets",
    "remote_list": "cli_secrets",
    "remote_remove": "cli_secrets",
    "mcp": "cli_mcp",
    "schedule_add": "cli_schedules",
    "schedule_list": "cli_schedules",
    "schedule_trigger": "cli_schedules",
    "schedule_pause": "cli_schedules",
    "schedule_resume": "cli_schedules",
    "schedule_remove": "cli_schedules",
    "schedule_backfill": "cli_schedules",
    "schedule_rescue": "cli_schedules",
}
"""The file of each verb; its function there is called VERB_verb."""


def main(words: Sequence[str] | None = None) -> int:
    """The exit status of the command; never raises."""
    _print_anything()
    try:
        status = _perform(sys.argv[1:] if words is None else words)
        sys.stdout.flush()
    except HelpWanted as wanted:
        return _print_help(str(wanted))
    except Trouble as trouble:
        _complain(trouble)
        return trouble.exit
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _unprinted(error) if error.filename is None else _defect(error)
    except Exception as error:  # The last border: a defect of ours ends in one line and a status too.
        return _defect(error)
    return status


def _print_anything() -> None:
    """What the terminal's encoding lacks becomes a question mark, not an error; where there is no output (`>&-`) what
    was asked for is done all the same."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


def _perform(words: Sequence[str]) -> int:
    if (old_words := _after_p2p(words)) is not None:
        from clockmesh.daemon.cli_p2p import main as p2p_main

        return p2p_main(old_words)
    asked = parse(words, os.environ)
    file = f"clockmesh.daemon.{_WHERE[asked.verb.name]}"
    __import__(file)
    try:
        status = getattr(sys.modules[file], f"{asked.verb.name}_verb")(asked)
    except Trouble as trouble:
        raise _no_mesh(asked) if trouble.code == "no_mesh" else trouble from None
    assert isinstance(status, int)
    return status


def _after_p2p(words: Sequence[str]) -> list[str] | None:
    """The words of a command of `clockmesh p2p`, which has its own options and exit statuses; None for any other."""
    place = 0
    while place < len(words) and (words[place] == "--json" or words[place].startswith("--home")):
        place += 2 if words[place] == "--home" else 1
    is_p2p = place < len(words) and words[place] == "p2p"
    return [*words[:place], *words[place + 1 :]] if is_p2p else None


def _no_mesh(asked: Asked) -> Trouble:
    """The daemon's words with commands for this home: as it stands `clockmesh init` would make another one."""
    message = f"this peer belongs to no mesh yet; found one: {asked.command('init')}, or join one: "
    line = "(a peer of the mesh prints LINE: clockmesh invite)"
    return Trouble(Exit.CONFIGURATION, "no_mesh", f"{message}{asked.command('join LINE')} {line}")


def _print_help(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _unprinted(error)
    return Exit.OK


def _complain(trouble: Trouble) -> None:
    """One line. What has its place in a file begins with it, as compilers do, so that editors can jump there."""
    prefix = "" if trouble.place else "clockmesh: "
    _tell(prefix + clean(" ".join(trouble.message.splitlines())))


def _unprinted(error: OSError) -> int:
    """A full disk behind `> file`; requests to the daemon have had their own words."""
    _tell(f"clockmesh: what came cannot be printed: {error.strerror or error}")
    return Exit.INTERNAL


def _defect(error: Exception) -> int:
    if os.environ.get("CLOCKMESH_DEBUG"):
        import traceback

        traceback.print_exc()
    _tell(f"clockmesh: a defect: {type(error).__name__}: {clean(str(error))}; CLOCKMESH_DEBUG=1 shows where")
    return Exit.INTERNAL


def _tell(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return  # Nobody reads it; the exit status still says it.


def _reader_left() -> int:
    """`clockmesh ... | head`: silence what Python would say at its exit, and end as a program that SIGPIPE ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


if __name__ == "__main__":
    sys.exit(main())
