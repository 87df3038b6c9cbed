"""From the words that were typed to a verb and its options. One parser is built, that of the verb in question."""

from __future__ import annotations

import argparse
import os
import sys

from clockmesh.daemon.cli_schedule_options import SCHEDULE_OPTIONS, schedule_add_options
from clockmesh.daemon.cli_secret_options import SECRET_OPTIONS, VALUE_TYPED, VALUED
from clockmesh.daemon.cli_values import finite, pair, run_id, seconds, slots, whole
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.routes import VERBS, Verb, spelled
from clockmesh.daemon.text import PLAIN_WIDTH, terminal_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_GENERAL = {
    "--home DIR": "the peer's home (default: $CLOCKMESH_HOME, else\n$XDG_STATE_HOME/clockmesh)",
    "--json": "print JSON",
}
_WORDS_WIDTH = max(len(verb.words) for verb in VERBS)
_EXITS = (
    "exit status: 0 ok, 1 the run failed, 2 wrong usage or input, 3 not found,\n"
    "4 no daemon answers, 5 not allowed, 6 conflict, 7 busy, 8 the run was cancelled,\n"
    "70 internal, 78 configuration, 124 timed out"
)


class HelpWanted(Exception):
    """Somebody asked for help: this text, on standard output."""


class Asked:
    """One command as it was typed."""

    def __init__(self, verb: Verb, options: argparse.Namespace, environment: Mapping[str, str]) -> None:
        self.verb = verb
        self.options = options
        self.json: bool = options.json
        chosen: str | None = options.home
        self.home = os.path.abspath(os.path.expanduser(chosen)) if chosen else default_home(environment)
        self._suffix = f" --home {_shell_word(chosen)}" if chosen else ""

    def command(self, words: str) -> str:
        """What to type next, for the same home."""
        return f"clockmesh {words}{self._suffix}"


def default_home(environment: Mapping[str, str]) -> str:
    """As `home.default_home`, without its imports."""
    if chosen := environment.get("CLOCKMESH_HOME"):
        return os.path.abspath(os.path.expanduser(chosen))
    state = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME") or "~", ".local/state")
    return os.path.join(os.path.abspath(os.path.expanduser(state)), "clockmesh")


def parse(words: Sequence[str], environment: Mapping[str, str]) -> Asked:
    """The command; HelpWanted, or Trouble (USAGE) in one line."""
    verb, rest = _split(list(words))
    parser = _Parser(
        prog=f"clockmesh {verb.words}",
        description=f"{verb.help[0].upper()}{verb.help[1:]}.",
        epilog=f"example:\n  {verb.example}",
        formatter_class=_Layout,
        add_help=False,
        allow_abbrev=False,
    )
    _OPTIONS.get(verb.name, _none)(parser)
    parser.add_argument("--home", metavar="DIR", help=_GENERAL["--home DIR"])
    parser.add_argument("--json", action="store_true", help=_GENERAL["--json"])
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="print this and exit")
    options, more = parser.parse_known_args(rest)
    if more:
        parser.error(VALUE_TYPED if verb.name in VALUED else f"unrecognized arguments: {' '.join(more)}")
    if options.home == "":
        parser.error("argument --home: the directory's name is empty")
    return Asked(verb, options, environment)


def _split(words: list[str]) -> tuple[Verb, list[str]]:
    """The verb, and all other words in their order: --home and --json may stand before it."""
    general: list[str] = []
    said: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--home":
            general += [word, *words[:1]]
            del words[:1]
        elif word == "--json" or word.startswith("--home="):
            general.append(word)
        elif word in ("-h", "--help") or (word == "help" and not said):
            raise HelpWanted(_help_on(said + [word for word in words if not word.startswith("-")]))
        elif word in ("-V", "--version") and not said:
            words.insert(0, "version")
        elif word.startswith("-"):
            raise _usage(f"{word} must come after the verb, or does not exist; see `clockmesh --help`")
        else:
            said.append(word)
            if verb := spelled(" ".join(said)):
                return verb, general + words
            if not _beginning_with(said):
                raise _unknown(said)
    if said:
        raise _usage(f"`clockmesh {said[0]}` needs one of: {_group(said)}; see `clockmesh {said[0]} --help`")
    if general:
        raise _usage(f"a verb is missing after {general[-1]}; see `clockmesh --help`")
    raise HelpWanted(_overview())


