"""Whole workflow files against the verdicts of the official parser, of actionlint and of SchemaStore.

Only verdicts on which the official parser agrees are held. What a strict parser accepts is accepted here too, or
refused by name because it is not supported yet; the counts of both are printed at the end (`pytest -s`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from clockmesh.runner.cron import cron_problem
from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.plan import read_workflow
from tests.conformance.cases import cases

_counts: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def _printed() -> Iterator[None]:
    yield
    print(f"\nworkflow files: {', '.join(f'{count} {verdict}' for verdict, count in sorted(_counts.items()))}")


def _hold(text: str, *, valid: bool) -> None:
    try:
        read_workflow(text.encode(), "w.yml")
    except WorkflowError as error:
        messages = [error.message, *(other.message for other in error.others)]
        unsupported = all("not supported yet" in message for message in messages)
        _counts["refused" if not valid else "not supported yet" if unsupported else "refused wrongly"] += 1
        assert not valid or unsupported, messages
    else:
        _counts["accepted" if valid else "accepted wrongly"] += 1
        assert valid, "accepted, and should be refused"


_VERDICTS = ("reader", "lint_valid", "lint_invalid", "schema_valid", "schema_invalid")


@pytest.mark.parametrize("case", [case for family in _VERDICTS for case in cases(family)])
def test_a_file_is_refused_where_the_official_parser_refuses_it(case: dict[str, Any]) -> None:
    if not case.get("agreed"):
        pytest.skip("the official parser does not agree with the case")
    _hold(case["yaml"], valid=case["expect"]["valid"])


@pytest.mark.parametrize("case", cases("reader"))
def test_a_problem_is_placed_where_the_official_parser_places_it(case: dict[str, Any]) -> None:
    expected = [(each["line"], each["col"]) for each in case["expect"].get("errors", ()) if each.get("line")]
    if not case.get("agreed") or not expected:
        pytest.skip("no place to compare")
    with pytest.raises(WorkflowError) as raised:
        read_workflow(case["yaml"].encode(), "w.yml")
    error = raised.value
    if "not supported yet" in error.message:
        pytest.skip(error.message)
    assert expected[0] in {(error.line, error.column), *((each.line, each.column) for each in error.others)}


@pytest.mark.parametrize("case", cases("real_workflows"))
def test_a_real_workflow_is_understood(case: dict[str, Any]) -> None:
    _hold(case["yaml"], valid=case["expect"]["parses"])


@pytest.mark.parametrize("case", cases("act_workflows"))
def test_a_workflow_that_others_run_is_understood(case: dict[str, Any]) -> None:
    expect = case["expect"]
    if expect["outcome"] == "failure" and not expect.get("refused_before_running"):
        pytest.skip("whether it is refused or fails is not said")
    _hold(case["files"][case["workflow_path"]], valid=not expect.get("refused_before_running"))


@pytest.mark.parametrize("case", cases("cron"))
def test_a_cron_line_is_valid_where_github_takes_it(case: dict[str, Any]) -> None:
    assert (cron_problem(case["expression"]) is None) == case["expect"]["valid"]
