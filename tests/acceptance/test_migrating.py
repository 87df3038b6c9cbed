"""docs/migrating.md does what it says, and so does the reference's own guide, module name apart."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clockmesh import FibonacciHeap, MerkleClock, P2PWorkflowCoordinator, WorkflowPriorityQueue
from clockmesh.daemon.cli import main
from clockmesh.daemon.mcp import MCP_TOOLS

ROOT = Path(__file__).parents[2]
GUIDE = Path(os.environ.get("CLOCKMESH_SEED_GUIDE", ROOT.parent / "shared" / "seed-guide.md"))
TAGGED = "name: x\non: push\nlabels: [p2p-workflow]\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: echo}]}}\n"


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, without a daemon, in which to work."""
    for name in ("CLOCKMESH_HOME", "XDG_STATE_HOME", "P2P_PEER_ID", "P2P_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(commands: str) -> str:
    """What these commands print; each must succeed. `clockmesh` is the command of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-e", "-c", commands], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_does_what_it_says(folder: Path) -> None:
    page = (ROOT / "docs" / "migrating.md").read_text()
    (folder / "scrape.yml").write_text(blocks(page, "yaml")[0])
    names: dict[str, Any] = {}
    python = blocks(page, "python")
    assert len(python) == 5
    for block in python:
        exec(compile(block, "migrating.md", "exec"), names)  # noqa: S102 - our own page
    (session,) = blocks(page, "console")
    printed = shell("\n".join(line.removeprefix("$ ") for line in session.splitlines()))
    assert "✓ Workflow submitted successfully" in printed
    assert "my-unique-peer-id" in printed


# ---- the reference's guide ----


class Server:
    """Takes tools as the guide registers them."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def register_tool(self, *, name: str, description: str, inputSchema: dict[str, Any], handler: Any) -> None:
        assert description
        assert inputSchema["type"] == "object"
        self.handlers[name] = handler


def guide() -> str:
    if not GUIDE.exists():
        pytest.skip(f"{GUIDE} is not here (CLOCKMESH_SEED_GUIDE names it)")
    text = GUIDE.read_text()
    for theirs, ours in (("ipfs_kit_py.mcp.p2p_workflow_tools", "clockmesh.daemon.mcp"), ("ipfs_kit_py", "clockmesh"),
                         ("ipfs-kit p2p", "clockmesh p2p")):
        text = text.replace(theirs, ours)
    return text


def write_files(folder: Path, text: str) -> None:
    """Every workflow file that the guide's code names, tagged as the guide says."""
    for name in set(re.findall(r"[\w./-]+\.yml", text)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TAGGED)


REFUSED = ("heap.decrease_key(", "queue.update_priority(")
"""Calls on what the line before has taken out; the guide lists them, and they never worked."""


def test_the_guides_python_runs(folder: Path) -> None:
    text = guide()
    write_files(folder, text)
    server, other = Server(), MerkleClock("peer-9")
    other.append({"event": "elsewhere"})
    names: dict[str, Any] = {"mcp_server": server, "other_clock": other, "other_heap": FibonacciHeap(),
                             "WorkflowPriorityQueue": WorkflowPriorityQueue,
                             "execute_workflow": lambda workflow: {"done": workflow.name}}
    ran = 0
    for block in blocks(text, "python"):
        block = block.replace("submit_workflow(...)", 'submit_workflow("workflow.yml")')
        for statement in ast.parse(block).body:
            ran += run_statement(ast.unparse(statement), names)
    assert ran > 70
    assert list(server.handlers) == [tool["name"] for tool in MCP_TOOLS]
    assert server.handlers["get_p2p_stats"]()["success"] is True


def run_statement(source: str, names: dict[str, Any]) -> int:
    code = compile(source, "seed-guide.md", "exec")
    if source.startswith(REFUSED):
        with pytest.raises(ValueError):
            exec(code, names)  # noqa: S102 - the guide's own code
    else:
        exec(code, names)  # noqa: S102
    return 1


def test_the_guides_sample_file_carries_both_tags(folder: Path) -> None:
    (folder / "sample.yml").write_text(blocks(guide(), "yaml")[0])
    made = P2PWorkflowCoordinator("peer-1", "books")
    metadata = made.parse_workflow_file("sample.yml")
    assert metadata["tags"] == {"p2p-workflow", "offline-workflow"}
    assert made.is_p2p_workflow(metadata)
    assert made.submit_workflow("sample.yml")


def test_the_guides_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = guide()
    write_files(folder, text)
    lines = "\n".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("clockmesh p2p")]
    assert len(commands) >= 20
    for words in commands:
        if "abc123def456" in words:  # the guide's id is made up: each such command gets a workflow of its own
            assert main(["p2p", "workflow", "submit", "workflow.yml", "--json"]) == 0
            fresh = json.loads(capsys.readouterr().out)["workflow_id"]
            words = [fresh if word == "abc123def456" else word for word in words]
        assert main(words) == 0, words
        printed = capsys.readouterr().out
        assert json.loads(printed) is not None if "--json" in words else printed
