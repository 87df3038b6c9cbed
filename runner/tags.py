"""The tags of a workflow file, and what else a list of workflows shows of it, without reading it as a plan.

A file that the mesh would refuse for another reason (a container, an unknown key) has its tags all the same: who only
keeps books about workflows does not run them. What is a tag, `eligibility` says for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clockmesh.runner.eligibility import TAGS, tags_in
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.reader import Mapping, Node, Scalar, Sequence, read_yaml


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a workflow file says of itself."""

    name: str
    """'' where it has none."""
    tags: frozenset[str]
    """The tags in lower case, and all other labels as they are."""
    jobs: tuple[str, ...]
    triggers: tuple[str, ...]
    raw: dict[str, Any]
    """The whole file as plain values."""

    @property
    def is_tagged(self) -> bool:
        return not self.tags.isdisjoint(TAGS)


def read_tags(data: bytes, file: str) -> Tagged:
    """WorkflowError, with its line, for what is not YAML or has another form where names and labels stand."""
    root = read_yaml(data, file)
    if not isinstance(root, Mapping):
        raise WorkflowError(file, root.line, root.column, "a workflow must be a mapping with `on` and `jobs`")
    jobs = _jobs(root, file)
    bodies = [body for body in jobs.values() if body is not None]
    names = [_name(part, file) for part in (root, *bodies)]
    labels = [label for part in (root, *bodies) for label in _labels(part, file)]
    others = {label for label in labels if label.lower() not in TAGS}
    raw = _plain(root)
    assert isinstance(raw, dict)
    return Tagged(names[0], tags_in((*names, *labels)) | others, tuple(jobs), _triggers(root, file), raw)


def _jobs(root: Mapping, file: str) -> dict[str, Mapping | None]:
    node = root.get("jobs")
    if _is_absent(node):
        return {}
    if not isinstance(node, Mapping):
        raise _wrong(node, file, "`jobs` must be a mapping")
    jobs: dict[str, Mapping | None] = {}
    for key, body in node.pairs:
        if not isinstance(body, Mapping) and not _is_absent(body):
            raise _wrong(body, file, f"job '{key.text}' must be a mapping")
        jobs[key.text] = body if isinstance(body, Mapping) else None
    return jobs


def _name(part: Mapping, file: str) -> str:
    node = part.get("name")
    if node is not None and not isinstance(node, Scalar):
        raise _wrong(node, file, "`name` must be a text")
    return node.text if node else ""


def _labels(part: Mapping, file: str) -> list[str]:
    node = part.get("labels")
    if _is_absent(node):
        return []
    labels = []
    for item in node.items if isinstance(node, Sequence) else (node,):
        if not isinstance(item, Scalar) or not item.text.strip():
            raise _wrong(item, file, "a label must be a text; `labels` takes one or a list of them")
        labels.append(item.text)
    return labels


def _triggers(root: Mapping, file: str) -> tuple[str, ...]:
    node = root.get("on")
    if _is_absent(node):
        return ()
    if isinstance(node, Mapping):
        return tuple(key.text for key, _ in node.pairs)
    items = node.items if isinstance(node, Sequence) else (node,)
    for item in items:
        if not isinstance(item, Scalar):
            raise _wrong(item, file, "an event of `on` must be a text")
    return tuple(item.text for item in items if isinstance(item, Scalar))


def _is_absent(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and node.value is None)


def _wrong(node: Node | None, file: str, message: str) -> WorkflowError:
    return WorkflowError(file, node.line if node else 1, node.column if node else 1, message)


def _plain(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {key.text: _plain(value) for key, value in node.pairs}
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    value = node.value
    return int(value) if isinstance(value, float) and value.is_integer() and "." not in node.text else value
