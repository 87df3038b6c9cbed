"""The annotations of a job, as far as they are kept: so many of a kind in a step, so many in all, so many bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from clockmesh.protocol import limits
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.report_codec import annotation_bytes, read_annotation, write_annotation
from clockmesh.protocol.reports import Annotation, Level
from clockmesh.protocol.wire import array, clean_line, fields, integer, pack, unpack
from clockmesh.runner.masks import Masks

OF_A_STEP = 10
"""Of one level, as on GitHub. The log has them all."""


class Annotations:
    """Grows while the job runs."""

    def __init__(self) -> None:
        self._said: list[Annotation] = []
        """As they were said, not masked yet."""
        self._more = 0
        self._of_step: Counter[Level] = Counter()

    def next_step(self) -> None:
        self._of_step.clear()

    def add(self, level: Level, message: str, step: str, properties: Mapping[str, str]) -> None:
        """Keep one, or count it where there are enough. `properties` are the command's."""
        self._of_step[level] += 1
        if len(self._said) >= limits.MAX_ANNOTATIONS or self._of_step[level] > OF_A_STEP:
            self._more += 1
            return
        title, file = properties.get("title", ""), properties.get("file", "")
        row, column = _number(properties.get("line", "")), _number(properties.get("col", ""))
        self._said.append(Annotation(level, message, step, title, file, row, column))

    def packed(self, masks: Masks) -> bytes:
        """For the daemon, in the attempt's file `annotations`; b'' where there are none. What became a mask only after
        it was said is hidden, too."""
        told: list[Annotation] = []
        room = limits.MAX_ANNOTATION_BYTES
        for annotation in (_shown(said, masks) for said in self._said):
            room -= annotation_bytes(annotation)
            if room >= 0:
                told.append(annotation)
        more = self._more + len(self._said) - len(told)
        return pack([[write_annotation(annotation) for annotation in told], more]) if self._said else b""


def _shown(said: Annotation, masks: Masks) -> Annotation:
    """Masked, and then cut: half a secret is none that could be found."""
    return replace(
        said,
        message=_cut(masks.hide(said.message)),
        step=clean_line(masks.hide(said.step), limits.MAX_TITLE),
        title=clean_line(masks.hide(said.title), limits.MAX_TITLE),
        file=clean_line(masks.hide(said.file), limits.MAX_PATH),
    )


def unpacked(data: bytes) -> tuple[tuple[Annotation, ...], int]:
    """The annotations, and how many more there were. RemoteError for what `packed` did not make."""
    kept, more = fields(unpack(data), "annotations", 2)
    told = tuple(read_annotation(each) for each in array(kept, "annotations", limits.MAX_ANNOTATIONS))
    if sum(map(annotation_bytes, told)) > limits.MAX_ANNOTATION_BYTES:
        raise RemoteError(f"annotations are above {limits.MAX_ANNOTATION_BYTES} bytes")
    return told, integer(more, "count")


def _cut(message: str) -> str:
    text = message.encode(errors="replace").decode()
    return text if len(text) <= limits.MAX_ANNOTATION else text[: limits.MAX_ANNOTATION - 1] + "…"


def _number(text: str) -> int:
    """A line or column; 0 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0
