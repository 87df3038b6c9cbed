"""A job's log: JSON lines `{"t": wall ms, "step": name, "text": line}`, read by others while it grows.

Bounded in both directions, and every cut is said: a line is cut at `MAX_LINE_BYTES`, the whole at `MAX_LOG_BYTES`. A
full disk costs lines, never the job.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import time
from pathlib import Path

from clockmesh.runner.masks import Masks

MAX_LINE_BYTES = 16 * 1024
"""Of one line's text; what a page or a terminal can still show."""
MAX_LOG_BYTES = 64 * 1024 * 1024
"""Of the text of all lines; more than anybody reads."""
MAX_FILE_BYTES = 192 * 1024 * 1024
"""Of the file, whose records take more than their text; three quarters of the largest blob."""

_CUT = " [the line is cut here]"
_FULL = "[the disk is full: lines are missing here]"


class JobLog:
    """Appends to one file. Each `write` reaches the file before it returns, whole lines only. What `masks` hides never
    does."""

    def __init__(self, path: Path, *, limit: int = MAX_LOG_BYTES, masks: Masks | None = None) -> None:
        """`limit`: bytes of text."""
        self.masks = masks or Masks()
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._text_room = limit
        self._file_room = MAX_FILE_BYTES
        self._cut = False
        self._step = ""
        self._size = self._whole = os.fstat(self._handle).st_size
        """`_whole`: without a last line that a full disk took in part."""
        self._owed = b""
        """The rest of that line."""
        self._missing = False
        """A full disk did not take what came last."""

    def write(self, step: str, lines: list[str]) -> None:
        """Add these lines of one step. Once the log is full, or the disk: one line that says so, then nothing as long
        as that is so."""
        if self._cut or not lines:
            return
        now = time.time_ns() // 1_000_000
        self._step = step = self.masks.hide(step)
        clear = not self.masks.holds("\n".join(lines)) and not any(line.endswith(_CUT) for line in lines)
        records = []
        for line in lines:
            text = line if clear else self._shown(line)
            record = _record(now, step, text)
            self._text_room -= len(text.encode(errors="replace")) + 1
            self._file_room -= len(record)
            if self._text_room < 0 or self._file_room < 0:
                self._cut = True
                records.append(_record(now, step, "[the log is full: what follows is not kept]"))
                break
            records.append(record)
        self._append(b"".join(records))

    def _append(self, data: bytes) -> None:
        """Write whole lines, after what is owed; keep in mind what a full disk does not take."""
        if self._missing:
            data = self._owed + _record(time.time_ns() // 1_000_000, self._step, _FULL) + data
        taken = self._take(data)
        newline = data.rfind(b"\n", 0, taken)
        if newline >= 0:
            self._whole = self._size + newline + 1
        self._size += taken
        self._missing = taken < len(data)
        self._owed = data[taken : data.index(b"\n", taken) + 1] if self._size > self._whole else b""

    def _take(self, data: bytes) -> int:
        """How many bytes the disk took."""
        taken = 0
        try:
            while taken < len(data):
                taken += os.write(self._handle, memoryview(data)[taken:])
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        return taken

    def _shown(self, line: str) -> str:
        if line.endswith(_CUT):
            return self.masks.hide(line.removesuffix(_CUT), cut=True) + _CUT
        return self.masks.hide(line)

    def line(self, step: str, text: str) -> None:
        """Add one text, which may have several lines."""
        self.write(step, text.splitlines() or [""])

    def close(self) -> None:
        """A line that a full disk took in part is taken back: whole lines only."""
        if self._missing:
            self._append(b"")
        if self._size > self._whole:
            os.ftruncate(self._handle, self._whole)
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
        return _whole_characters(line[:MAX_LINE_BYTES]) + _CUT
    return line.decode(errors="replace")


def _whole_characters(data: bytes) -> str:
    """Without a character that the cut went through: behind U+FFFD no mask would see that a secret began there."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)


def _record(now: int, step: str, text: str) -> bytes:
    return json.dumps({"t": now, "step": step, "text": text}, ensure_ascii=False).encode(errors="replace") + b"\n"
