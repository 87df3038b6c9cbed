"""The words of `clockmesh p2p`: its verbs, what each means, and their options. Exit 2 is argparse's own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from clockmesh.daemon.cli_values import finite

Options = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True, slots=True)
class P2PVerb:
    """One verb, and what it does in either place."""

    words: str
    embedded: str
    """Without a daemon: on the books in $P2P_DATA_DIR of the peer $P2P_PEER_ID."""
    mesh: str
    """With a daemon that belongs to a mesh."""
    options: Options


def _none(_: argparse.ArgumentParser) -> None:
    pass


def _submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the workflow")
    parser.add_argument("--name", help="what to call it (default: the file's `name`)")
    parser.add_argument("--inputs", metavar="JSON", help="its inputs, an object")
    parser.add_argument("--priority", type=finite, default=5.0, metavar="F", help="lower is more urgent (default: 5.0)")
    parser.add_argument("--force", action="store_true", help="take a workflow without a tag")


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the workflow's id")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", help="only those of this status")
    parser.add_argument("--peer-id", metavar="PEER", help="only those of this owner")


def _update(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("status", metavar="STATUS", help="how far it is")
    parser.add_argument("--result", metavar="JSON", help="what came of it, an object")
    parser.add_argument("--error", help="why it failed")


def _peer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the peer's id")


VERBS = (
    P2PVerb("workflow submit", "note a tagged workflow", "submit it as a run", _submit),
    P2PVerb("workflow assign", "give pending workflows their owners", "list what is assigned and runs", _none),
    P2PVerb("workflow status", "tell all of a workflow", "tell all of a run", _id),
    P2PVerb("workflow list", "list the workflows", "list the runs", _list),
    P2PVerb("workflow update", "say how far a workflow is", "ask for a run's end (cancelled)", _update),
    P2PVerb("peer add", "add a name to choose from", "print the line by which it joins", _peer),
    P2PVerb("peer remove", "remove a name; its work moves", "refused: a member is no name", _peer),
    P2PVerb("peer list", "list the names", "list the members", _none),
    P2PVerb("stats", "count what there is", "count what there is", _none),
)
"""What each verb means, embedded and on a mesh: the one table of it."""


class HelpWanted(Exception):
    """No verb, or half of one: this help, and exit 1."""


def parse(words: Sequence[str]) -> tuple[P2PVerb, argparse.Namespace]:
    """The verb and its options. HelpWanted; SystemExit as argparse ends."""
    parser = create_parser()
    options = parser.parse_args(list(words))
    if not hasattr(options, "verb"):
        raise HelpWanted(getattr(options, "half", parser).format_help().rstrip())
    return options.verb, options


def create_parser() -> argparse.ArgumentParser:
    """Of all verbs. What it makes of words has `verb`, or `half` (a parser) where half a verb was said."""
    parser = _Parser(prog="clockmesh p2p", description=_table(), formatter_class=argparse.RawDescriptionHelpFormatter)
    groups = parser.add_subparsers(metavar="VERB")
    below: dict[str, argparse._SubParsersAction[_Parser]] = {}
    for verb in VERBS:
        first, _, second = verb.words.partition(" ")
        adding = groups
        if second:
            if first not in below:
                half = groups.add_parser(first, help=f"commands of {first}s", allow_abbrev=False)
                half.set_defaults(half=half)
                below[first] = half.add_subparsers(metavar="VERB")
            adding = below[first]
        text = f"{verb.embedded}; on a mesh: {verb.mesh}"
        one = adding.add_parser(second or first, help=verb.embedded, description=text, allow_abbrev=False)
        one.set_defaults(verb=verb)
        verb.options(one)
    return parser


def _table() -> str:
    rows = "\n".join(f"  {verb.words:<16} {verb.embedded:<36} {verb.mesh}" for verb in VERBS)
    return f"The commands of ipfs-kit p2p.\n\n  {'':<16} {'without a daemon':<36} on a mesh\n{rows}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"✗ {message}; see `{self.prog} --help`\n")
