"""What the cases of other projects (tests/conformance) do not say: interpolation, conditions, limits, errors."""

from __future__ import annotations

from typing import Any

import pytest

from clockmesh.runner.errors import ExpressionError, Stage
from clockmesh.runner.expressions import CaseSensitive, Status, check, condition, evaluate, interpolate, resolve, split
from clockmesh.runner.expressions_format import Budget, format_text

CONTEXTS: dict[str, Any] = {
    "github": {"ref": "refs/heads/main", "event": {"inputs": {"flag": "false"}}},
    "env": CaseSensitive({"Name": "x"}),
    "matrix": {"list": [1, 2], "on": True},
}


def test_text_around_expressions_is_kept() -> None:
    assert interpolate("a ${{ github.ref }}-${{ 1 }} b", CONTEXTS) == "a refs/heads/main-1 b"
    assert interpolate("no expression: ${HOME} }}", CONTEXTS) == "no expression: ${HOME} }}"


def test_braces_in_a_string_do_not_end_the_expression() -> None:
    assert interpolate("${{ '}}' }}", CONTEXTS) == "}}"
    assert interpolate("${{ 'it''s }}' }}!", CONTEXTS) == "it's }}!"


def test_one_expression_alone_keeps_its_kind() -> None:
    assert resolve(" ${{ matrix.list }} ", CONTEXTS) == [1, 2]
    assert resolve("${{ matrix.on }}", CONTEXTS) is True
    assert resolve("x${{ matrix.on }}", CONTEXTS) == "xtrue"
    assert resolve("${{ 1 }}${{ 2 }}", CONTEXTS) == "12"


def test_an_expression_that_is_not_closed_is_refused_where_it_begins() -> None:
    with pytest.raises(ExpressionError) as raised:
        list(split("echo ${{ github.ref"))
    assert (raised.value.position, raised.value.stage) == (5, Stage.LEXING)


def test_an_error_points_into_the_whole_text() -> None:
    with pytest.raises(ExpressionError) as raised:
        interpolate("0123${{ nobody }}", CONTEXTS)
    assert raised.value.position == 8


def test_the_environment_is_matched_exactly_and_all_else_in_any_case() -> None:
    assert evaluate("env.Name", CONTEXTS) == "x"
    assert evaluate("env.NAME", CONTEXTS) is None
    assert evaluate("GITHUB.REF", CONTEXTS) == "refs/heads/main"


@pytest.mark.parametrize(
    ("text", "status", "holds"),
    [
        ("", Status(), True),
        ("", Status(success=False, failure=True), False),
        ("true", Status(success=False, failure=True), False),
        ("always() && false", Status(), False),
        ("failure()", Status(success=False, failure=True), True),
        ("${{ failure() }}", Status(success=False, failure=True), True),
        ("!cancelled()", Status(success=False, failure=True), True),
        ("cancelled()", Status(success=False, cancelled=True), True),
        ("success() || failure()", Status(success=False, cancelled=True), False),
        ("github.event.inputs.flag", Status(), True),
        ("github.event.inputs.other", Status(), False),
        ("false || ${{ false }}", Status(), True),
        ("false || ${{ false }}", Status(success=False, failure=True), False),
        ("x ${{ always() }}", Status(success=False, failure=True), True),
    ],
)
def test_a_condition_without_a_status_function_needs_success(text: str, status: Status, holds: bool) -> None:
    assert condition(text, CONTEXTS, status) is holds


def test_status_functions_and_hash_files_exist_only_where_given() -> None:
    with pytest.raises(ExpressionError, match="cannot be used here"):
        evaluate("always()", CONTEXTS)
    with pytest.raises(ExpressionError, match="cannot be used here"):
        evaluate("hashFiles('x')", CONTEXTS)
    assert evaluate("hashFiles('a', 1)", CONTEXTS, hash_files=",".join) == "a,1"


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ('github.ref == "main"', "strings take single quotes", 14),
        ("nobody.x", "there is no context `nobody` here; there are: env, github, matrix", 0),
        ("frmat('x')", "there is no function `frmat`; did you mean `format`?", 0),
        ("contains('a')", "`contains` takes 2 arguments, not 1", 0),
        ("case(true, 1)", "pairs of a condition and a value", 0),
        ("1 +", "unexpected symbol `+`", 2),
        ("(1", "ends too early", 1),
        ("'open", "has no closing quote", 0),
        ("fromJSON('{')", "not JSON", 0),
        ("fromJSON('')", "empty text", 0),
        ("format('{1}', 2)", "only 1 arguments", 0),
    ],
)
def test_an_error_says_what_and_where(text: str, message: str, position: int) -> None:
    with pytest.raises(ExpressionError) as raised:
        evaluate(text, CONTEXTS)
    assert message in str(raised.value)
    assert raised.value.position == position


def test_names_are_checked_without_values() -> None:
    check("matrix.a && github.b", frozenset({"matrix", "github"}), frozenset())
    with pytest.raises(ExpressionError, match="no context `env`"):
        check("env.a", frozenset({"matrix"}), frozenset())
    with pytest.raises(ExpressionError, match="missing"):
        check(" ", frozenset(), frozenset())


def test_logic_does_not_evaluate_what_it_does_not_need() -> None:
    assert evaluate("true || fromJSON('{')", CONTEXTS) is True
    assert evaluate("case(true, 1, fromJSON('{'))", CONTEXTS) == 1


@pytest.mark.parametrize("text", ["(" * 200 + "1" + ")" * 200, "!" * 60 + "true", "'" + "a" * 21_000 + "'"])
def test_nesting_and_length_are_bounded(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, CONTEXTS)


def test_json_is_printed_as_the_official_runner_prints_it() -> None:
    assert evaluate("toJSON(fromJSON('{\"a\":[1.0,1.5,null],\"b\":{},\"c\":\"é\\n\"}'))", {}) == (
        '{\n  "a": [\n    1,\n    1.5,\n    null\n  ],\n  "b": {},\n  "c": "é\\n"\n}'
    )


@pytest.mark.parametrize("pattern", ["{" + "secret" * 20, "{1}" + "secret" * 20])
def test_an_error_of_format_shows_no_part_of_a_long_text(pattern: str) -> None:
    """The text may be a secret, and half a secret is none that a mask could find."""
    with pytest.raises(ExpressionError, match=f"it has {len(pattern)} characters"):
        format_text(pattern, ["one"], Budget(1000))
