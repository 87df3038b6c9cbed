"""The command files and the commands on standard output, against the cases of actions/runner and nektos/act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clockmesh.runner.command_files import new_files
from clockmesh.runner.workflow_commands import parse
from tests.conformance.cases import cases


@pytest.mark.parametrize("case", cases("env_files"))
def test_a_command_file_is_read_as_the_official_runner_reads_it(case: dict[str, Any], tmp_path: Path) -> None:
    kind = case["file"].removeprefix("GITHUB_").lower()
    expect = case["expect"]
    for mark in ("", "\ufeff") if case.get("bom") else ("",):
        files = new_files(tmp_path)
        if case["text"] is None:
            files.paths[kind].unlink()
        else:
            files.paths[kind].write_text(mark + case["text"], newline="")
        said = files.read()
        if "error_contains" in expect:
            assert any(expect["error_contains"] in error for error in said.errors), said
            continue
        if "path_entries_in_order_added" in expect:
            assert list(said.paths) == expect["path_entries_in_order_added"]
            continue
        values = {"env": said.env, "output": said.outputs, "state": said.state}[kind]
        assert dict(values) == expect["values"]
        assert len(said.errors) == expect.get("issues", 0)


@pytest.mark.parametrize("case", cases("stdout_commands"))
def test_a_line_is_the_command_that_the_official_runner_takes_it_for(case: dict[str, Any]) -> None:
    if case["kind"] != "parse":
        pytest.skip("sequences and annotations are judged as runs by the probes")
    if case["syntax"] == "##[]" and "##[" not in case["line"]:
        pytest.skip("the old form alone is asked for")
    found = parse(case["line"], [name.lower() for name in case["registered"]])
    expect = case["expect"]
    if expect is None:
        assert found is None
    else:
        assert found is not None
        properties = {name.lower(): value for name, value in expect["properties"].items()}
        assert (found.name, found.data) == (expect["command"].lower(), expect["data"])
        assert found.properties == properties
