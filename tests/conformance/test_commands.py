"""What steps say on their output and in their files, against the cases of the official runner and of act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clockmesh.protocol.reports import Level
from clockmesh.runner.command_files import new_files
from clockmesh.runner.masks import Masks
from clockmesh.runner.workflow_commands import Command, Listener, parse
from tests.conformance.cases import cases

UNSECURE = "ACTIONS_ALLOW_UNSECURE"
"""Switches that give up the runner's guards. There are none here."""


class Step:
    """A listener, and what came of it."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.said: list[tuple[Level, Command]] = []
        self.masks = Masks()
        note = self.said.append
        self.listener = Listener(self.shown.extend, lambda level, command: note((level, command)), self.masks,
                                 debug=False)  # fmt: skip


def of_kind(kind: str) -> list[Any]:
    return [case for case in cases("stdout_commands") if case.values[0] is None or case.values[0]["kind"] == kind]


@pytest.mark.parametrize("case", of_kind("parse"))
def test_a_line_is_the_command_that_it_should_be(case: dict[str, Any]) -> None:
    found = parse(case["line"], [name.lower() for name in case["registered"]])
    wanted = case["expect"]
    if wanted is None or found is None:
        assert found is wanted
        return
    told = {key.strip().lower(): value for key, value in wanted["properties"].items()}
    assert (found.name, found.data.lower()) == (wanted["command"].lower(), wanted["data"].lower())
    assert {key: value.lower() for key, value in found.properties.items()} == {
        key: value.lower() for key, value in told.items()
    }


@pytest.mark.parametrize("case", of_kind("annotation"))
def test_an_annotation_has_the_place_that_it_should_have(case: dict[str, Any]) -> None:
    step, wanted = Step(), case["expect"]
    step.listener.hear([case["line"]])
    ((level, command),) = step.said
    assert (level.value, command.data) == (wanted["level"], wanted["message"])
    told = {key.lower(): value for key, value in wanted.get("properties", {}).items()}
    assert told.items() <= command.properties.items()
    assert not {key.lower() for key in wanted.get("absent", ())} & command.properties.keys()


@pytest.mark.parametrize("case", of_kind("sequence"))
def test_a_sequence_of_lines_comes_to_what_it_should(case: dict[str, Any]) -> None:
    if any(name.startswith(UNSECURE) for name in case.get("env", {})):
        pytest.skip("the runner's insecure switches do not exist here")
    step, echoes = Step(), []
    for told in case["lines"]:
        before = len(step.shown)
        step.listener.hear([told["line"]])
        echoes.append(step.listener.echo)
        if told["is_command"] is not None:
            assert (step.shown[before:] == [told["line"]]) is not told["is_command"]
    wanted = case["expect"]
    if wanted:
        fails = wanted.get("error", False) or wanted.get("step_result") == "failure"
        assert bool(step.listener.errors) == fails
    assert wanted.get("outputs", step.listener.outputs) == step.listener.outputs
    assert wanted.get("state", step.listener.state) == step.listener.state
    assert wanted.get("echo_after_each", echoes) == echoes
    for text, masked in wanted.get("mask", {}).items():
        assert step.masks.hide(text) == masked


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("case", cases("env_files"))
def test_a_file_says_what_it_should(case: dict[str, Any], bom: bool, tmp_path: Path) -> None:
    files = new_files(tmp_path)
    kind = case["file"].removeprefix("GITHUB_").lower()
    if case["text"] is None:
        files.paths[kind].unlink()
    else:
        files.paths[kind].write_bytes((b"\xef\xbb\xbf" if bom else b"") + case["text"].encode())
    said, wanted = files.read(), case["expect"]
    if "error_contains" in wanted:
        assert said.failed
        return
    assert not said.failed
    if kind == "path":
        assert list(said.paths) == wanted["path_entries_in_order_added"]
        return
    told = {"env": said.env, "output": said.outputs, "state": said.state}[kind]
    assert dict(told) == wanted["values"]
    assert len(said.errors) == wanted["issues"]