def _beginning_with(said: list[str]) -> list[Verb]:
    return [verb for verb in VERBS if verb.words.split()[: len(said)] == said]


def _group(said: list[str]) -> str:
    return ", ".join(verb.words.removeprefix(said[0]).strip() for verb in _beginning_with(said[:1]))


def _unknown(said: list[str]) -> Trouble:
    from difflib import get_close_matches

    typed = " ".join(said)
    if len(said) > 1:  # the group is right, so only its verbs can be meant
        close = [f"{said[0]} {last}" for last in get_close_matches(said[1], _group(said).split(", "), 1)]
        hint = f"`clockmesh {said[0]}` has: {_group(said)}"
    else:
        last_words = {verb.words.split()[-1]: verb.words for verb in reversed(VERBS) if verb.words}
        spellings = [verb.words for verb in VERBS if verb.words] + ["run", "peer", "schedule"]
        close = [last_words[typed]] if typed in last_words else get_close_matches(typed, spellings, 1)
        hint = "see `clockmesh --help`"
    return _usage(f"there is no verb '{typed}'; " + (f"did you mean `clockmesh {close[0]}`?" if close else hint))


def _help_on(said: list[str]) -> str:
    """The help of as many words as name something."""
    while said:
        if verb := spelled(" ".join(said)):
            try:
                parse([*verb.words.split(), "--help"], {})
            except HelpWanted as wanted:
                return str(wanted)
        if verbs := _beginning_with(said):
            return f"usage: clockmesh {' '.join(said)} VERB ...\n\n{_listed(verbs)}\n\n{_more()}"
        said = said[:-1]
    return _overview()


def _overview() -> str:
    verbs = [verb for verb in VERBS if verb.words]
    margin = " " * (_WORDS_WIDTH + 3)
    general = "\n".join(
        f"  {option:<{_WORDS_WIDTH}} " + text.replace("\n", "\n" + margin) for option, text in _GENERAL.items()
    )
    return (
        "usage: clockmesh VERB ...\n\nGitHub Actions workflows on a handful of your own machines.\n\n"
        f"{_listed(verbs)}\n\nwith every verb, before or after it:\n{general}\n\n{_more()}\n\n{_EXITS}"
    )


def _more() -> str:
    return "`clockmesh VERB --help` tells the rest, with an example."


def _listed(verbs: Sequence[Verb]) -> str:
    return "\n".join(f"  {verb.words:<{_WORDS_WIDTH}} {verb.help}" for verb in verbs)


# ---- the options of each verb ----


