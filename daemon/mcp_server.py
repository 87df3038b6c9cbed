"""`clockmesh mcp`: the tools of `mcp` over standard input and output, by the Model Context Protocol's own package."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from clockmesh import __version__
from clockmesh.daemon.mcp import MCP_TOOLS, MORE_TOOLS, P2PWorkflowTools, problem_of

_TOOLS = {tool["name"]: tool for tool in (*MCP_TOOLS, *MORE_TOOLS)}


def make_server(tools: P2PWorkflowTools) -> Server[Any]:
    """A server that lists and calls these tools. A call that fails answers with the tool's own `success` false."""

    listed = types.ListToolsResult(tools=[
        types.Tool(name=tool["name"], description=tool["description"], input_schema=tool["inputSchema"])
        for tool in _TOOLS.values()
    ])

    async def list_tools(*_: object) -> types.ListToolsResult:
        return listed

    async def call_tool(_: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        # In a thread: it waits for a disk or a daemon, and the client may ask for something else meanwhile.
        answer = await asyncio.to_thread(_called, tools, params.name, params.arguments or {})
        text = json.dumps(answer, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)],
            structured_content=answer,
            is_error=not answer["success"],
        )

    return Server("clockmesh", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _called(tools: P2PWorkflowTools, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    tool = _TOOLS.get(name)
    if tool is None:
        return {"success": False, "error": f"there is no tool {name[:60]!r}; there are: {', '.join(_TOOLS)}"}
    if problem := problem_of(tool, arguments):
        return {"success": False, "error": problem}
    answer: dict[str, Any] = getattr(tools, name)(**arguments)
    return answer


async def _serve(tools: P2PWorkflowTools) -> None:
    server = make_server(tools)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def serve(tools: P2PWorkflowTools) -> None:
    """Serve until standard input ends."""
    asyncio.run(_serve(tools))
