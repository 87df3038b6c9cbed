"""The reference's state file: read once and checked as far as it can be, and its layout written for other tools.

Its nodes carry no signature, so what is imported becomes this peer's own nodes, with their events and times. A file
that this project wrote carries signed nodes, which are merged as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from clockmesh.coordinator.queue import check_priority
from clockmesh.daemon.embedded_clock import MerkleClock
from clockmesh.daemon.embedded_task import WorkflowTask
from clockmesh.daemon.embedded_values import check_peer_id, json_object, json_text
from clockmesh.daemon.identity import sync_folder

_HASHED = ("timestamp", "peer_id", "data", "parent_hash", "logical_clock")


@dataclass(frozen=True, slots=True)
class Imported:
    """What a state file holds."""

    digest: bytes
    """SHA-256 of the file."""
    peers: list[str]
    tasks: list[WorkflowTask]
    events: list[tuple[int, dict[str, Any]]]
    """Of unsigned nodes: milliseconds since 1970, and what was noted."""
    clock: MerkleClock | None
    """Of signed ones."""


def read_state(path: Path, peer_id: str) -> Imported:
    """The state in a file; ValueError, which begins with the file, for one that is damaged, changed or another
    peer's."""
    try:
        data = path.read_bytes()
        state = json.loads(data, parse_constant=_no_number)
        if not isinstance(state, dict):
            raise ValueError("it is no JSON object")
        if state.get("peer_id") != peer_id:
            raise ValueError(f"it is the state of peer {state.get('peer_id')!r:.60}, not of {peer_id!r}")
        clock = state.get("merkle_clock") or {"peer_id": peer_id, "nodes": []}
        signed = any("signature" in node for node in clock["nodes"])
        return Imported(
            digest=sha256(data).digest(),
            peers=[check_peer_id(peer) for peer in state.get("peer_list") or [peer_id]],
            tasks=[_task(name, told) for name, told in (state.get("workflows") or {}).items()],
            events=[] if signed else _events(clock),
            clock=_verified(clock) if signed else None,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: this state cannot be imported: {why}; nothing was changed. Mend it, or move it "
                         "away to begin anew") from error


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _verified(told: Mapping[str, Any]) -> MerkleClock:
    clock = MerkleClock.from_dict(told)
    if not clock.verify_chain():
        raise ValueError("its clock does not verify")
    return clock


def _events(clock: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The events of unsigned nodes: each hash is computed again, parents must be there, and the head the last."""
    nodes = clock["nodes"]
    known = {node["hash"] for node in nodes} | {None}
    for place, node in enumerate(nodes):
        text = json.dumps({key: node[key] for key in _HASHED}, sort_keys=True)
        if sha256(text.encode()).hexdigest() != node["hash"]:
            raise ValueError(f"node {place} of its clock was changed: its hash is another")
        if node["parent_hash"] not in known:
            raise ValueError(f"the node before node {place} of its clock is missing")
    if nodes and (clock.get("head_hash") not in known or clock.get("head_hash") is None):
        raise ValueError("the head of its clock is missing")
    if nodes and clock.get("logical_clock") != max(node["logical_clock"] for node in nodes):
        raise ValueError("its logical clock is not that of its nodes")
    return [(round(node["timestamp"] * 1000), json_object(node["data"], "an event")) for node in nodes]


def _task(name: str, told: Mapping[str, Any]) -> WorkflowTask:
    try:
        task = WorkflowTask.from_dict(told)
        task.priority = check_priority(task.priority)
        task.inputs = json_object(task.inputs or {}, "inputs")
    except ValueError as error:
        raise ValueError(f"workflow {name}: {error}") from None
    if task.workflow_id != name or not all(isinstance(text, str) for text in (task.name, task.workflow_file)):
        raise ValueError(f"workflow {name}: its id, name or file is not what it should be")
    return task


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the file whole or not at all."""
    json_text(state, "the state")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=2, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)
