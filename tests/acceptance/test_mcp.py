"""`clockmesh mcp` by the mcp package's own client over stdio: every tool, embedded and on a mesh of three."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from clockmesh import P2PWorkflowCoordinator, WorkflowStatus
from clockmesh.daemon.demo.peers import Mesh, wait_until
from clockmesh.daemon.mcp import MCP_TOOLS, MORE_TOOLS

HELLO = """\
name: Hello
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  one: {runs-on: ubuntu-latest, steps: [{run: echo hello from a job}]}
"""
SLOW = HELLO.replace("echo hello from a job", "sleep 60")
BAD: dict[str, list[dict[str, Any]]] = {
    "submit_p2p_workflow": [{}, {"workflow_file": 5}, {"workflow_file": "/none.yml"}, {"file": "x"},
                            {"workflow_file": "/none.yml", "priority": "high"}],
    "assign_p2p_workflows": [{"more": 1}],
    "get_p2p_workflow_status": [{}, {"workflow_id": "0123456789abcdef"}, {"workflow_id": ["x"]}],
    "list_p2p_workflows": [{"status": "bogus"}, {"status": ""}, {"peer_id": 5}],
    "update_p2p_workflow_status": [{}, {"workflow_id": "x"}, {"workflow_id": "x", "status": "bogus"},
                                   {"workflow_id": "0123456789abcdef", "status": "cancelled"}],
    "add_p2p_peer": [{}, {"peer_id": ""}, {"peer_id": "two\nlines"}],
    "remove_p2p_peer": [{}, {"peer_id": ""}, {"peer_id": None}],
    "get_p2p_stats": [{"x": 1}],
    "parse_workflow_tags": [{}, {"workflow_file": "/none.yml"}, {"workflow_file": "/"}],
    "get_my_p2p_workflows": [{"x": 1}],
    "get_p2p_run_logs": [{}, {"workflow_id": "0123456789abcdef"}, {"workflow_id": "x", "limit": "many"}],
    "explain_p2p_workflow": [{}, {"workflow_id": "0123456789abcdef"}],
    "cancel_p2p_workflow": [{}, {"workflow_id": "0123456789abcdef"}],
}
Call = Callable[..., Awaitable[dict[str, Any]]]


def talk(conversation: Callable[[Call], Awaitable[None]], *words: str, **environment: str) -> None:
    """Start `clockmesh mcp`, list its tools and lead the conversation, whose calls give each tool's answer."""

    async def lead() -> None:
        server = StdioServerParameters(command=sys.executable, args=["-m", "clockmesh.daemon.cli", "mcp", *words],
                                       env={"PATH": os.environ["PATH"], **environment})
        async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()
            listed = (await session.list_tools()).tools
            assert [(tool.name, tool.description, tool.input_schema) for tool in listed] == [
                (tool["name"], tool["description"], tool["inputSchema"]) for tool in (*MCP_TOOLS, *MORE_TOOLS)
            ]

            async def call(name: str, /, **arguments: Any) -> dict[str, Any]:
                result = await session.call_tool(name, arguments)
                (content,) = result.content
                answer = json.loads(content.text)  # type: ignore[union-attr]
                assert answer == result.structured_content
                assert result.is_error is not answer["success"]
                return answer

            await conversation(call)

    asyncio.run(asyncio.wait_for(lead(), 120))


async def told_once(call: Call, workflow_id: str, *statuses: str) -> dict[str, Any]:
    """The workflow as soon as it has one of these statuses."""
    for _ in range(600):
        told = await call("get_p2p_workflow_status", workflow_id=workflow_id)
        if told["status"] in statuses:
            return told
        await asyncio.sleep(0.1)
    raise AssertionError(f"it is {told['status']} still, and not {statuses}")


async def refuse_all(call: Call) -> None:
    """Every tool with bad input answers in words, and the server goes on."""
    for name, inputs in BAD.items():
        for arguments in inputs:
            answer = await call(name, **arguments)
            assert answer["success"] is False, (name, arguments)
            assert answer["error"]
    assert (await call("no_such_tool"))["success"] is False


