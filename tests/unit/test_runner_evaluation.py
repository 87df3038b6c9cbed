from __future__ import annotations

import pytest

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import Status
from clockmesh.runner.model import Text
from clockmesh.runner.reader import Mapping, Scalar, read_yaml
from tests.unit.runner_workflows import job, read


def _text(value: str) -> Text:
    tree = read_yaml(f"x: {value}".encode(), "w.yml")
    assert isinstance(tree, Mapping)
    node = tree.get("x")
    assert isinstance(node, Scalar)
    return Text(node)


SCOPE = Scope("w.yml", {"matrix": {"n": 3, "flag": True, "word": "5"}}, lambda patterns: "+".join(patterns))


def test_values_keep_their_kind() -> None:
    assert SCOPE.value(_text("${{ matrix.n }}")) == 3
    assert SCOPE.value(_text("true")) is True
    assert SCOPE.text(_text("3.10")) == "3.1"
    assert SCOPE.text(_text("n=${{ matrix.n }} ${{ hashFiles('a', 'b') }}")) == "n=3 a+b"
    assert SCOPE.named((("A", _text("${{ matrix.flag }}")),)) == {"A": "true"}


def test_names_may_be_expressions_and_an_expression_may_stand_for_many() -> None:
    env = "env:\n  A: 1\n  ${{ insert }}: ${{ fromJSON('{\"B\":2}') }}\n  ${{insert}}: {C: 3}\n  D${{ inputs.n }}: 4"
    scope = Scope("w.yml", {"inputs": {"n": "x"}})
    assert scope.named(read(job(env)).jobs[0].env) == {"A": "1", "B": "2", "C": "3", "Dx": "4"}
    whole = read(job("env: ${{ fromJSON('{\"A\":true}') }}")).jobs[0].env
    assert scope.named(whole) == {"A": "true"}
    with pytest.raises(WorkflowError, match=r"w\.yml:6:10: this must come to an object, not"):
        scope.named(read(job("env: ${{ fromJSON('[1]') }}")).jobs[0].env)


def test_what_is_not_there_has_its_default() -> None:
    assert SCOPE.text(None, "bash") == "bash"
    assert SCOPE.boolean(None) is False
    assert SCOPE.holds(None, Status()) is True
    assert SCOPE.holds(None, Status(success=False)) is False


def test_numbers_may_be_spelled() -> None:
    assert SCOPE.number(_text("${{ matrix.word }}")) == 5.0
    assert SCOPE.number(_text("1.5")) == 1.5


@pytest.mark.parametrize("expression", ["matrix.flag", "'x'", "''", "0", "-1", "null"])
def test_a_number_that_is_none_is_refused(expression: str) -> None:
    with pytest.raises(WorkflowError, match=r"w\.yml:1:4: this must come to a number"):
        SCOPE.number(_text(f"${{{{ {expression} }}}}"))


def test_a_boolean_that_is_none_is_refused() -> None:
    with pytest.raises(WorkflowError, match="must come to true or false, not a number"):
        SCOPE.boolean(_text("${{ matrix.n }}"))


def test_errors_of_evaluation_have_the_place_of_their_text() -> None:
    with pytest.raises(WorkflowError) as raised:
        SCOPE.text(_text("|\n  one\n  two ${{ fromJSON('{') }}\n"))
    assert str(raised.value).startswith("w.yml:3:11: fromJSON was given a text that is not JSON")
    with pytest.raises(WorkflowError, match=r"w\.yml:1:4: there is no context `steps` here"):
        SCOPE.holds(_text("steps.x"), Status())
