"""Workflows that call one another: `on.workflow_call` of the called one, `uses` of the calling job."""

from __future__ import annotations

from clockmesh.runner.errors import quoted
from clockmesh.runner.model import Call, Callable, CallInput, CallSecret, InputType, Named, Text
from clockmesh.runner.model_availability import CALL_DEFAULT, CALL_OUTPUT, CALL_SECRET, CALL_WITH, CONSTANT
from clockmesh.runner.model_sheet import Sheet, meant
from clockmesh.runner.reader import Mapping, Node, Scalar

_TYPES = ("boolean", "number", "string")

def read_callable(sheet: Sheet, node: Mapping) -> Callable:
    """What a reusable workflow declares; problems are noted on the sheet."""
    found = sheet.keys(node, "`on.workflow_call`", ("inputs", "outputs", "secrets"))
    entries = _entries(sheet, found.get("inputs"), "`on.workflow_call.inputs`")
    inputs = [_input(sheet, name, config) for name, config in entries]
    outputs = []
    for name, config in _entries(sheet, found.get("outputs"), "`on.workflow_call.outputs`"):
        if (value := _output(sheet, name, config)) is not None:
            outputs.append((name.text, value))
    secrets = [
        _secret(sheet, name, config)
        for name, config in _entries(sheet, found.get("secrets"), "`on.workflow_call.secrets`")
    ]
    return Callable(tuple(each for each in inputs if each is not None), tuple(outputs), tuple(secrets))


def _entries(sheet: Sheet, node: Node | None, what: str) -> tuple[tuple[Scalar, Node], ...]:
    if node is None or (mapping := sheet.mapping(node, what)) is None:
        return ()
    return mapping.pairs


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _input(sheet: Sheet, name: Scalar, config: Node) -> CallInput | None:
    what = f"the input `{quoted(name.text)}`"
    mapping = None if _is_null(config) else sheet.mapping(config, what)
    keys = sheet.keys(mapping, what, ("description", "type", "required", "default")) if mapping else {}
    if "type" not in keys:
        sheet.note(name, f"{what} has no `type`; add one of {', '.join(_TYPES)}")
        return None
    required = sheet.boolean(keys.get("required"), f"`required` of {what}")
    type_ = sheet.plain(keys["type"], f"the type of {what}")
    default = sheet.text(keys.get("default"), f"the default of {what}", CALL_DEFAULT, empty=True)
    if type_ is None or type_ not in _TYPES:
        if type_ is not None:
            sheet.note(keys["type"], f"{what} has no type `{quoted(type_)}`; {meant(type_, _TYPES)}")
        return None
    return CallInput(name.text, InputType(type_), required is not None and required.node.value is True, default)


def _output(sheet: Sheet, name: Scalar, config: Node) -> Text | None:
    what = f"the output `{quoted(name.text)}`"
    mapping = None if _is_null(config) else sheet.mapping(config, what)
    keys = sheet.keys(mapping, what, ("description", "value")) if mapping else {}
    if "value" not in keys:
        sheet.note(name, f"{what} has no `value`; add one")
        return None
    return sheet.text(keys["value"], f"the value of {what}", CALL_OUTPUT, empty=True)


def _secret(sheet: Sheet, name: Scalar, config: Node) -> CallSecret:
    what = f"the secret `{quoted(name.text)}`"
    mapping = None if _is_null(config) else sheet.mapping(config, what)
    keys = sheet.keys(mapping, what, ("description", "required")) if mapping else {}
    required = sheet.boolean(keys.get("required"), f"`required` of {what}")
    return CallSecret(name.text, required is not None and required.node.value is True)


def read_call(sheet: Sheet, found: dict[str, Node]) -> Call | None:
    """What a job says that calls a workflow; None where its `uses` is wrong."""
    uses = sheet.text(found["uses"], "`uses` of a job", CONSTANT)
    arguments = sheet.named(found.get("with"), "`with`", CALL_WITH)
    secrets, inherits = _given_secrets(sheet, found.get("secrets"))
    if uses is None or (problem := _problem(uses)):
        if uses is not None:
            sheet.note(uses.node, problem)
        return None
    return Call(uses, arguments, secrets, inherits)


def _problem(uses: Text) -> str:
    """Why no workflow can be called so; '' if one can."""
    shown = f"`uses: {quoted(uses.text)}` of a job"
    wanted = "`./.github/workflows/NAME.yml`"
    if uses.has_expression:
        return f"an expression as {shown} is not supported yet; write {wanted}"
    if not uses.text.startswith("./"):
        if "/" in uses.text and "@" in uses.text:
            return f"{shown} is not supported yet; keep a copy in the repository and call it by {wanted}"
        return f"{shown} names no workflow; write {wanted}"
    if "@" in uses.text or ".." in uses.text.split("/"):
        return f"a workflow of the repository is called by {wanted}, not `{quoted(uses.text)}`"
    return ""


def _given_secrets(sheet: Sheet, node: Node | None) -> tuple[Named, bool]:
    if isinstance(node, Scalar) and node.value is not None:
        if node.text != "inherit":
            sheet.note(node, f"`secrets` must be `inherit` or a mapping, not `{quoted(node.text)}`")
        return (), node.text == "inherit"
    return sheet.named(node, "`secrets`", CALL_SECRET), False
