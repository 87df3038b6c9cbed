"""The MCP tools as programs of the reference use them, row by row; the wire is tested in acceptance/test_mcp.py."""

from __future__ import annotations

import inspect
import math

import pytest

from clockmesh import P2PWorkflowCoordinator, WorkflowStatus
from clockmesh.daemon.mcp import MCP_TOOLS, MORE_TOOLS, P2PWorkflowTools, problem_of
from tests.unit.seed_workflows import coordinator, workflow

STATUSES = ["pending", "assigned", "in_progress", "completed", "failed", "cancelled"]
WORKFLOW_KEYS = {"workflow_id", "name", "workflow_file", "inputs", "priority", "tags", "status", "assigned_peer",
                 "created_at", "started_at", "completed_at", "result", "error"}
TEXT, OBJECT, NUMBER = "string", "object", "number"
ROWS = [
    ("submit_p2p_workflow", {"workflow_file": TEXT, "name": TEXT, "inputs": OBJECT, "priority": NUMBER},
     ["workflow_file"]),
    ("assign_p2p_workflows", {}, None),
    ("get_p2p_workflow_status", {"workflow_id": TEXT}, ["workflow_id"]),
    ("list_p2p_workflows", {"status": TEXT, "peer_id": TEXT}, None),
    ("update_p2p_workflow_status", {"workflow_id": TEXT, "status": TEXT, "result": OBJECT, "error": TEXT},
     ["workflow_id", "status"]),
    ("add_p2p_peer", {"peer_id": TEXT}, ["peer_id"]),
    ("remove_p2p_peer", {"peer_id": TEXT}, ["peer_id"]),
    ("get_p2p_stats", {}, None),
    ("parse_workflow_tags", {"workflow_file": TEXT}, ["workflow_file"]),
    ("get_my_p2p_workflows", {}, None),
]


def tools(folder, *peers: str) -> P2PWorkflowTools:
    return P2PWorkflowTools(coordinator(folder, "peer-1", *peers))


def submitted(folder, *peers: str) -> tuple[P2PWorkflowTools, str]:
    made = tools(folder, *peers)
    return made, made.submit_p2p_workflow(workflow(folder))["workflow_id"]


@pytest.mark.parametrize(("place", "row"), list(enumerate(ROWS)), ids=[row[0] for row in ROWS])
def test_a_tool_has_its_name_place_and_schema(place, row):
    name, properties, required = row
    tool = MCP_TOOLS[place]
    assert set(tool) == {"name", "description", "inputSchema"}
    assert tool["name"] == name
    assert tool["description"]
    schema = tool["inputSchema"]
    assert set(schema) == {"type", "properties"} | ({"required"} if required else set())
    assert schema["type"] == "object"
    assert {key: value["type"] for key, value in schema["properties"].items()} == properties
    assert schema.get("required") == required
    for key, value in schema["properties"].items():
        assert value.get("enum") == (STATUSES if key == "status" else None)
    method = getattr(P2PWorkflowTools, name)
    assert list(inspect.signature(method).parameters)[1:] == list(properties)


def test_there_are_ten_tools_and_three_more():
    assert len(MCP_TOOLS) == 10
    assert [tool["name"] for tool in MORE_TOOLS] == ["get_p2p_run_logs", "explain_p2p_workflow", "cancel_p2p_workflow"]
    assert all(hasattr(P2PWorkflowTools, tool["name"]) for tool in MORE_TOOLS)


def test_submit_answers_the_id(tmp_path):
    made = tools(tmp_path)
    answer = made.submit_p2p_workflow(workflow_file=workflow(tmp_path), name="Daily", inputs={"k": 1}, priority=3.0)
    assert set(answer) == {"success", "workflow_id", "message", "status"}
    assert (answer["success"], answer["status"]) == (True, "pending")
    told = made.get_p2p_workflow_status(answer["workflow_id"])
    assert (told["name"], told["inputs"], told["priority"]) == ("Daily", {"k": 1}, 3.0)


@pytest.mark.parametrize("arguments", [
    {"workflow_file": "none.yml"}, {"workflow_file": 5}, {}, {"workflow_file": "w", "priority": math.nan},
])
def test_a_refused_submission_says_why(tmp_path, arguments):
    answer = tools(tmp_path).submit_p2p_workflow(**arguments)
    assert set(answer) == {"success", "error", "message"}
    assert answer["success"] is False


def test_assign_answers_the_ids(tmp_path):
    made, workflow_id = submitted(tmp_path)
    answer = made.assign_p2p_workflows()
    assert set(answer) == {"success", "assigned_count", "workflow_ids", "message"}
    assert (answer["assigned_count"], answer["workflow_ids"]) == (1, [workflow_id])
    assert made.assign_p2p_workflows()["assigned_count"] == 0


