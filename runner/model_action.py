"""`action.yml`: an action as data, every rule of its format checked."""

from __future__ import annotations

from dataclasses import dataclass

from clockmesh.runner.errors import WorkflowError, quoted
from clockmesh.runner.model import Named, Step, Text
from clockmesh.runner.model_availability import ACTION_IF, ACTION_INPUT, ACTION_OUTPUT
from clockmesh.runner.model_sheet import Sheet, kind, meant
from clockmesh.runner.model_steps import OF_AN_ACTION, read_steps
from clockmesh.runner.reader import Mapping, Node, Scalar, read_yaml

FILES = ("action.yml", "action.yaml")
"""In the order in which they are looked for."""

NODE_VERSIONS = {"node12": 12, "node16": 16, "node20": 20, "node24": 24}

_KEYS = ("name", "author", "description", "inputs", "outputs", "branding", "runs")
_OF_COMPOSITE = ("using", "steps")
_OF_NODE = ("using", "main", "pre", "pre-if", "post", "post-if")
_INPUT_KEYS = ("description", "required", "default", "deprecationMessage", "type")


@dataclass(frozen=True, slots=True)
class ActionInput:
    name: str
    default: Text | None
    deprecation: str = ""


@dataclass(frozen=True, slots=True)
class Composite:
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A JavaScript action: files below the action's folder."""

    version: int
    """Of Node.js, the major one."""
    main: str
    pre: str
    post: str
    """'' for none."""
    post_condition: Text | None


@dataclass(frozen=True, slots=True)
class Action:
    file: str
    """As errors name it."""
    inputs: tuple[ActionInput, ...]
    outputs: Named
    """Of a composite action; others say theirs themselves."""
    runs: Composite | Script


def read_action(data: bytes, file: str) -> Action:
    """The action in a file's bytes. Raises WorkflowError."""
    root = read_yaml(data, file)
    if not isinstance(root, Mapping):
        raise WorkflowError(file, root.line, root.column, f"an action must be a mapping with `runs`, not {kind(root)}")
    sheet = Sheet(file)
    found = sheet.keys(root, "an action", _KEYS)
    inputs = tuple(_input(sheet, key, value) for key, value in _entries(sheet, found.get("inputs"), "`inputs`"))
    runs = _runs(sheet, root, found.get("runs"))
    outputs = _outputs(sheet, found.get("outputs"), needed=isinstance(runs, Composite))
    sheet.finish()
    assert runs is not None
    return Action(file, inputs, outputs, runs)


def _entries(sheet: Sheet, node: Node | None, what: str) -> tuple[tuple[Scalar, Node], ...]:
    if node is None or _is_null(node) or (mapping := sheet.mapping(node, what)) is None:
        return ()
    return mapping.pairs


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _input(sheet: Sheet, name: Scalar, config: Node) -> ActionInput:
    what = f"the input `{quoted(name.text)}`"
    mapping = None if _is_null(config) else sheet.mapping(config, what)
    found = sheet.keys(mapping, what, _INPUT_KEYS) if mapping else {}
    default = sheet.text(found.get("default"), f"the default of {what}", ACTION_INPUT, empty=True)
    deprecation = sheet.plain(found.get("deprecationMessage"), f"`deprecationMessage` of {what}", empty=True)
    return ActionInput(name.text, default, deprecation or "")


def _outputs(sheet: Sheet, node: Node | None, *, needed: bool) -> Named:
    outputs = []
    for name, config in _entries(sheet, node, "`outputs`"):
        what = f"the output `{quoted(name.text)}`"
        mapping = None if _is_null(config) else sheet.mapping(config, what)
        found = sheet.keys(mapping, what, ("description", "value")) if mapping else {}
        value = sheet.text(found.get("value"), f"the value of {what}", ACTION_OUTPUT, empty=True)
        if value is not None:
            outputs.append((name.text, value))
        elif needed and "value" not in found:
            sheet.note(name, f"{what} of a composite action has no `value`; add one")
    return tuple(outputs)


def _runs(sheet: Sheet, root: Mapping, node: Node | None) -> Composite | Script | None:
    if node is None:
        sheet.note(root, "the action has no `runs`; add `runs:` with `using: composite` and `steps`")
        return None
    if (mapping := sheet.mapping(node, "`runs`")) is None:
        return None
    using = mapping.get("using")
    kind_of_action = sheet.plain(using, "`using`") if using else None
    if kind_of_action is None:
        sheet.note(mapping, "`runs` has no `using`; add `using: composite` or `using: node20`")
        return None
    if kind_of_action == "composite":
        return _composite(sheet, mapping)
    if kind_of_action.lower() in NODE_VERSIONS:
        return _script(sheet, mapping, NODE_VERSIONS[kind_of_action.lower()])
    if kind_of_action == "docker":
        message = "an action that runs in a container (`using: docker`) is not supported yet; use a `run` step"
    else:
        hint = meant(kind_of_action, ("composite", *NODE_VERSIONS))
        message = f"`using` cannot be `{quoted(kind_of_action)}`; {hint}"
    sheet.note(using or mapping, message)
    return None


def _composite(sheet: Sheet, node: Mapping) -> Composite | None:
    found = sheet.keys(node, "`runs` of a composite action", _OF_COMPOSITE)
    if "steps" not in found:
        sheet.missing(node, found, node, "`runs` of a composite action has no `steps`; add some")
        return None
    return Composite(read_steps(sheet, found["steps"], OF_AN_ACTION))


def _script(sheet: Sheet, node: Mapping, version: int) -> Script | None:
    found = sheet.keys(node, "`runs` of a JavaScript action", _OF_NODE)
    files = {key: sheet.plain(found.get(key), f"`{key}`") or "" for key in ("main", "pre", "post")}
    sheet.condition(found.get("pre-if"), "`pre-if`", ACTION_IF)
    condition = sheet.condition(found.get("post-if"), "`post-if`", ACTION_IF)
    if not files["main"]:
        sheet.missing(node, found, node, "`runs` of a JavaScript action has no `main`; name the file to run")
        return None
    return Script(version, files["main"], files["pre"], files["post"], condition)
