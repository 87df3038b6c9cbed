"""`runs-on` to the labels that a peer must offer.

`ubuntu-*` means Linux on X64 (`-arm`: on ARM64), `self-hosted` any peer; other labels stay, in lower case: where no
peer has them, the job waits and `why` says for what.
"""

from __future__ import annotations

from collections.abc import Sequence

from clockmesh.protocol import limits
from clockmesh.runner.errors import quoted
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import to_text
from clockmesh.runner.expressions_values import is_primitive, kind_of
from clockmesh.runner.model import Job, Text


def peer_labels(job: Job, scope: Scope) -> tuple[str, ...]:
    """What `runs-on` of a job asks for, each label once. Raises WorkflowError."""
    labels: dict[str, None] = {}
    for text in job.runs_on:
        for label in _labels(text, scope):
            labels.update(dict.fromkeys(_mapped(label)))
    if len(labels) > limits.MAX_LABELS:
        raise scope.error(job.runs_on[0], f"`runs-on` has more than {limits.MAX_LABELS} labels")
    return tuple(labels)


def _labels(text: Text, scope: Scope) -> list[str]:
    """The labels that one text comes to: an expression may give a list."""
    value = scope.value(text)
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    labels = []
    for item in items:
        label = " ".join(to_text(item).split()).lower() if is_primitive(item) else ""
        if not label:
            raise scope.error(text, f"`runs-on` must come to labels, not to {kind_of(item)} without text")
        if len(label) > limits.MAX_LABEL or not label.isprintable():
            raise scope.error(text, f"`{quoted(label)}` cannot be a label")
        labels.append(label)
    return labels


def _mapped(label: str) -> tuple[str, ...]:
    if label == "self-hosted":
        return ()
    if label.startswith("ubuntu-"):
        return ("linux", "arm64") if label.endswith("-arm") else ("linux", "x64")
    return (label,)
