"""A log that cannot be written must not end what it tells of."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO


class LossyStream:
    """A text stream that loses what its file does not take (its disk is full) instead of raising OSError."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
