"""Values that must not be shown: each is replaced by `***`, also in the forms that tools commonly give it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

SHOWN = "***"
_LEAST = 5
"""Characters that a part of a base64 text must have to count: shorter ones are in everything."""
_HEAD = 8
_UNSAFE = re.compile(r"(?![\w%+,./:=@^~-])[ -~]")
"""What of ASCII a shell would take for more than itself."""


class Masks:
    """What to hide, growing while a job runs. Cost of `hide`: one search for each form of each value."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Hide this from now on; of a value of several lines each line too. Nothing, for one without text."""
        for part in (value, *value.splitlines()):
            if part.strip():
                self._forms.update(_forms(part))

    def holds(self, text: str) -> bool:
        """Whether something in the text must not be shown."""
        return any(form in text for form in self._forms)

    def hide(self, text: str, *, cut: bool = False) -> str:
        """The text with `***` for each stretch of it that must not be shown. Of one that was `cut` the end is hidden,
        too, where such a stretch may have begun there."""
        shown, end = [], 0
        spans = [*self._found(text), *(self._begun(text) if cut else ())]
        for start, stop in _joined(spans):
            shown += [text[end:start], SHOWN]
            end = stop
        return "".join([*shown, text[end:]]) if shown else text

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + 1)

    def _begun(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            if (start := _beginning_of(form, text)) is not None:
                yield start, len(text)


def _beginning_of(form: str, text: str) -> int | None:
    """Where the longest beginning of `form` starts that the text ends with. A secret may be long, so most places are
    ruled out by its first characters."""
    head = form[:_HEAD]
    at = text.find(head, max(0, len(text) - len(form)))
    while at >= 0:
        if form.startswith(text[at:]):
            return at
        at = text.find(head, at + 1)
    lengths = range(min(len(head), len(text)), 0, -1)
    return next((len(text) - length for length in lengths if text.endswith(form[:length])), None)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap made one: what is left of a value beside another's stars must not show."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def _forms(value: str) -> Iterator[str]:
    yield value
    yield value.replace("'", "''")  # in an expression
    yield value.replace("'", "'\\''")  # as `set -x` shows it
    yield _UNSAFE.sub(r"\\\g<0>", value)  # as `printf %q` does
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="", errors="surrogatepass")
    yield quote_plus(value, errors="surrogatepass")
    yield quote(value, safe="!'()*", errors="surrogatepass")  # encodeURIComponent
    yield html.escape(value)
    data = value.encode(errors="surrogatepass")
    yield base64.b64encode(data).decode()
    yield base64.urlsafe_b64encode(data).decode()
    for before in range(3):
        yield from _within_base64(data, before)


def _within_base64(data: bytes, before: int) -> Iterator[str]:
    """What the value is sure to look like in the base64 of more bytes, so many of a group of three before it."""
    first, end = -(-8 * before // 6), 8 * (before + len(data)) // 6
    if end - first >= _LEAST:
        yield base64.b64encode(bytes(before) + data).decode()[first:end]
        yield base64.urlsafe_b64encode(bytes(before) + data).decode()[first:end]
