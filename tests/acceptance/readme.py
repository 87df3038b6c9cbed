"""README.md as a test sees it: its blocks, and what of a printed text may differ from one machine to another."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"

_VARYING = (
    (r"12D3KooW\w+", "ID"),
    (r"clockmesh-invite-1-[\w.-]+", "LINE"),
    (r"/\S+/clockmesh-demo-\w+", "FOLDER"),
    (r"\b[0-9a-f]{10,64}\b", "HASH"),
    (r"\b(alpha|beta|gamma)\b", "PEER"),
    (r"distances: [\w ,]+", "distances"),
    (r"(linux|x64|arm64|gpu|[\w.-]+)(, [\w.-]+)+$", "LABELS"),
    (r"(just now|\d+ (s|min|h) ago|in \d+ (s|min|h))", "WHEN"),
    (r"\d+(\.\d+)?", "N"),
    (r" +", " "),
)


def blocks(kind: str) -> list[str]:
    """The texts of README's fenced blocks of one kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


def plain(line: str) -> str:
    """A line without what may differ: ids, times, ports, sizes and who did it."""
    for pattern, word in _VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()
