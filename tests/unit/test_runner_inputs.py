from __future__ import annotations

import pytest

from clockmesh.runner.errors import InputError
from clockmesh.runner.inputs import complete_inputs, inputs_context
from tests.unit.runner_workflows import read

WORKFLOW = read("""\
on:
  push:
  workflow_dispatch:
    inputs:
      text: {default: plain}
      flag: {type: boolean, default: true}
      other-flag: {type: boolean}
      pick: {type: choice, options: [tea, mate], default: mate}
      count: {type: number, default: 7}
      blank: {type: string}
      target: {type: environment, required: true}
jobs: {a: {runs-on: x}}
""")


def _complete(**given: str) -> dict[str, str]:
    return dict(complete_inputs(WORKFLOW, given, "workflow_dispatch"))


def test_defaults_are_filled_in_as_text_sorted_by_name() -> None:
    pairs = complete_inputs(WORKFLOW, {"target": "prod"}, "workflow_dispatch")
    assert pairs == (
        ("blank", ""), ("count", "7"), ("flag", "true"), ("other-flag", "false"), ("pick", "mate"), ("target", "prod"),
        ("text", "plain"),
    )  # fmt: skip


def test_the_context_has_booleans_and_numbers() -> None:
    pairs = complete_inputs(WORKFLOW, {"target": "prod", "FLAG": "False", "count": "1.50"}, "workflow_dispatch")
    assert dict(pairs)["count"] == "1.5"
    context = inputs_context(WORKFLOW, pairs)
    assert (context["flag"], context["other-flag"], context["count"], context["pick"]) == (False, False, 1.5, "mate")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"target": "x", "tex": "y"}, "w.yml has no input 'tex'; did you mean `text`?"),
        ({}, "the input 'target' is required; give it with --input target=VALUE"),
        ({"target": ""}, "the input 'target' is required and cannot be empty"),
        ({"target": "x", "pick": "coffee"}, "the input 'pick' cannot be 'coffee'; there are: mate, tea"),
        ({"target": "x", "flag": "yes"}, "the input 'flag' must be true or false, not 'yes'"),
        ({"target": "x", "count": "many"}, "the input 'count' must be a number, not 'many'"),
        ({"target": "x", "count": ""}, "the input 'count' must be a number, not ''"),
        ({"target": "x", "TARGET": "y"}, "the input 'target' is given twice"),
        ({"target": "x" * 70_000}, "the inputs have more than 65535 characters together"),
    ],
)
def test_a_wrong_input_is_named(given: dict[str, str], line: str) -> None:
    with pytest.raises(InputError) as raised:
        _complete(**given)
    assert str(raised.value) == line


def test_only_a_dispatch_takes_inputs() -> None:
    assert complete_inputs(WORKFLOW, {}, "push") == ()
    assert inputs_context(WORKFLOW, ()) == {}
    with pytest.raises(InputError, match="it takes none"):
        complete_inputs(WORKFLOW, {"text": "x"}, "push")