def test_status_answers_the_workflow(tmp_path):
    made, workflow_id = submitted(tmp_path)
    answer = made.get_p2p_workflow_status(workflow_id=workflow_id)
    assert set(answer) == {"success"} | WORKFLOW_KEYS
    assert (answer["success"], answer["error"]) == (True, None)
    assert made.get_p2p_workflow_status("nope") == {
        "success": False, "error": "Workflow not found", "workflow_id": "nope",
    }


def test_list_answers_workflows_and_filters(tmp_path):
    made, workflow_id = submitted(tmp_path)
    answer = made.list_p2p_workflows()
    assert set(answer) == {"success", "count", "workflows", "filters"}
    assert (answer["count"], answer["filters"]) == (1, {"status": None, "peer_id": None})
    assert answer["workflows"][0]["workflow_id"] == workflow_id
    pending = made.list_p2p_workflows(status="pending", peer_id="nobody")
    assert (pending["count"], pending["filters"]) == (0, {"status": "pending", "peer_id": "nobody"})


@pytest.mark.parametrize("word", ["bogus", "PENDING", 5])
def test_list_refuses_a_word_that_is_no_status(tmp_path, word):
    assert tools(tmp_path).list_p2p_workflows(status=word) == {
        "success": False, "error": f"Invalid status: {word}", "valid_statuses": STATUSES,
    }


def test_update_answers_the_new_status(tmp_path):
    made, workflow_id = submitted(tmp_path)
    answer = made.update_p2p_workflow_status(workflow_id=workflow_id, status="completed", result={"n": 1})
    assert set(answer) == {"success", "workflow_id", "new_status", "message"}
    assert (answer["success"], answer["workflow_id"], answer["new_status"]) == (True, workflow_id, "completed")
    assert made.get_p2p_workflow_status(workflow_id)["result"] == {"n": 1}


def test_update_refuses_bad_words_unknown_ids_and_steps_back(tmp_path):
    made, workflow_id = submitted(tmp_path)
    assert made.update_p2p_workflow_status(workflow_id, "bogus") == {
        "success": False, "error": "Invalid status: bogus", "valid_statuses": STATUSES,
    }
    assert made.update_p2p_workflow_status("nope", "completed") == {
        "success": False, "workflow_id": "nope", "error": "Workflow not found",
    }
    made.update_p2p_workflow_status(workflow_id, "completed")
    again = made.update_p2p_workflow_status(workflow_id, "pending")
    assert (again["success"], again["workflow_id"]) == (False, workflow_id)
    assert "stays so" in again["error"]


def test_peers_are_added_and_removed(tmp_path):
    made = tools(tmp_path)
    added = made.add_p2p_peer(peer_id="peer-2")
    assert set(added) == {"success", "peer_id", "message"}
    assert made.coordinator.peer_list == ["peer-1", "peer-2"]
    removed = made.remove_p2p_peer(peer_id="peer-2")
    assert (set(removed), removed["success"]) == ({"success", "peer_id", "message"}, True)
    for answer in (made.add_p2p_peer(""), made.remove_p2p_peer("peer-1")):
        assert set(answer) == {"success", "error", "peer_id"}
        assert answer["success"] is False


def test_fault_42_what_changed_nothing_says_so(tmp_path):
    made = tools(tmp_path, "peer-2")
    assert "already" in made.add_p2p_peer("peer-2")["message"]
    unknown = made.remove_p2p_peer("nobody")
    assert unknown["success"] is True
    assert "nothing changed" in unknown["message"]
    assert made.list_p2p_workflows(status="")["success"] is False


def test_stats_are_those_of_the_coordinator(tmp_path):
    made, _ = submitted(tmp_path)
    assert made.get_p2p_stats() == {"success": True, **made.coordinator.get_stats()}


def test_tags_are_told_of_a_file(tmp_path):
    made = tools(tmp_path)
    file = workflow(tmp_path, text="name: N\nlabels: [p2p-workflow, b]\njobs: {j: {name: offline-workflow}}\n")
    assert made.parse_workflow_tags(workflow_file=file) == {
        "success": True, "workflow_file": file, "is_p2p": True,
        "metadata": {"name": "N", "tags": ["b", "offline-workflow", "p2p-workflow"], "jobs": ["j"]},
    }
    plain = made.parse_workflow_tags(workflow(tmp_path, "plain.yml", "on: push\n"))
    assert (plain["success"], plain["is_p2p"], plain["metadata"]["name"]) == (True, False, "plain")
    assert made.parse_workflow_tags("/no/such.yml") == {
        "success": False, "error": "Workflow file not found: /no/such.yml", "is_p2p": False,
    }


