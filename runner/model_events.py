"""`on`: which events a workflow names, its dispatch inputs and its schedules.

Only push, workflow_dispatch and schedule start a run here. The other events of GitHub are checked and kept as names.
"""

from __future__ import annotations

from clockmesh.runner.cron import cron_problem
from clockmesh.runner.errors import quoted
from clockmesh.runner.globs import glob_problem
from clockmesh.runner.model import Callable, DispatchInput, InputType, Schedule, Triggers
from clockmesh.runner.model_call import read_callable
from clockmesh.runner.model_sheet import Sheet, kind, meant
from clockmesh.runner.reader import Mapping, Node, Scalar, Sequence

_PULL_REQUEST = (
    "assigned unassigned labeled unlabeled opened edited closed reopened synchronize converted_to_draft locked "
    "unlocked enqueued dequeued milestoned demilestoned ready_for_review review_requested review_request_removed "
    "auto_merge_enabled auto_merge_disabled"
)
_ISSUES = (
    "opened edited deleted transferred pinned unpinned closed reopened assigned unassigned labeled unlabeled locked "
    "unlocked milestoned demilestoned"
)
_DISCUSSION = (
    "created edited deleted transferred pinned unpinned labeled unlabeled locked unlocked category_changed answered "
    "unanswered"
)
_CHANGED = "created edited deleted"
_BRANCHES = ("branches", "branches-ignore")
_PATHS = ("paths", "paths-ignore")

_TYPES: dict[str, str] = {
    "branch_protection_rule": _CHANGED,
    "check_run": "created rerequested completed requested_action",
    "check_suite": "completed",
    "create": "",
    "delete": "",
    "deployment": "",
    "deployment_status": "",
    "discussion": _DISCUSSION,
    "discussion_comment": _CHANGED,
    "fork": "",
    "gollum": "",
    "image_version": "created ready deleted",
    "issue_comment": _CHANGED,
    "issues": _ISSUES,
    "label": _CHANGED,
    "merge_group": "checks_requested",
    "milestone": "created closed opened edited deleted",
    "page_build": "",
    "project": "created closed reopened edited deleted",
    "project_card": "created moved converted edited deleted",
    "project_column": "created updated moved deleted",
    "public": "",
    "pull_request": _PULL_REQUEST,
    "pull_request_comment": _CHANGED,
    "pull_request_review": "submitted edited dismissed",
    "pull_request_review_comment": _CHANGED,
    "pull_request_target": _PULL_REQUEST,
    "push": "",
    "registry_package": "published updated",
    "release": "published unpublished created edited deleted prereleased released",
    "repository_dispatch": "",
    "schedule": "",
    "status": "",
    "watch": "started",
    "workflow_call": "",
    "workflow_dispatch": "",
    "workflow_run": "requested completed in_progress",
}
"""Every event of GitHub with its activity types."""

_FILTERS: dict[str, tuple[str, ...]] = {
    "image_version": ("names", "versions"),
    "merge_group": _BRANCHES,
    "pull_request": _BRANCHES + _PATHS,
    "pull_request_target": _BRANCHES + _PATHS,
    "push": (*_BRANCHES, "tags", "tags-ignore", *_PATHS),
    "workflow_run": ("workflows", *_BRANCHES),
}


def read_triggers(sheet: Sheet, node: Node) -> Triggers:
    """What `on` says; problems are noted on the sheet."""
    if isinstance(node, Mapping):
        return _mapping(sheet, node)
    events = []
    for item in node.items if isinstance(node, Sequence) else (node,):
        name = sheet.plain(item, "an event in `on`")
        if name is not None and _known(sheet, item, name):
            events.append(name)
    if isinstance(node, Sequence) and not node.items:
        sheet.note(node, "`on` is empty; name an event, such as workflow_dispatch")
    return Triggers(tuple(events), call=Callable() if "workflow_call" in events else None)


def _known(sheet: Sheet, node: Node, name: str) -> bool:
    if name in _TYPES:
        return True
    sheet.note(node, f"there is no event `{quoted(name)}`; {meant(name, _TYPES)}")
    return False


