"""The inputs of a dispatched run: checked against what the workflow declares, defaults filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping

from clockmesh.runner.errors import InputError, quoted
from clockmesh.runner.expressions import Value, number_text, to_number
from clockmesh.runner.model import DispatchInput, InputType, Workflow
from clockmesh.runner.model_sheet import meant

MAX_VALUE = 65_535
"""Characters of all values together, as on GitHub."""


def complete_inputs(workflow: Workflow, given: Mapping[str, str], event: str) -> tuple[tuple[str, str], ...]:
    """Every declared input as text, sorted by name; none for another event than workflow_dispatch, but for a schedule
    that was given some.

    Raises InputError, which names the input.
    """
    takes_inputs = event == "workflow_dispatch" or (event == "schedule" and given)
    declared = workflow.triggers.inputs if takes_inputs else ()
    values: dict[str, str] = {}
    for name, value in given.items():
        known = next((each for each in declared if each.name.lower() == name.lower()), None)
        if known is None:
            hint = meant(name, [each.name for each in declared]) if declared else "it takes none"
            raise InputError(f"{workflow.file} has no input '{quoted(name)}'; {hint}")
        if known.name in values:
            raise InputError(f"the input '{known.name}' is given twice")
        values[known.name] = _checked(known, value)
    for known in declared:
        if known.name not in values:
            values[known.name] = _default(known)
    if sum(map(len, values.values())) > MAX_VALUE:
        raise InputError(f"the inputs have more than {MAX_VALUE} characters together")
    return tuple(sorted(values.items()))


def inputs_context(workflow: Workflow, inputs: tuple[tuple[str, str], ...]) -> dict[str, Value]:
    """The `inputs` context: booleans and numbers as such, all else as text."""
    texts = dict(inputs)
    return {known.name: _typed(known, texts[known.name]) for known in workflow.triggers.inputs if known.name in texts}


def _checked(known: DispatchInput, value: str) -> str:
    if known.type is InputType.BOOLEAN:
        if value.lower() not in ("true", "false"):
            raise InputError(f"the input '{known.name}' must be true or false, not '{quoted(value)}'")
        return value.lower()
    if known.type is InputType.NUMBER:
        number = to_number(value) if value.strip() else math.nan
        if not math.isfinite(number):
            raise InputError(f"the input '{known.name}' must be a number, not '{quoted(value)}'")
        return number_text(number)
    if known.type is InputType.CHOICE and value not in known.options:
        raise InputError(f"the input '{known.name}' cannot be '{quoted(value)}'; {meant(value, known.options)}")
    if known.required and not value:
        raise InputError(f"the input '{known.name}' is required and cannot be empty")
    return value


def _default(known: DispatchInput) -> str:
    if known.default is not None:
        return known.default
    if known.required:
        raise InputError(f"the input '{known.name}' is required; give it with --input {known.name}=VALUE")
    return "false" if known.type is InputType.BOOLEAN else ""


def _typed(known: DispatchInput, text: str) -> Value:
    if known.type is InputType.BOOLEAN:
        return text == "true"
    if known.type is InputType.NUMBER:
        return to_number(text) if text else None
    return text
