"""What a job passes to the workflow that it calls, and whether that takes it."""

from __future__ import annotations

import math

from clockmesh.runner.errors import Problem, WorkflowError, quoted
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import Value, to_number, to_text
from clockmesh.runner.expressions_values import kind_of
from clockmesh.runner.model import Call, Callable, CallInput, InputType, Text, Workflow
from clockmesh.runner.model_sheet import meant
from clockmesh.runner.model_steps import argument

_UNSET: dict[InputType, Value] = {InputType.BOOLEAN: False, InputType.NUMBER: 0, InputType.STRING: ""}


def check_call(call: Call, called: Workflow, file: str) -> None:
    """Raises WorkflowError, `file` being the caller's, for what the called workflow does not take or misses."""
    if problems := _problems(call, called):
        first, *others = problems
        raise WorkflowError(file, first.line, first.column, first.message, tuple(others))


def _problems(call: Call, called: Workflow) -> list[Problem]:
    declared = called.triggers.call
    uses = call.uses
    if declared is None:
        message = f"`{called.file}` cannot be called; add `workflow_call:` under its `on:`"
        return [Problem(uses.line, uses.column, message)]
    found = []
    inputs = {each.name.lower(): each for each in declared.inputs}
    for name, text in call.arguments:
        if not name:
            continue  # an expression for all of them
        known = inputs.get(name.lower())
        if known is None:
            hint = meant(name, [each.name for each in declared.inputs])
            found.append(Problem(text.line, text.column, f"`{called.file}` has no input `{quoted(name)}`; {hint}"))
        elif not text.has_expression and (wrong := _wrong(known, text.node.value)):
            found.append(Problem(text.line, text.column, wrong))
    names = [each.name for each in declared.secrets]
    folded = {name.lower() for name in names}
    found += [
        Problem(text.line, text.column, f"`{called.file}` has no secret `{quoted(name)}`; {meant(name, names)}")
        for name, text in call.secrets
        if name.lower() not in folded
    ]
    return found + _missing(call, called, declared)


def _missing(call: Call, called: Workflow, declared: Callable) -> list[Problem]:
    """What is required and not given: of less use to know than what was misspelt, so it comes after that."""
    given = {name.lower() for name, _ in call.arguments}
    secret = {name.lower() for name, _ in call.secrets}
    messages = [
        f"`{called.file}` requires the input `{each.name}`; add it under `with`"
        for each in declared.inputs
        if each.required and each.name.lower() not in given
    ] + [
        f"`{called.file}` requires the secret `{each.name}`; add it under `secrets`"
        for each in declared.secrets
        if each.required and not call.inherits and each.name.lower() not in secret
    ]
    return [Problem(call.uses.line, call.uses.column, message) for message in messages]


def call_inputs(call: Call, scope: Scope) -> dict[str, Value]:
    """The context `inputs` of the called workflow; `scope` is the caller's."""
    called = call.workflow
    declared = called.triggers.call if called else None
    inputs: dict[str, Value] = {}
    for each in declared.inputs if declared else ():
        text = argument(call.arguments, each.name.lower())
        place = scope
        if text is None and each.default is not None and called is not None:
            seen = {"github": scope.contexts["github"], "vars": scope.contexts["vars"], "inputs": {}}
            text, place = each.default, Scope(called.file, seen)
        inputs[each.name] = _UNSET[each.type] if text is None else _typed(each, text, place)
    return inputs


def call_secrets(call: Call, scope: Scope) -> Value:
    """The context `secrets` of the called workflow; the run's own token is always in it."""
    own = scope.contexts.get("secrets")
    if call.inherits:
        return own
    token = {name: value for name, value in own.items() if name == "GITHUB_TOKEN"} if isinstance(own, dict) else {}
    return {**token, **scope.named(call.secrets)}


def _typed(known: CallInput, text: Text, scope: Scope) -> Value:
    value = scope.value(text)
    if wrong := _wrong(known, value):
        raise scope.error(text, wrong)
    if known.type is InputType.STRING:
        return scope.text(text)
    if known.type is InputType.BOOLEAN:
        return value if isinstance(value, bool) else value == "true"
    return to_number(value)


def _wrong(known: CallInput, value: Value) -> str:
    """Why a value cannot be that of an input; '' if it can."""
    if known.type is InputType.BOOLEAN and not (isinstance(value, bool) or value in ("true", "false")):
        return f"the input `{known.name}` must be true or false, not {_shown(value)}"
    if known.type is InputType.NUMBER:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and not (isinstance(value, str) and value.strip() and not math.isnan(to_number(value))):
            return f"the input `{known.name}` must be a number, not {_shown(value)}"
    if known.type is InputType.STRING and not (value is None or isinstance(value, str | bool | int | float)):
        return f"the input `{known.name}` must be a text, not {_shown(value)}"
    return ""


def _shown(value: Value) -> str:
    if value is None or isinstance(value, list | dict):
        return kind_of(value)
    return f"`{quoted(to_text(value))}`"
