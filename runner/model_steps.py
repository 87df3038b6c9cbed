"""`steps`: what a job does, one after another."""

from __future__ import annotations

from clockmesh.runner.errors import quoted
from clockmesh.runner.model import Named, Step, Text
from clockmesh.runner.model_availability import CONSTANT, STEP, STEP_IF
from clockmesh.runner.model_sheet import Sheet, kind, meant
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

CHECKOUT = "actions/checkout"

CHECKOUT_INPUTS = frozenset({"path", "ref", "fetch-depth", "clean", "persist-credentials", "show-progress"})
"""What the built-in checkout understands of the `with` of actions/checkout."""


def read_steps(sheet: Sheet, node: Node) -> tuple[Step, ...]:
    """The steps of a job; problems are noted on the sheet."""
    if not isinstance(node, Sequence):
        sheet.note(node, f"`steps` must be a list (`- run: ...` lines), not {kind(node)}")
        return ()
    if not node.items:
        sheet.note(node, "`steps` is empty; add a step, such as `- run: make`")
    steps = []
    seen: dict[str, Scalar] = {}
    for item in node.items:
        if (mapping := sheet.mapping(item, "a step")) is not None:
            steps.append(_step(sheet, mapping, seen))
    return tuple(steps)


def _step(sheet: Sheet, node: Mapping, seen: dict[str, Scalar]) -> Step:
    found = sheet.keys(node, "a step", _KEYS, _UNSUPPORTED)
    _check_kind(sheet, node, found)
    uses = sheet.text(found.get("uses"), "`uses`")
    arguments = sheet.named(found.get("with"), "`with`", STEP)
    if uses is not None and _is_checkout(sheet, uses):
        _check_checkout(sheet, node)
    return Step(
        line=node.line,
        column=node.column,
        id=_step_id(sheet, found.get("id"), seen),
        name=sheet.text(found.get("name"), "`name` of a step", STEP, empty=True),
        condition=sheet.condition(found.get("if"), "`if` of a step", STEP_IF),
        run=sheet.text(found.get("run"), "`run`", STEP, empty=True),
        uses=uses,
        arguments=arguments,
        env=sheet.named(found.get("env"), "`env` of a step", STEP),
        shell=sheet.text(found.get("shell"), "`shell` of a step", CONSTANT),
        working_directory=sheet.text(found.get("working-directory"), "`working-directory`", STEP),
        continue_on_error=sheet.boolean(found.get("continue-on-error"), "`continue-on-error`", STEP),
        timeout_minutes=sheet.number(found.get("timeout-minutes"), "`timeout-minutes`", STEP),
    )


def _check_kind(sheet: Sheet, node: Mapping, found: dict[str, Node]) -> None:
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


def _is_checkout(sheet: Sheet, uses: Text) -> bool:
    """Whether a step uses actions/checkout; all other actions are noted as not supported."""
    action, _, version = uses.text.partition("@")
    if action.lower().rstrip("/") != CHECKOUT:
        sheet.note(
            uses.node,
            f"`uses: {quoted(uses.text)}` is not supported yet; only {CHECKOUT} is built in: do it in a `run` step",
        )
        return False
    if not version:
        sheet.note(uses.node, f"`uses: {quoted(uses.text)}` names no version; write `{CHECKOUT}@v4`")
    return True


def _check_checkout(sheet: Sheet, node: Mapping) -> None:
    given = node.get("with")
    for key, _ in given.pairs if isinstance(given, Mapping) else ():
        if key.text.lower() not in CHECKOUT_INPUTS:
            hint = meant(key.text, CHECKOUT_INPUTS)
            sheet.note(key, f"`{quoted(key.text)}` of {CHECKOUT} is not supported yet; {hint}")


def is_checkout(step: Step) -> bool:
    """Whether a step of a workflow that was read is the built-in checkout."""
    return step.uses is not None


def argument(arguments: Named, name: str) -> Text | None:
    """The value given for one input of a step, its name in any letter case."""
    return next((text for key, text in arguments if key.lower() == name), None)
