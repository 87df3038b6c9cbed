"""The expression language against the cases of actions/languageservices and nektos/act."""

from __future__ import annotations

import math
from typing import Any

import pytest

from clockmesh.runner.errors import ExpressionError
from clockmesh.runner.expressions import Value, evaluate
from tests.conformance.cases import cases


def _kind_and_value(value: Value) -> tuple[str, object]:
    if value is None:
        return "Null", None
    if isinstance(value, bool):
        return "Boolean", value
    if isinstance(value, int | float):
        if math.isnan(value):
            return "Number", "NaN"
        return "Number", value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, str):
        return "String", value
    return ("Object", dict(value)) if isinstance(value, dict) else ("Array", list(value))


@pytest.mark.parametrize("case", cases("expressions"))
def test_an_expression_comes_to_what_others_found(case: dict[str, Any]) -> None:
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(ExpressionError) as raised:
            evaluate(case["expression"], case["contexts"])
        assert raised.value.stage == expected["error"]["kind"]
    else:
        found = _kind_and_value(evaluate(case["expression"], case["contexts"]))
        assert found == (expected["kind"], expected["value"])
