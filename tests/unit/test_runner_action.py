"""`action.yml`, read: what an action may say, and what is refused with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.files import read_beneath
from clockmesh.runner.model_action import Action, Composite, Script, read_action
from clockmesh.runner.plan import read_workflow


def read(text: str) -> Action:
    return read_action(text.encode(), "act/action.yml")


def refused(text: str) -> str:
    with pytest.raises(WorkflowError) as raised:
        read(text)
    return str(raised.value)


COMPOSITE = "runs:\n  using: composite\n  steps:\n"


def test_a_composite_action_has_inputs_outputs_and_steps() -> None:
    inputs = "inputs:\n  who: {default: '${{ github.actor }}', required: true}\n  old:\n"
    outputs = "outputs:\n  text: {value: '${{ steps.a.outputs.x }}'}\n"
    action = read(inputs + outputs + COMPOSITE + "    - {run: x, shell: sh}\n")
    assert [each.name for each in action.inputs] == ["who", "old"]
    assert [name for name, _ in action.outputs] == ["text"]
    assert isinstance(action.runs, Composite)
    assert len(action.runs.steps) == 1


def test_a_script_action_has_its_files_and_its_version() -> None:
    action = read("runs:\n  using: node20\n  main: m.js\n  post: p.js\n  post-if: success()\n")
    assert isinstance(action.runs, Script)
    assert (action.runs.version, action.runs.main, action.runs.post) == (20, "m.js", "p.js")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (COMPOSITE + "    - run: x\n", "act/action.yml:4:7: `run` in an action needs a `shell`; add `shell: bash`"),
        (COMPOSITE + "    - {run: x, shell: sh, timeout-minutes: 1}\n", "a step has no key `timeout-minutes`"),
        (COMPOSITE + "    - {run: '${{ secrets.X }}', shell: sh}\n", "there is no context `secrets` here"),
        (COMPOSITE + "    - {run: '${{ needs.X }}', shell: sh}\n", "there is no context `needs` here"),
        ("name: x\n", "the action has no `runs`"),
        ("runs: {using: docker, image: x}\n", "is not supported yet; use a `run` step"),
        ("runs: {using: node99, main: x}\n", "`using` cannot be `node99`; did you mean `node"),
        ("runs: {using: node20}\n", "has no `main`; name the file to run"),
        ("outputs: {a: {description: x}}\n" + COMPOSITE + "    - {run: x, shell: sh}\n", "has no `value`; add one"),
        ("inputs: {a: {defualt: x}}\nruns: {using: node20, main: x}\n", "did you mean `default`?"),
        ("- a\n", "an action must be a mapping with `runs`, not a list"),
    ],
)
def test_what_is_wrong_with_an_action_is_named(text: str, told: str) -> None:
    assert told in refused(text)


@pytest.mark.parametrize(
    ("uses", "told"),
    [
        ("./any/folder", ""),
        ("actions/checkout@v4", ""),
        ("actions/checkout", "names no version; write `actions/checkout@v4`"),
        ("owner/repo@v1", "is not supported yet; keep a copy of it in the repository and use `./folder`"),
        ("actions/setup-pyton@v5", "is not supported yet; did you mean `actions/setup-python`?"),
        ("owner/repo/sub/folder@v1", "is not supported yet"),
        ("docker://alpine:3", "is not supported yet"),
        ("checkout", "names no action; write `owner/repository@version`"),
    ],
)
def test_an_action_is_local_built_in_or_refused_by_name(uses: str, told: str) -> None:
    text = f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: {uses}\n"
    if not told:
        assert read_workflow(text.encode(), "w.yml").jobs[0].steps[0].uses is not None
        return
    with pytest.raises(WorkflowError) as raised:
        read_workflow(text.encode(), "w.yml")
    assert told in str(raised.value)


def test_no_link_or_pipe_of_a_workspace_leads_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "file").write_text("content")
    (root / "inside").symlink_to("real")
    (root / "outside").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    assert read_beneath(root, "inside/file", 7) == b"content"
    for name in ("outside/secret", "../secret", "real", "real/file/x", "none"):
        with pytest.raises(OSError):
            read_beneath(root, name, 100)
    with pytest.raises(OSError, match="regular"):
        read_beneath(root, "pipe", 100)
    with pytest.raises(OSError, match="more than 3 bytes"):
        read_beneath(root, "real/file", 3)
