"""`steps`: what a job does, one after another."""

from __future__ import annotations

from dataclasses import dataclass

from clockmesh.runner.model import Named, Step, Text
from clockmesh.runner.model_availability import CONSTANT, STEP, STEP_IF, STEP_OF_ACTION, STEP_OF_ACTION_IF, Allowed
from clockmesh.runner.model_sheet import Sheet, kind
from clockmesh.runner.model_uses import check_uses
from clockmesh.runner.reader import Mapping, Node, Scalar, Sequence

_KEYS = (
    "id",
    "name",
    "if",
    "run",
    "uses",
    "with",
    "env",
    "shell",
    "working-directory",
    "continue-on-error",
    "timeout-minutes",
)
_UNSUPPORTED = ("background", "wait", "wait-all", "cancel")
_ONLY_OF_RUN = ("shell", "working-directory")


@dataclass(frozen=True, slots=True)
class Rules:
    """What differs between the steps of a job and those of a composite action."""

    keys: tuple[str, ...]
    values: Allowed
    condition: Allowed
    shell: Allowed
    shell_needed: bool


OF_A_JOB = Rules(_KEYS, STEP, STEP_IF, CONSTANT, shell_needed=False)
OF_AN_ACTION = Rules(
    tuple(key for key in _KEYS if key != "timeout-minutes"),
    STEP_OF_ACTION,
    STEP_OF_ACTION_IF,
    STEP_OF_ACTION,
    shell_needed=True,
)


def read_steps(sheet: Sheet, node: Node, rules: Rules = OF_A_JOB) -> tuple[Step, ...]:
    """The steps of a job or of a composite action; problems are noted on the sheet."""
    if not isinstance(node, Sequence):
        sheet.note(node, f"`steps` must be a list (`- run: ...` lines), not {kind(node)}")
        return ()
    if not node.items:
        sheet.note(node, "`steps` is empty; add a step, such as `- run: make`")
    steps = []
    seen: dict[str, Scalar] = {}
    for item in node.items:
        if (mapping := sheet.mapping(item, "a step")) is not None:
            steps.append(_step(sheet, mapping, seen, rules))
    return tuple(steps)


def _step(sheet: Sheet, node: Mapping, seen: dict[str, Scalar], rules: Rules) -> Step:
    found = sheet.keys(node, "a step", rules.keys, _UNSUPPORTED)
    _check_kind(sheet, node, found, rules)
    uses = sheet.text(found.get("uses"), "`uses`")
    if uses is not None:
        check_uses(sheet, uses, node.get("with"))
    values = rules.values
    return Step(
        line=node.line,
        column=node.column,
        id=_step_id(sheet, found.get("id"), seen),
        name=sheet.text(found.get("name"), "`name` of a step", values, empty=True),
        condition=sheet.condition(found.get("if"), "`if` of a step", rules.condition),
        run=sheet.text(found.get("run"), "`run`", values, empty=True),
        uses=uses,
        arguments=sheet.named(found.get("with"), "`with`", values),
        env=sheet.named(found.get("env"), "`env` of a step", values),
        shell=sheet.text(found.get("shell"), "`shell` of a step", rules.shell),
        working_directory=sheet.text(found.get("working-directory"), "`working-directory`", values),
        continue_on_error=sheet.boolean(found.get("continue-on-error"), "`continue-on-error`", values),
        timeout_minutes=sheet.number(found.get("timeout-minutes"), "`timeout-minutes`", values),
    )


def _check_kind(sheet: Sheet, node: Mapping, found: dict[str, Node], rules: Rules) -> None:
    """A step has exactly one of `run` and `uses`, and only what goes with it."""
    if "run" in found and "uses" in found:
        sheet.note(_key(node, "uses"), "a step has either `run` or `uses`, not both; make two steps of it")
    elif "run" in found and "with" in found:
        sheet.note(_key(node, "with"), "a step with `run` has no `with`; pass values in `env`")
    elif "uses" in found:
        for name in _ONLY_OF_RUN:
            if name in found:
                sheet.note(_key(node, name), f"a step with `uses` has no `{name}`; remove it")
    elif "run" not in found:
        sheet.missing(node, found, node, "a step needs `run` or `uses`; add `run: <command>`")
    elif rules.shell_needed and "shell" not in found:
        sheet.missing(node, found, _key(node, "run"), "`run` in an action needs a `shell`; add `shell: bash`")


def _key(node: Mapping, name: str) -> Scalar:
    return next(key for key, _ in node.pairs if key.text == name)


def _step_id(sheet: Sheet, node: Node | None, seen: dict[str, Scalar]) -> str:
    if node is None or (scalar := sheet.scalar(node, "the id of a step")) is None:
        return ""
    if not sheet.identifier(scalar, "the step id"):
        return ""
    first = seen.setdefault(scalar.text.lower(), scalar)
    if first is not scalar:
        message = f"the step id `{scalar.text}` is taken in line {first.line}; choose another"
        sheet.note(scalar, message)
    return scalar.text


def argument(arguments: Named, name: str) -> Text | None:
    """The value given for one input of a step, its name in any letter case."""
    return next((text for key, text in arguments if key.lower() == name), None)
