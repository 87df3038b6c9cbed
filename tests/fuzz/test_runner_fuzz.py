"""Strangers' bytes: whatever stands in a workflow or an expression, the answer is a value or a RunnerError, soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.plan import Snapshot
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.expressions import Status, condition, evaluate, interpolate
from clockmesh.runner.lint import lint
from clockmesh.runner.model_action import read_action
from clockmesh.runner.plan import make_plan, read_workflow

SOON_S = 5.0
"""Most take well under a millisecond; a machine under load is given time."""

_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Time is measured by the tests themselves."""

_WORDS = """
on jobs steps run uses needs if strategy matrix include exclude env runs-on name labels push true null 1 1.5 ~ ${{ }}
${{matrix.a}} fromJSON('[1]') actions/checkout@v4 ubuntu-latest a b - : & * | > ' " [ ] { } # !!str
"""
_SYMBOLS = """
( ) [ ] . , * ! == != < <= > >= && || 'a' 'it''s' 1 -1.5 0xff NaN true null github inputs .* [*] format( join(
fromJSON( toJSON( contains( startsWith( case( success( '{0}' '[[1],{}]' github.event['a'] } ${{ }} " \\ é
"""
_words = st.sampled_from([*_WORDS.split(), "\n", "\n  ", "\n    ", "\n      - ", ": ", "\t"])
_symbols = st.sampled_from(_SYMBOLS.split())


def _strings_of(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(parts, max_size=50)
    return lists.map(" ".join) | lists.map("".join) | st.text(max_size=200)


_texts = _strings_of(_words)
_expressions = _strings_of(_symbols)
_yaml_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts | _words, inner, max_size=4),
    max_leaves=25,
)


def _answers(attempt: Callable[[], object]) -> None:
    """That an attempt ends soon, and if it fails then with an error of one line."""
    started = time.perf_counter()
    refused = ""
    try:
        attempt()
    except RunnerError as error:
        refused = str(error)
        assert refused
    assert len(refused.splitlines()) <= 1
    assert time.perf_counter() - started < SOON_S


def _read(data: bytes) -> None:
    def attempt() -> None:
        workflow = read_workflow(data, "w.yml")
        lint(workflow)
        make_plan(
            workflow,
            path="w.yml",
            workflow_blob=BlobHash(bytes(32)),
            source=Snapshot(),
            inputs={"a": "1"},
            force=True,
        )

    _answers(attempt)


@_patient
@given(st.binary(max_size=400))
@example(b"\xff\xfe\x00")
@example(b"on: push\njobs: &a\n  b: *a\n")
@example(b"? ? ? ?\n: :\n")
@example(b"- " * 3_000)
@example(b"[" * 100_000)
@example(b"{a: " * 50_000)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _read(data)


@_patient
@given(_texts)
def test_any_text_is_read_or_refused(text: str) -> None:
    _read(text.encode("utf-8", "surrogatepass"))


@_patient
@given(_yaml_like, _yaml_like, _yaml_like)
def test_any_values_at_known_keys_are_read_or_refused(job: Any, step: Any, on: Any) -> None:
    tree = {"on": on, "jobs": {"a": {"runs-on": "x", "steps": [step, {"run": "true"}], "strategy": job}, "b": job}}
    _read(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@_patient
@given(_yaml_like, _yaml_like)
def test_any_values_in_an_action_are_read_or_refused(step: Any, other: Any) -> None:
    script = {"using": "node20", "main": "m", "post-if": step}
    for runs in ({"using": "composite", "steps": [step, other]}, script, step):
        tree = {"inputs": other, "outputs": {"a": {"value": "x"}}, "runs": runs}
        data = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
        _answers(lambda data=data: read_action(data, "action.yml"))  # type: ignore[misc]


@_patient
@given(_yaml_like, _yaml_like, st.binary(max_size=20))
def test_any_workflows_that_call_one_another_are_read_or_refused(call: Any, called: Any, rest: bytes) -> None:
    own = {"on": "push", "jobs": {"a": {"uses": "./b.yml", "with": call}, "b": {"uses": "./b.yml", "secrets": call}}}
    other = {"on": {"workflow_call": called}, "jobs": {"c": {"uses": "./b.yml"}, "d": {"runs-on": "x", "env": called}}}
    files = [yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass") for tree in (own, other)]
    _read(msgpack.packb([files[0], {"b.yml": files[1]}]) + rest)
    _read(b"\x92" + rest)


@_patient
@given(_expressions)
@example("(" * 20_000)
@example("!" * 20_000)
@example("a" + "[0]" * 6_000)
@example("1" + " && 1" * 4_000)
@example("fromJSON('" + "[" * 20_000 + "')")
@example("format(" * 40 + "'{0}{0}', 'a'" + ")" * 40)
def test_any_expression_has_a_value_or_an_error(text: str) -> None:
    contexts: dict[str, Any] = {"github": {"event": {"a": [1, {"b": "c"}]}}, "inputs": {}}
    _answers(lambda: evaluate(text, contexts, status=Status()))
    _answers(lambda: interpolate(text, contexts))
    _answers(lambda: interpolate("${{" + text + "}}", contexts))
    _answers(lambda: condition(text, contexts, Status()))


def _doubled(levels: int) -> str:
    text = "'0123456789'"
    for _ in range(levels):
        text = f"format('{{0}}{{0}}{{0}}{{0}}', {text})"
    return text


@pytest.mark.parametrize("levels", [10, 40])
def test_an_expression_cannot_make_a_text_without_bound(levels: int) -> None:
    started = time.perf_counter()
    with pytest.raises(RunnerError, match="more text than is allowed"):
        evaluate(_doubled(levels), {})
    assert time.perf_counter() - started < SOON_S


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 30)]
    started = time.perf_counter()
    with pytest.raises(RunnerError, match="aliases are written out"):
        read_workflow("\n".join(lines).encode(), "bomb.yml")
    assert time.perf_counter() - started < 1.0


def test_a_matrix_bomb_is_refused_at_once() -> None:
    vectors = "".join(f"        v{number}: [{', '.join(map(str, range(100)))}]\n" for number in range(20))
    text = f"on: push\njobs:\n  a:\n    runs-on: x\n    strategy:\n      matrix:\n{vectors}    steps: [{{run: x}}]\n"
    workflow = read_workflow(text.encode(), "w.yml")
    started = time.perf_counter()
    with pytest.raises(RunnerError, match=r"at most|far more than"):
        make_plan(workflow, path="w.yml", workflow_blob=BlobHash(bytes(32)), source=Snapshot(), inputs={}, force=True)
    assert time.perf_counter() - started < 1.0


def test_a_long_chain_of_jobs_and_a_thousand_wrong_needs_are_read_soon() -> None:
    chain = "".join(f"  j{n}: {{runs-on: x, needs: [j{n + 1}]}}\n" for n in range(1_023)) + "  j1023: {runs-on: x}\n"
    _answers(lambda: read_workflow(f"on: push\njobs:\n{chain}".encode(), "w.yml"))
    wrong = "".join(f"  j{n}: {{runs-on: x, needs: [wrong-{n}, other-{n}]}}\n" for n in range(1_000))
    _answers(lambda: read_workflow(f"on: push\njobs:\n{wrong}".encode(), "w.yml"))