def _mapping(sheet: Sheet, node: Mapping) -> Triggers:
    events: list[str] = []
    inputs: tuple[DispatchInput, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    call = None
    for key, value in node.pairs:
        if not _known(sheet, key, key.text):
            continue
        events.append(key.text)
        what = f"`on.{key.text}`"
        if key.text == "workflow_call":
            call = Callable()
        if key.text == "schedule":
            schedules = _schedules(sheet, value)
        elif not _is_null(value) and (config := sheet.mapping(value, what)) is not None:
            if key.text == "workflow_dispatch":
                inputs = _inputs(sheet, sheet.keys(config, what, ("inputs",)).get("inputs"))
            elif key.text == "workflow_call":
                call = read_callable(sheet, config)
            else:
                _filters(sheet, key.text, config)
    if not node.pairs:
        sheet.note(node, "`on` is empty; name an event, such as workflow_dispatch")
    return Triggers(tuple(events), inputs, schedules, call)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _filters(sheet: Sheet, event: str, config: Mapping) -> None:
    what = f"`on.{event}`"
    types = _TYPES[event].split()
    filters = _FILTERS.get(event, ())
    has_types = bool(types) or event == "repository_dispatch"
    found = sheet.keys(config, what, ("types", *filters) if has_types else filters)
    for text in sheet.texts(found.get("types"), f"a type of {what}"):
        if types and text.text not in types:
            sheet.note(text.node, f"{what} has no type `{quoted(text.text)}`; {meant(text.text, types)}")
    for name in filters:
        for text in sheet.texts(found.get(name), f"a pattern in `on.{event}.{name}`"):
            if name != "workflows" and (problem := glob_problem(text.text, path=name.startswith("paths"))):
                sheet.note(text.node, f"the pattern `{quoted(text.text)}` is not valid: {problem}")
        if name in found and f"{name}-ignore" in found:
            message = f"{what} has both `{name}` and `{name}-ignore`; keep one (`!` patterns exclude)"
            sheet.note(found[f"{name}-ignore"], message)


def _schedules(sheet: Sheet, node: Node) -> tuple[Schedule, ...]:
    if not isinstance(node, Sequence):
        sheet.note(node, f"`on.schedule` must be a list of `- cron: '0 6 * * *'` lines, not {kind(node)}")
        return ()
    schedules = []
    for item in node.items:
        if (entry := sheet.mapping(item, "an entry of `on.schedule`")) is None:
            continue
        found = sheet.keys(entry, "an entry of `on.schedule`", ("cron", "timezone"))
        cron = sheet.plain(found.get("cron"), "`cron`")
        timezone = sheet.plain(found.get("timezone"), "`timezone`")
        if "cron" not in found:
            sheet.note(entry, "an entry of `on.schedule` has no `cron`; add one, such as `cron: '0 6 * * *'`")
        elif cron is not None and (problem := cron_problem(cron)):
            sheet.note(found["cron"], f"the cron line `{quoted(cron)}` is not valid: {problem}")
        elif cron is not None:
            schedules.append(Schedule(cron, timezone or "", found["cron"].line, found["cron"].column))
    return tuple(schedules)


def _inputs(sheet: Sheet, node: Node | None) -> tuple[DispatchInput, ...]:
    if node is None or (mapping := sheet.mapping(node, "`on.workflow_dispatch.inputs`")) is None:
        return ()
    inputs = []
    for key, value in mapping.pairs:
        if not key.text:
            sheet.note(key, "an input needs a name")
        elif (config := sheet.mapping(value, f"the input `{quoted(key.text)}`")) is not None:
            inputs.append(_input(sheet, key.text, config))
    return tuple(inputs)


def _input(sheet: Sheet, name: str, config: Mapping) -> DispatchInput:
    what = f"the input `{quoted(name)}`"
    found = sheet.keys(config, what, ("description", "type", "required", "default", "options"))
    description = sheet.plain(found.get("description"), f"the description of {what}", empty=True) or ""
    required = sheet.boolean(found.get("required"), f"`required` of {what}")
    type_ = _input_type(sheet, found.get("type"), what)
    options = tuple(text.text for text in sheet.texts(found.get("options"), f"an option of {what}"))
    if (type_ is InputType.CHOICE) != bool(options) and (type_ is InputType.CHOICE or "options" in found):
        wanted = "add `options`, a list" if type_ is InputType.CHOICE else "only `type: choice` has options"
        sheet.note(found.get("options", config), f"{what} is of the type {type_}; {wanted}")
    default = _default(sheet, found.get("default"), what, type_, options)
    is_required = required is not None and required.node.value is True
    return DispatchInput(name, type_, description, is_required, default, options)


def _input_type(sheet: Sheet, node: Node | None, what: str) -> InputType:
    text = sheet.plain(node, f"the type of {what}")
    if text is None or node is None:
        return InputType.STRING
    if text not in list(InputType):
        sheet.note(node, f"{what} has no type `{quoted(text)}`; {meant(text, list(InputType))}")
        return InputType.STRING
    return InputType(text)


def _default(
    sheet: Sheet, node: Node | None, what: str, type_: InputType, options: tuple[str, ...]
) -> str | None:
    text = sheet.text(node, f"the default of {what}", empty=True)
    if text is None:
        return None
    value = text.node.value
    if type_ is InputType.BOOLEAN and not isinstance(value, bool):
        sheet.note(text.node, f"the default of {what} must be true or false, without quotes")
    elif type_ is InputType.NUMBER and (isinstance(value, bool) or not isinstance(value, float)):
        sheet.note(text.node, f"the default of {what} must be a number, without quotes")
    elif type_ is InputType.CHOICE and options and text.text not in options:
        sheet.note(text.node, f"the default of {what} is none of its options; {meant(text.text, options)}")
    else:
        return text.text
    return None
