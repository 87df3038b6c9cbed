"""The tools that `clockmesh mcp` offers, as data: the ten of the reference in their order, and three more."""

from __future__ import annotations

from typing import Any

from clockmesh.daemon.embedded_task import WorkflowStatus

STATUSES = [status.value for status in WorkflowStatus]

_TEXT = {"type": "string"}
_ID = {"type": "string", "description": "The workflow's id, as submit_p2p_workflow returned it"}
_STATUS = {"type": "string", "enum": STATUSES, "description": "A status of workflows"}
_PEER = {"type": "string", "description": "A peer's id"}
_FILE = {"type": "string", "description": "Path of a workflow file in GitHub Actions syntax"}


def _tool(name: str, description: str, required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {key: dict(value) for key, value in properties.items()}}
    if required:
        schema["required"] = list(required)
    return {"name": name, "description": description, "inputSchema": schema}


MCP_TOOLS: list[dict[str, Any]] = [
    _tool(
        "submit_p2p_workflow",
        "Submit a workflow file that carries the tag p2p-workflow or offline-workflow; answers with its id",
        ("workflow_file",),
        workflow_file=_FILE,
        name={**_TEXT, "description": "What to call it (default: the name in the file)"},
        inputs={"type": "object", "description": "Inputs of the workflow"},
        priority={"type": "number", "description": "1 critical ... 6 and more very low (default: 5)"},
    ),
    _tool("assign_p2p_workflows", "Give the pending workflows to the peers nearest to them, most urgent first; on a "
                                  "mesh, where peers do that by themselves, tell what is assigned"),
    _tool("get_p2p_workflow_status", "Tell all that is known of one workflow", ("workflow_id",), workflow_id=_ID),
    _tool("list_p2p_workflows", "List workflows, oldest first, all or those of a status and a peer", (),
          status=_STATUS, peer_id=_PEER),
    _tool(
        "update_p2p_workflow_status",
        "Say how far a workflow is that you execute yourself, and what came of it",
        ("workflow_id", "status"),
        workflow_id=_ID,
        status=_STATUS,
        result={"type": "object", "description": "What came of it, when it has ended"},
        error={**_TEXT, "description": "Why it failed"},
    ),
    _tool("add_p2p_peer", "Add a peer; on a mesh, make the line by which one machine can join", ("peer_id",),
          peer_id=_PEER),
    _tool("remove_p2p_peer", "Remove a peer; what it had not ended goes to another", ("peer_id",), peer_id=_PEER),
    _tool("get_p2p_stats", "Count workflows, peers and what the clock holds"),
    _tool("parse_workflow_tags", "Tell whether a workflow file is tagged for the mesh, and with what",
          ("workflow_file",), workflow_file=_FILE),
    _tool("get_my_p2p_workflows", "List the workflows that this peer owns"),
]

MORE_TOOLS: list[dict[str, Any]] = [
    _tool(
        "get_p2p_run_logs",
        "Read the log of a workflow's jobs, from whichever peer has it (of a mesh only)",
        ("workflow_id",),
        workflow_id=_ID,
        job={**_TEXT, "description": "Of this job only, such as build or build (a, 1)"},
        limit={"type": "integer", "minimum": 1, "description": "The last so many lines (default: 500)"},
    ),
    _tool("explain_p2p_workflow", "Tell why a workflow is where it is", ("workflow_id",), workflow_id=_ID),
    _tool("cancel_p2p_workflow", "Ask for a workflow's end", ("workflow_id",), workflow_id=_ID),
]


def problem_of(tool: dict[str, Any], arguments: dict[str, Any]) -> str | None:
    """What is wrong with a call's arguments, in one line. Words of an enumeration are the tool's own to judge."""
    schema = tool["inputSchema"]
    known = schema["properties"]
    for name in schema.get("required", ()):
        if name not in arguments:
            return f"{tool['name']}: the argument {name!r} is missing"
    for name, value in arguments.items():
        if name not in known:
            return f"{tool['name']} has no argument {name[:60]!r}; it has: {', '.join(known) or 'none'}"
        if value is not None and not _is_of(known[name]["type"], value):
            return f"{tool['name']}: the argument {name!r} must be of type {known[name]['type']}, not {value!r:.60}"
    return None


_KINDS: dict[str, tuple[type, ...]] = {"string": (str,), "object": (dict,), "number": (int, float), "integer": (int,)}


def _is_of(kind: str, value: object) -> bool:
    return isinstance(value, _KINDS[kind]) and not isinstance(value, bool)
