"""The options of the verbs about secrets and remotes."""

from __future__ import annotations

import argparse

from clockmesh.daemon.cli_values import secret_name

VALUE_TYPED = ("a value on the command line is seen by everybody on this machine, so it is not taken: give it on "
               "standard input or with --file F")  # fmt: skip
VALUED = ("secret_set", "remote_add")
"""Verbs of which no error repeats a word that should not be there: it may be the value."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _secret_set(parser: argparse.ArgumentParser) -> None:
    _secret(parser)
    parser.add_argument("--workflow", dest="workflows", action="append", default=[], metavar="NAME",
                        help="only for jobs of this workflow, by its name or file; once for each (default: all)")
    _value(parser)


def _secret(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=secret_name, help="what workflows call it: secrets.NAME")


def _value(parser: argparse.ArgumentParser) -> None:
    """Never on the command line, which every process can see."""
    parser.add_argument("--file", metavar="F", help="read the value from this file (default: standard input)")


def _remote_add(parser: argparse.ArgumentParser) -> None:
    _remote(parser)
    _value(parser)


def _remote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="http or https; it counts for all repositories at it and below")


SECRET_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "secret_set": _secret_set,
    "secret_remove": _secret,
    "remote_add": _remote_add,
    "remote_remove": _remote,
}