def _none(_: argparse.ArgumentParser) -> None:
    pass


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what the mesh calls this peer (default: the host's name)")
    parser.add_argument("--slots", type=slots, metavar="N", help="jobs at a time (default: its cores); 0: votes only")
    parser.add_argument("--sandbox", choices=("bubblewrap", "none"),
                        help="what jobs run in, kept in config.yml; none: nothing, they can do all that you can\n"
                             "(default: bubblewrap)")


def _join(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("line", metavar="LINE", help="what `clockmesh invite` printed; - reads it from standard input")
    _init(parser)


def _invite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ttl", type=seconds, default=3600.0, metavar="TIME",
                        help="how long the line is good: 90s, 30m, 2h, 1d (default: 1h)")


def _submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the workflow; with --remote, its path in that repository")
    parser.add_argument("-f", "--follow", action="store_true", help="print what happens until the end; exit as the run")
    _workflow_options(parser)


def _workflow_options(parser: argparse.ArgumentParser) -> None:
    """How a workflow's jobs run, and where its repository is."""
    parser.add_argument("--force", action="store_true", help="take a workflow without the tag p2p-workflow")
    parser.add_argument("--guard", choices=("quorum", "lease"),
                        help="quorum: never two starts; lease: in any partition (default: quorum from 3 peers on)")
    parser.add_argument("-i", "--input", dest="inputs", action="append", type=pair, default=[], metavar="KEY=VALUE",
                        help="an input of workflow_dispatch; once for each")
    parser.add_argument("--priority", type=finite, default=5.0, metavar="P",
                        help="1 critical ... 6 and more very low (default: 5)")
    parser.add_argument("--remote", metavar="URL", help="take the repository from this git URL")
    parser.add_argument("--ref", metavar="R", help="its branch, tag or commit (default: its default branch)")


def _schedule_add(parser: argparse.ArgumentParser) -> None:
    schedule_add_options(parser)
    _workflow_options(parser)


def _show(parser: argparse.ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("--summary", action="store_true", help="print what the jobs wrote to GITHUB_STEP_SUMMARY")


def _local(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the workflow")
    parser.add_argument("--job", metavar="J", help="only this job and what it needs")
    parser.add_argument("-i", "--input", dest="inputs", action="append", type=pair, default=[], metavar="KEY=VALUE",
                        help="an input of workflow_dispatch; once for each")
    parser.add_argument("--sandbox", action="store_true", help="run the jobs as a peer would, away from your files")
    parser.add_argument("--secret-file", metavar="F",
                        help="the context secrets: NAME=value lines, or NAME<<WORD, lines, WORD")
    parser.add_argument("--var", dest="variables", action="append", type=pair, default=[], metavar="KEY=VALUE",
                        help="a variable of the context vars; once for each")
    parser.add_argument("--event", metavar="NAME",
                        help="what triggers it (default: workflow_dispatch with --input, else push, else the file's "
                             "first)")
    parser.add_argument("--event-file", metavar="JSON", help="a file with what github.event shall be")


def _lint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a workflow")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=whole, metavar="N", help="the newest N only (0: all)")


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=run_id, help="the run's id, or its first digits (4 or more)")


def _rerun(parser: argparse.ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("--abandon", action="store_true",
                        help="although it has not ended, as when most of its electorate is gone for good; what still\n"
                             "runs of it is asked to end, and may go on until its peer hears of that")
    parser.add_argument("--guard", choices=("quorum", "lease"),
                        help="lease: where most peers are away for good (default: that of the run)")


def _logs(parser: argparse.ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new lines until the run ends")
    parser.add_argument("--job", metavar="KEY", help="of this job only, as `run show` spells it: 'build (a, 1)'")


def _wait(parser: argparse.ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("--timeout", type=seconds, metavar="TIME", help="give up after so long (30m), with exit 124")


def _p2p(parser: argparse.ArgumentParser) -> None:
    """For the help; `cli_p2p` reads the words."""
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="VERB ...", help="see `clockmesh p2p --help`")


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "init": _init,
    "invite": _invite,
    "join": _join,
    "submit": _submit,
    "local": _local,
    "lint": _lint,
    "list": _list,
    "show": _show,
    "logs": _logs,
    "wait": _wait,
    **SECRET_OPTIONS,
    "cancel": _run,
    "rerun": _rerun,
    "why": _run,
    "p2p": _p2p,
    "schedule_add": _schedule_add,
    **SCHEDULE_OPTIONS,
}


# ---- argparse, in our words ----


class _Layout(argparse.RawDescriptionHelpFormatter):
    """Knows its width without the imports that argparse would make to ask for it, once for every argument."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=_width())


def _width() -> int:
    return min(terminal_width(sys.stdout), 100) if sys.stdout is not None else PLAIN_WIDTH


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        raise HelpWanted(parser.format_help().rstrip())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # raises as the original exits: never returns
        raise _usage(f"{message}; see `{self.prog} --help`")


def _usage(message: str) -> Trouble:
    return Trouble(Exit.USAGE, "usage", message)


def _shell_word(text: str) -> str:
    import shlex

    return shlex.quote(text)
