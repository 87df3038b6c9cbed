"""Which secrets a workflow names: for a word to whoever submits it, and to know which ones it cannot run without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from clockmesh.runner.bundle import own_file
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.reader import Mapping, Node, Scalar, read_yaml

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_SECRETS = re.compile(r"(?<![\w.-])secrets\b(?:\s*\.\s*([a-z_][\w-]*)|\s*\[\s*'([^']*)'\s*\])?", re.IGNORECASE)
_INHERIT = re.compile(rb"\bsecrets['\"]?\s*:\s*['\"]?inherit\b")
_TEXT = re.compile(r"'[^']*'")


@dataclass(frozen=True, slots=True)
class NamedSecrets:
    names: frozenset[str]
    """In upper case."""
    any: bool = False
    """It also asks for them in ways that say no name: `toJSON(secrets)`, `secrets[matrix.key]`, `secrets: inherit`."""


NO_SECRETS = NamedSecrets(frozenset())


def named_secrets(data: bytes, file: str) -> NamedSecrets:
    """Of a workflow's bytes; of a bundle the calling one's, which says what the called ones get. Nothing for what
    cannot be read: others say why."""
    if b"secrets" not in data.lower():
        return NO_SECRETS
    try:
        data = own_file(data, file)
        root = read_yaml(data, file)
    except WorkflowError:
        return NO_SECRETS
    names: set[str] = set()
    unnamed = bool(_INHERIT.search(data))
    for text in _expressions(root):
        for found in _SECRETS.finditer(text):
            if _within_text(text, found.start()):
                continue
            name = found[1] or found[2]
            unnamed = unnamed or name is None
            names.update([name.upper()] if name else [])
    return NamedSecrets(frozenset(names), unnamed)


def _expressions(root: Node) -> Iterator[str]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Scalar):
            yield from _EXPRESSION.findall(node.text)
        elif isinstance(node, Mapping):
            waiting.extend(value for _, value in node.pairs)
        else:
            waiting.extend(node.items)


def _within_text(expression: str, at: int) -> bool:
    return any(text.start() < at < text.end() for text in _TEXT.finditer(expression))
