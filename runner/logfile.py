"""A job's log: JSON lines `{"t": wall ms, "step": name, "text": line}`, read by others while it grows.

Bounded in both directions, and every cut is said: a line is cut at `MAX_LINE_BYTES`, the whole at `MAX_LOG_BYTES`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from clockmesh.runner.masks import Masks

MAX_LINE_BYTES = 16 * 1024
"""Of one line's text; what a page or a terminal can still show."""
MAX_LOG_BYTES = 64 * 1024 * 1024
"""Of the file; a quarter of the largest blob, and more than anybody reads."""

_CUT = " [the line is cut here]"


class JobLog:
    """Appends to one file. Each `write` reaches the file before it returns, whole lines only. What `masks` hides never
    does."""

    def __init__(self, path: Path, *, limit: int = MAX_LOG_BYTES, masks: Masks | None = None) -> None:
        self.masks = masks or Masks()
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._room = limit - os.fstat(self._handle).st_size
        self._cut = False

    def write(self, step: str, lines: list[str]) -> None:
        """Add these lines of one step. Once the file is full: one line that says so, then nothing."""
        if self._cut or not lines:
            return
        now = time.time_ns() // 1_000_000
        step = self.masks.hide(step)
        clear = not self.masks.holds("\n".join(lines)) and not any(line.endswith(_CUT) for line in lines)
        data = b"".join(_record(now, step, line if clear else self._shown(line)) for line in lines)
        if len(data) > self._room:
            self._cut = True
            data = _fitting(data, self._room) + _record(now, step, "[the log is full: what follows is not kept]")
        self._room -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def _shown(self, line: str) -> str:
        if line.endswith(_CUT):
            return self.masks.hide(line.removesuffix(_CUT), cut=True) + _CUT
        return self.masks.hide(line)

    def line(self, step: str, text: str) -> None:
        """Add one text, which may have several lines."""
        self.write(step, text.splitlines() or [""])

    def close(self) -> None:
        os.close(self._handle)


class LineSplitter:
    """Bytes of a stream in, whole lines of text out. Bytes that are not UTF-8 become U+FFFD."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes. Of a line that is too long the beginning is given as soon as it is."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = []
        for line in whole:
            if not self._skipping:
                lines.append(_text(line))
            self._skipping = False
        if len(self._rest) > MAX_LINE_BYTES:
            if not self._skipping:
                lines.append(_text(self._rest))
            self._rest, self._skipping = b"", True
        return lines

    def end(self) -> list[str]:
        """The last line, where it has no line feed."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest and not self._skipping else []


def _text(line: bytes) -> str:
    line = line.removesuffix(b"\r")
    if len(line) > MAX_LINE_BYTES:
        return line[:MAX_LINE_BYTES].decode(errors="replace") + _CUT
    return line.decode(errors="replace")


def _record(now: int, step: str, text: str) -> bytes:
    return json.dumps({"t": now, "step": step, "text": text}, ensure_ascii=False).encode(errors="replace") + b"\n"


def _fitting(data: bytes, room: int) -> bytes:
    """As many whole lines as fit."""
    return data[: data.rfind(b"\n", 0, max(room, 0)) + 1]
