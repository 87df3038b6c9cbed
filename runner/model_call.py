"""`on.workflow_call`: checked and kept as a name, for a run here is never a call.

A workflow that can be called and dispatched too runs here by its dispatch.
"""

from __future__ import annotations

from clockmesh.runner.errors import quoted
from clockmesh.runner.model_availability import CALL_DEFAULT, CALL_OUTPUT
from clockmesh.runner.model_sheet import Sheet, meant
from clockmesh.runner.reader import Mapping, Node, Scalar

_TYPES = ("boolean", "number", "string")


def check_call(sheet: Sheet, node: Mapping) -> None:
    """Notes what is wrong with the inputs, outputs and secrets that a reusable workflow declares."""
    found = sheet.keys(node, "`on.workflow_call`", ("inputs", "outputs", "secrets"))
    for name, config in _entries(sheet, found.get("inputs"), "`on.workflow_call.inputs`"):
        _check_input(sheet, name, config)
    for name, config in _entries(sheet, found.get("outputs"), "`on.workflow_call.outputs`"):
        _check_output(sheet, name, config)
    for name, config in _entries(sheet, found.get("secrets"), "`on.workflow_call.secrets`"):
        if not _is_null(config):
            what = f"the secret `{quoted(name.text)}`"
            mapping = sheet.mapping(config, what)
            keys = sheet.keys(mapping, what, ("description", "required")) if mapping else {}
            sheet.boolean(keys.get("required"), f"`required` of {what}")


def _entries(sheet: Sheet, node: Node | None, what: str) -> tuple[tuple[Scalar, Node], ...]:
    if node is None or (mapping := sheet.mapping(node, what)) is None:
        return ()
    return mapping.pairs


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _check_input(sheet: Sheet, name: Scalar, config: Node) -> None:
    what = f"the input `{quoted(name.text)}`"
    mapping = None if _is_null(config) else sheet.mapping(config, what)
    keys = sheet.keys(mapping, what, ("description", "type", "required", "default")) if mapping else {}
    if "type" not in keys:
        sheet.note(name, f"{what} has no `type`; add one of {', '.join(_TYPES)}")
        return
    sheet.boolean(keys.get("required"), f"`required` of {what}")
    type_ = sheet.plain(keys["type"], f"the type of {what}")
    if type_ is not None and type_ not in _TYPES:
        sheet.note(keys["type"], f"{what} has no type `{quoted(type_)}`; {meant(type_, _TYPES)}")
    sheet.text(keys.get("default"), f"the default of {what}", CALL_DEFAULT, empty=True)


def _check_output(sheet: Sheet, name: Scalar, config: Node) -> None:
    what = f"the output `{quoted(name.text)}`"
    mapping = None if _is_null(config) else sheet.mapping(config, what)
    keys = sheet.keys(mapping, what, ("description", "value")) if mapping else {}
    if "value" not in keys:
        sheet.note(name, f"{what} has no `value`; add one")
    else:
        sheet.text(keys["value"], f"the value of {what}", CALL_OUTPUT, empty=True)
