"""What a coordinator can do, be it embedded or a daemon's, and which of the two a program means that names none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

from clockmesh.daemon.cli_arguments import default_home
from clockmesh.daemon.client import Client
from clockmesh.daemon.embedded_task import WorkflowStatus, WorkflowTask

DEFAULT_PEER = "cli-peer"


class Coordinator(Protocol):
    """`P2PWorkflowCoordinator` or `AttachedCoordinator`: see the methods there."""

    @property
    def peer_id(self) -> str: ...
    @property
    def peer_list(self) -> list[str]: ...

    def submit_workflow(self, workflow_file: str | os.PathLike[str], name: str | None = None,
                        inputs: Mapping[str, Any] | None = None, priority: float | None = None,
                        force: bool = False) -> str: ...
    def assign_workflows(self) -> list[str]: ...
    def get_my_workflows(self) -> list[WorkflowTask]: ...
    def update_workflow_status(self, workflow_id: str, status: WorkflowStatus, result: Mapping[str, Any] | None = None,
                               error: str | None = None) -> bool: ...
    def get_workflow_status(self, workflow_id: str) -> dict[str, Any] | None: ...
    def list_workflows(self, status: WorkflowStatus | None = None,
                       peer_id: str | None = None) -> list[dict[str, Any]]: ...
    def add_peer(self, peer_id: str) -> str | None: ...
    def remove_peer(self, peer_id: str) -> None: ...
    def get_stats(self) -> dict[str, Any]: ...
    def explain_workflow(self, workflow_id: str) -> list[str] | None: ...
    def get_workflow_logs(self, workflow_id: str, job: str | None = None) -> list[dict[str, Any]] | None: ...


def chosen_coordinator(home: str | None = None, environment: Mapping[str, str] = os.environ) -> Coordinator:
    """The daemon of this home, where one runs and belongs to a mesh; else the embedded coordinator of $P2P_PEER_ID
    (`cli-peer`) in $P2P_DATA_DIR (~/.ipfs_kit/p2p_workflows)."""
    client = Client(home or default_home(environment))
    if client.answers() and client.get("/v1/status")["mesh"] is not None:
        from clockmesh.daemon.attached import AttachedCoordinator

        return AttachedCoordinator(client, works=False)
    from clockmesh.daemon.embedded import P2PWorkflowCoordinator

    peer_id = environment.get("P2P_PEER_ID") or DEFAULT_PEER
    return P2PWorkflowCoordinator(peer_id, environment.get("P2P_DATA_DIR") or None)
