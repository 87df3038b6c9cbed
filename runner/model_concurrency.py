"""`concurrency`, of a workflow or of a job."""

from __future__ import annotations

from clockmesh.runner.errors import quoted
from clockmesh.runner.model import Concurrency
from clockmesh.runner.model_availability import Allowed
from clockmesh.runner.model_sheet import Sheet, meant
from clockmesh.runner.reader import Mapping, Node

_QUEUES = ("single", "max")


def read_concurrency(sheet: Sheet, node: Node | None, allowed: Allowed) -> Concurrency | None:
    """A group's name alone, or a mapping; problems are noted on the sheet."""
    if node is None:
        return None
    if not isinstance(node, Mapping):
        group = sheet.text(node, "`concurrency`", allowed)
        return None if group is None else Concurrency(group)
    found = sheet.keys(node, "`concurrency`", ("group", "cancel-in-progress", "queue"))
    if "group" not in found:
        sheet.missing(node, found, node, "`concurrency` has no `group`; add a name, such as `group: deploy`")
    group = sheet.text(found.get("group"), "`group` of `concurrency`", allowed)
    cancel = sheet.boolean(found.get("cancel-in-progress"), "`cancel-in-progress`", allowed)
    queue = sheet.plain(found.get("queue"), "`queue` of `concurrency`")
    if queue is not None and queue not in _QUEUES:
        sheet.note(found["queue"], f"`queue` cannot be `{quoted(queue)}`; {meant(queue, _QUEUES)}")
    if queue == "max" and cancel is not None and cancel.node.value is True:
        sheet.note(found["queue"], "`queue: max` and `cancel-in-progress: true` contradict each other; keep one")
    return None if group is None else Concurrency(group, cancel, queue == "max")
