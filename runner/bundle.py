"""The bytes of a run's workflow: its file, or, where it calls others of the repository, all these files in one.

Such a bundle is msgpack: [the file, {path: the called file}]. Its first byte begins no text in UTF-8, so no file is
taken for one.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgpack

from clockmesh.runner import model_workflow
from clockmesh.runner.calls import check_call
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.model import Call, Job, Workflow
from clockmesh.runner.reader import MAX_BYTES

MAX_LEVELS = 10
"""Workflows that call one another in a row, the first with them: GitHub's own bound."""
MAX_CALLED = 50
"""Different workflows that one calls, directly or not: GitHub's own bound."""

_FIRST = b"\x92"

Load = Callable[[str], bytes | None]
"""The bytes of a file of the repository; None when there is none."""


def bundle(data: bytes, file: str, load: Load) -> bytes:
    """The file's bytes with those of all workflows that it calls; the bytes themselves where it calls none.
    WorkflowError for what is wrong with any of them."""
    found: dict[str, bytes] = {}
    waiting = [model_workflow.read_workflow(data, file)]
    while waiting:
        workflow = waiting.pop()
        for call in _calls(workflow):
            path = _path(call)
            if path in found:
                continue
            content = load(path)
            if content is None:
                raise _error(workflow.file, call, f"there is no file `{path}` in the repository")
            found[path] = content
            if len(found) > MAX_CALLED:
                raise _error(workflow.file, call, f"more than {MAX_CALLED} different workflows are called")
            waiting.append(model_workflow.read_workflow(content, path))
    if not found:
        return data
    packed: bytes = msgpack.packb([data, dict(sorted(found.items()))])
    read_workflow(packed, file)
    return packed


def read_workflow(data: bytes, file: str) -> Workflow:
    """The workflow in a file's bytes or in a bundle, with those that it calls; `file` is how errors name it. A called
    workflow that is not there is left out. Raises WorkflowError."""
    if not data.startswith(_FIRST):
        return model_workflow.read_workflow(data, file)
    own, others = _unpacked(data, file)
    called = {path: model_workflow.read_workflow(content, path) for path, content in others.items()}
    return _Linker(called).linked(model_workflow.read_workflow(own, file), 1)


def own_file(data: bytes, file: str) -> bytes:
    """Of a bundle the calling workflow's own bytes. WorkflowError."""
    return _unpacked(data, file)[0] if data.startswith(_FIRST) else data


def _unpacked(data: bytes, file: str) -> tuple[bytes, Mapping[str, bytes]]:
    try:
        own, others = msgpack.unpackb(data, max_array_len=2, max_map_len=MAX_CALLED, max_bin_len=MAX_BYTES)
        if not isinstance(own, bytes) or not all(
            isinstance(path, str) and isinstance(content, bytes) for path, content in others.items()
        ):
            raise ValueError("not two files")
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException):
        raise WorkflowError(file, 1, 1, "this is neither a workflow nor a bundle of workflows") from None
    return own, others


class _Linker:
    """Puts the called workflows in their places. One that is called at many places of a level is made once."""

    def __init__(self, called: Mapping[str, Workflow]) -> None:
        self._called = called
        self._made: dict[tuple[str, int], Workflow] = {}

    def linked(self, workflow: Workflow, level: int) -> Workflow:
        return replace(workflow, jobs=tuple(self._job(workflow, job, level) for job in workflow.jobs))

    def _job(self, workflow: Workflow, job: Job, level: int) -> Job:
        if job.call is None or (target := self._called.get(_path(job.call))) is None:
            return job
        if level == MAX_LEVELS:
            raise _error(workflow.file, job.call, f"workflows call one another more than {MAX_LEVELS} levels deep")
        check_call(job.call, target, workflow.file)
        place = (target.file, level + 1)
        if place not in self._made:
            self._made[place] = self.linked(target, level + 1)
        return replace(job, call=replace(job.call, workflow=self._made[place]))


def _calls(workflow: Workflow) -> list[Call]:
    return [job.call for job in workflow.jobs if job.call is not None]


def _path(call: Call) -> str:
    return posixpath.normpath(call.uses.text)


def _error(file: str, call: Call, message: str) -> WorkflowError:
    return WorkflowError(file, call.uses.line, call.uses.column, message)
