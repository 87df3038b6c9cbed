"""What the daemon logs is in its catalogue."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import clockmesh.daemon
from clockmesh.daemon.logevents import CATALOGUE

FOLDER = Path(clockmesh.daemon.__path__[0])


def logged_names() -> dict[str, str]:
    """Every name that a `log.<level>("...")` call of the daemon gives, and the file where it stands."""
    names = {}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr="debug" | "info" | "warning" | "error"),
                              args=[ast.Constant(value=str(name)), *_]):
                    names[name] = path.name
    return names


def test_every_logged_name_is_in_the_catalogue() -> None:
    unknown = {name: file for name, file in logged_names().items() if name not in CATALOGUE}
    assert not unknown


def test_every_name_in_the_catalogue_is_logged_somewhere() -> None:
    assert set(CATALOGUE) <= set(logged_names())


def test_names_are_a_noun_and_what_happened_to_it() -> None:
    for name in CATALOGUE:
        assert re.fullmatch(r"[a-z]+_[a-z]+", name), name
