from __future__ import annotations

import textwrap
from typing import Any

import pytest

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.matrix import Leg, expand, leg_json, leg_title
from clockmesh.runner.reader import read_yaml

CONTEXTS: dict[str, Any] = {"inputs": {"list": '["x","y"]', "whole": '{"os":["a"],"include":[{"os":"b","n":{"k":1}}]}'}}


def _legs(text: str) -> list[Leg]:
    return expand(read_yaml(textwrap.dedent(text).encode(), "w.yml"), Scope("w.yml", CONTEXTS))


def _titles(text: str) -> list[str]:
    return [leg_title(leg) for leg in _legs(text)]


def _refused(text: str) -> str:
    with pytest.raises(WorkflowError) as raised:
        _legs(text)
    return str(raised.value)


def test_the_first_list_changes_slowest() -> None:
    assert _titles("{a: [1, 2], b: [x, y]}") == ["1, x", "1, y", "2, x", "2, y"]


def test_exclude_takes_away_what_it_matches_in_part() -> None:
    assert _titles("{a: [1, 2], b: [x, y], exclude: [{a: 1}, {a: 2, b: Y}]}") == ["2, x"]


def test_exclude_looks_into_objects() -> None:
    text = """
    os: [{name: linux, arch: x64}, {name: linux, arch: arm64}]
    exclude: [{os: {arch: arm64}}]
    """
    assert _titles(text) == ["linux, x64"]


def test_include_extends_and_adds_as_in_githubs_own_example() -> None:
    text = """
    fruit: [apple, pear]
    animal: [cat, dog]
    include:
      - color: green
      - color: pink
        animal: cat
      - fruit: apple
        shape: circle
      - fruit: banana
      - fruit: banana
        animal: cat
    """
    assert [leg_json(leg) for leg in _legs(text)] == [
        '{"animal":"cat","color":"pink","fruit":"apple","shape":"circle"}',
        '{"animal":"dog","color":"green","fruit":"apple","shape":"circle"}',
        '{"animal":"cat","color":"pink","fruit":"pear"}',
        '{"animal":"dog","color":"green","fruit":"pear"}',
        '{"fruit":"banana"}',
        '{"animal":"cat","fruit":"banana"}',
    ]


def test_include_alone_makes_its_entries_legs() -> None:
    assert _titles("include: [{site: a, n: 1}, {site: b}]") == ["a, 1", "b"]


def test_lists_and_whole_matrices_may_come_from_expressions() -> None:
    assert _titles("v: ${{ fromJSON(inputs.list) }}") == ["x", "y"]
    assert _titles("v: ['${{ inputs.list }}!']") == ['["x","y"]!']
    assert _titles("${{ fromJSON(inputs.whole) }}") == ["a", "b, 1"]


def test_an_expression_in_a_list_stands_for_its_items_and_insert_for_members() -> None:
    text = """
        v: [1, "${{ fromJSON('[2, [3]]') }}"]
        o: [{a: 1, "${{ insert }}": {b: 2}, "${{insert}}": "${{ fromJSON('{\\"c\\":3}') }}"}]
    """
    legs = _legs(text)
    assert [leg["v"] for leg in legs] == [1, 2, [3]]
    assert legs[0]["o"] == {"a": 1, "b": 2, "c": 3}


def test_the_json_of_a_leg_is_canonical() -> None:
    (leg,) = _legs("{b: [1.0], a: [{y: true, x: [null, 1.5, .inf, é]}]}")
    assert leg_json(leg) == '{"a":{"x":[null,1.5,"Infinity","é"],"y":true},"b":1}'
    assert leg_title(leg) == "1, true, 1.5, Infinity, é"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("v: ${{ inputs.list }}", "w.yml:1:1: `v` of `matrix` must come to a list, not a text"),
        ("v: ${{ fromJSON('[]') }}", "`v` of `matrix` has no values; give it one"),
        ("${{ fromJSON('[]') }}", "`matrix` must come to an object, not an array"),
        ("v: ${{ fromJSON('{') }}", "w.yml:1:4: fromJSON was given a text that is not JSON"),
        ("{v: [1], exclude: [{v: 1}]}", "`matrix` comes to no jobs at all"),
        ("{v: [1], include: '${{ fromJSON(''[1]'') }}'}", "an entry of `include` must be an object, not a number"),
        ("v: " + str(list(range(257))), "`matrix` comes to 257 jobs; at most 256 are allowed"),
    ],
)
def test_a_matrix_that_cannot_be_expanded_is_refused(text: str, line: str) -> None:
    assert line in _refused(text)