def test_every_tool_embedded(tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    file.write_text(HELLO)

    async def conversation(call: Call) -> None:
        await refuse_all(call)
        assert (await call("get_p2p_stats"))["peer_id"] == "cli-peer"
        assert (await call("add_p2p_peer", peer_id="peer-2"))["success"]
        made = await call("submit_p2p_workflow", workflow_file=str(file), name="Daily", inputs={"a": 1}, priority=3)
        workflow_id = made["workflow_id"]
        assert (await call("list_p2p_workflows", status="pending"))["count"] == 1
        assert (await call("assign_p2p_workflows"))["workflow_ids"] == [workflow_id]
        assert (await call("explain_p2p_workflow", workflow_id=workflow_id))["why"]
        assert (await call("get_my_p2p_workflows"))["count"] in (0, 1)
        assert (await call("parse_workflow_tags", workflow_file=str(file)))["is_p2p"] is True
        assert "no log" in (await call("get_p2p_run_logs", workflow_id=workflow_id))["error"]
        done = await call("update_p2p_workflow_status", workflow_id=workflow_id, status="completed", result={"n": 1})
        assert done["new_status"] == "completed"
        assert (await call("get_p2p_workflow_status", workflow_id=workflow_id))["result"] == {"n": 1}
        assert (await call("cancel_p2p_workflow", workflow_id=workflow_id))["success"] is False
        assert (await call("remove_p2p_peer", peer_id="peer-2"))["success"]

    talk(conversation, HOME=str(tmp_path))
    assert (tmp_path / ".ipfs_kit/p2p_workflows").is_dir()


def test_every_tool_on_a_mesh_of_three(mesh: Mesh, tmp_path: Path) -> None:
    file, slow = tmp_path / "w.yml", tmp_path / "slow.yml"
    file.write_text(HELLO)
    slow.write_text(SLOW)

    async def conversation(call: Call) -> None:
        await refuse_all(call)
        stats = await call("get_p2p_stats")
        assert (stats["peer_id"], stats["peer_count"]) == ("beta", 3)
        made = await call("submit_p2p_workflow", workflow_file=str(file), name="Daily", priority=1)
        workflow_id = made["workflow_id"]
        told = await told_once(call, workflow_id, "completed")
        assert (told["name"], told["tags"], told["error"]) == ("Daily", ["p2p-workflow"], None)
        assert told["assigned_peer"] in ("alpha", "beta", "gamma")
        lines = (await call("get_p2p_run_logs", workflow_id=workflow_id, job="one"))["lines"]
        assert "hello from a job" in [line["text"] for line in lines]
        assert (await call("explain_p2p_workflow", workflow_id=workflow_id))["why"]
        running = (await call("submit_p2p_workflow", workflow_file=str(slow)))["workflow_id"]
        await told_once(call, running, "assigned", "in_progress")
        assert running in (await call("assign_p2p_workflows"))["workflow_ids"]
        refused = await call("update_p2p_workflow_status", workflow_id=running, status="completed")
        assert "executed by the mesh" in refused["error"]
        assert (await call("cancel_p2p_workflow", workflow_id=running))["success"]
        await told_once(call, running, "cancelled")
        assert (await call("cancel_p2p_workflow", workflow_id=running))["success"] is False
        listed = await call("list_p2p_workflows", status="cancelled")
        assert [told["workflow_id"] for told in listed["workflows"]] == [running]
        mine = await call("get_my_p2p_workflows")
        assert mine["peer_id"] == "beta"
        assert (await call("parse_workflow_tags", workflow_file=str(file)))["is_p2p"] is True
        assert "clockmesh join clockmesh-invite-1-" in (await call("add_p2p_peer", peer_id="delta"))["message"]
        assert (await call("remove_p2p_peer", peer_id="nobody"))["success"]

    talk(conversation, "--home", str(mesh["beta"].home), HOME=str(tmp_path))
    assert not (tmp_path / ".ipfs_kit").exists()


def test_the_command_line_speaks_to_the_same_mesh(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    file.write_text(HELLO)
    alpha, gamma = mesh["alpha"], mesh["gamma"]
    workflow_id = alpha.json("p2p", "workflow", "submit", str(file))["workflow_id"]

    def told() -> dict[str, Any]:
        status: dict[str, Any] = gamma.json("p2p", "workflow", "status", workflow_id, good=(0, 1))
        return status

    wait_until(lambda: told().get("status") == "completed", "gamma knows the end", 30)
    assert told()["result"] == {"one": {}}
    assert gamma.json("run", "show", workflow_id)["conclusion"] == "success"
    assert workflow_id in [run["workflow_id"] for run in alpha.json("p2p", "workflow", "list", "--status", "completed")]
    assert gamma.json("p2p", "peer", "list") == {"peers": ["gamma", "alpha", "beta"], "count": 3}
    assert gamma.json("p2p", "stats")["peer_id"] == "gamma"
    line = gamma.json("p2p", "peer", "add", "delta")["invitation"]
    assert line.startswith("clockmesh join clockmesh-invite-1-")
    assert "executed by the mesh" in gamma.json("p2p", "workflow", "update", workflow_id, "failed", good=(1,))["error"]
    assert gamma.run("p2p", "workflow", "assign").startswith("✓ Assigned ")


def test_python_speaks_to_the_same_mesh(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    file.write_text(HELLO)
    attached = P2PWorkflowCoordinator.attach(home=mesh["beta"].home)
    assert (attached.peer_id, attached.peer_list) == ("beta", ["beta", "alpha", "gamma"])
    assert attached.data_dir == mesh["beta"].home
    before = attached.merkle_clock.logical_clock
    workflow_id = attached.submit_workflow(file, name="Mine", priority=2.0)
    assert attached.merkle_clock.logical_clock > before
    wait_until(lambda: attached.workflows[workflow_id].status is WorkflowStatus.COMPLETED, "it is done", 30)
    told = attached.get_workflow_status(workflow_id)
    assert told in attached.list_workflows(status=WorkflowStatus.COMPLETED)
    assert attached.get_stats()["total_workflows"] == len(attached.list_workflows())
    assert attached.get_workflow_logs(workflow_id)
    assert attached.workflow_queue.is_empty()
    for wrong in (tmp_path, tmp_path / "none.yml"):
        with pytest.raises((ValueError, FileNotFoundError)):
            attached.submit_workflow(wrong)
    (tmp_path / "plain.yml").write_text(HELLO.replace("labels: [p2p-workflow]\n", ""))
    with pytest.raises(ValueError, match=r"plain\.yml:1:1: .*no tag"):
        attached.submit_workflow(tmp_path / "plain.yml")
    assert attached.get_workflow_status("0" * 16) is None
    state = json.loads(attached.export_state(tmp_path / "state.json").read_text())
    assert state["workflows"][workflow_id] == told
    (tmp_path / "coordinator_state_beta.json").write_text(json.dumps(state))
    assert P2PWorkflowCoordinator("beta", tmp_path).get_workflow_status(workflow_id) == told