def test_fault_23_a_file_that_is_no_yaml_is_told_as_such(tmp_path):
    file = workflow(tmp_path, text="name: p2p-workflow\nx: [")
    answer = tools(tmp_path).parse_workflow_tags(file)
    assert set(answer) == {"success", "error", "workflow_file", "is_p2p"}
    assert (answer["success"], answer["is_p2p"], answer["workflow_file"]) == (False, False, file)
    assert answer["error"].startswith(f"{file}:3:1: not YAML")


def test_my_workflows_are_those_of_this_peer(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.assign_p2p_workflows()
    answer = made.get_my_p2p_workflows()
    assert set(answer) == {"success", "count", "peer_id", "workflows"}
    assert (answer["count"], answer["peer_id"]) == (1, "peer-1")
    assert answer["workflows"][0]["workflow_id"] == workflow_id
    assert set(answer["workflows"][0]) == WORKFLOW_KEYS


def test_no_tool_raises_whatever_it_is_given(tmp_path):
    made = tools(tmp_path)
    for tool in (*MCP_TOOLS, *MORE_TOOLS):
        method = getattr(made, tool["name"])
        for value in (None, 5, [], {}, object(), "x" * 10_000):
            arguments = dict.fromkeys(tool["inputSchema"]["properties"], value)
            if arguments:
                answer = method(**arguments)
                assert answer["success"] in (True, False)
                assert answer["success"] or answer["error"]
        assert method(nonsense=1)["success"] is False


def test_without_a_coordinator_the_first_call_makes_the_one_of_the_command_line(tmp_path, monkeypatch):
    """Fault 41: the command and the tools use one state."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CLOCKMESH_HOME", "XDG_STATE_HOME", "P2P_PEER_ID", "P2P_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    made = P2PWorkflowTools()
    assert not (tmp_path / ".ipfs_kit").exists()
    assert made.get_p2p_stats()["peer_id"] == "cli-peer"
    assert (tmp_path / ".ipfs_kit/p2p_workflows").is_dir()
    monkeypatch.setenv("P2P_PEER_ID", "mine")
    monkeypatch.setenv("P2P_DATA_DIR", str(tmp_path / "other"))
    assert P2PWorkflowTools().get_p2p_stats()["peer_id"] == "mine"
    assert (tmp_path / "other").is_dir()


def test_more_tools_explain_and_cancel(tmp_path):
    made, workflow_id = submitted(tmp_path, "peer-2")
    assert "waits for an owner" in made.explain_p2p_workflow(workflow_id)["why"][0]
    made.assign_p2p_workflows()
    owner = made.get_p2p_workflow_status(workflow_id)["assigned_peer"]
    first, second = made.explain_p2p_workflow(workflow_id)["why"]
    assert f"assigned to {owner}" in first
    assert second.startswith(f"the nearest peer owns it (distances: {owner} ")
    assert made.get_p2p_run_logs(workflow_id)["success"] is False
    assert made.cancel_p2p_workflow(workflow_id)["success"] is True
    assert made.get_p2p_workflow_status(workflow_id)["status"] == "cancelled"
    for tool in (made.explain_p2p_workflow, made.cancel_p2p_workflow, made.get_p2p_run_logs):
        assert tool("nope") == {"success": False, "error": "Workflow not found", "workflow_id": "nope"}


def test_a_calls_arguments_are_checked_by_the_schema():
    submit = MCP_TOOLS[0]
    assert problem_of(submit, {"workflow_file": "w.yml", "inputs": {}, "priority": 1}) is None
    assert "'workflow_file' is missing" in problem_of(submit, {})
    assert "no argument 'file'" in problem_of(submit, {"workflow_file": "w", "file": "x"})
    assert "must be of type number" in problem_of(submit, {"workflow_file": "w", "priority": True})
    assert "must be of type object" in problem_of(submit, {"workflow_file": "w", "inputs": []})


def test_the_tools_registration_of_the_guide_works(tmp_path):
    made = tools(tmp_path)
    handlers = {tool["name"]: getattr(made, tool["name"]) for tool in MCP_TOOLS}
    assert handlers["get_p2p_stats"]()["success"] is True


def test_the_tools_see_what_python_does(tmp_path):
    made, workflow_id = submitted(tmp_path)
    python = P2PWorkflowCoordinator("peer-1", tmp_path / "state")
    python.update_workflow_status(workflow_id, WorkflowStatus.FAILED, error="e")
    assert made.get_p2p_workflow_status(workflow_id)["error"] == "e"
