"""The verb `mcp`."""

from __future__ import annotations

from clockmesh.daemon.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from clockmesh.daemon.cli_arguments import Asked


def mcp_verb(asked: Asked) -> int:
    from clockmesh.daemon.mcp import P2PWorkflowTools
    from clockmesh.daemon.mcp_server import serve

    serve(P2PWorkflowTools(home=asked.home))
    return Exit.OK
