"""`clockmesh p2p ...`: the commands of `ipfs-kit p2p`, on the daemon where one runs, else embedded.

Exit status: 0; 1 for whatever was refused, and without a verb; 2 for wrong arguments. `--json` may stand anywhere:
standard output is then one JSON value, whatever happens after the arguments are read.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from clockmesh.daemon.cli_arguments import default_home
from clockmesh.daemon.embedded_choice import Coordinator, chosen_coordinator
from clockmesh.daemon.embedded_task import WorkflowStatus
from clockmesh.daemon.exits import Trouble
from clockmesh.daemon.p2p_arguments import HelpWanted, create_parser, parse
from clockmesh.daemon.text import clean

__all__ = ["P2PWorkflowCLI", "create_parser", "main"]

_STATUSES = [status.value for status in WorkflowStatus]
Said = tuple[object, list[str]]
"""What a verb answers: as JSON, and in lines for people."""


class Refused(Exception):
    """One line why not; `told` is more of it, as JSON and for people."""

    def __init__(self, message: str, told: dict[str, object] | None = None, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.told = told or {}
        self.lines = lines


class P2PWorkflowCLI:
    """The commands on one coordinator; without one, on the one that $P2P_PEER_ID and --home mean."""

    def __init__(self, coordinator: Coordinator | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._coordinator = coordinator
        self._environment = environment

    def run(self, words: Sequence[str]) -> int:
        """The exit status of one command, without the word `p2p` itself."""
        rest, as_json, home = _general(words, self._environment)
        try:
            verb, options = parse(rest)
        except HelpWanted as wanted:
            print(wanted)
            return 1
        except SystemExit as ended:
            return int(ended.code or 0)
        try:
            value, lines = _DO[verb.words](self._coordinator or chosen_coordinator(home, self._environment), options)
        except Refused as refused:
            return _refuse(str(refused), as_json, refused.told, refused.lines)
        except Exception as error:  # what a user's command meets is told in one line, whatever it is
            return _refuse(error.message if isinstance(error, Trouble) else str(error) or type(error).__name__, as_json)
        print(json.dumps(value, ensure_ascii=False, indent=2) if as_json else "\n".join(map(clean, lines)), flush=True)
        return 0


def main(words: Sequence[str] | None = None) -> int:
    """The exit status of `clockmesh p2p WORDS`; the program's own arguments by default."""
    return P2PWorkflowCLI().run(sys.argv[1:] if words is None else words)


def _general(words: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], bool, str]:
    """The words without --json and --home, wherever they stood, and what they said."""
    rest: list[str] = []
    home = default_home(environment)
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--home" and left:
            home = left.pop(0)
        elif word.startswith("--home="):
            home = word.removeprefix("--home=")
        elif word != "--json":
            rest.append(word)
    return rest, "--json" in words, os.path.abspath(os.path.expanduser(home))


def _refuse(message: str, as_json: bool, told: Mapping[str, object] | None = None, lines: Sequence[str] = ()) -> int:
    line = clean(" ".join(message.splitlines()))
    print(f"✗ {line}", file=sys.stderr, flush=True)
    if as_json:
        answer = {"success": False, "error": message, **(told or {})}
        print(json.dumps(answer, ensure_ascii=False, indent=2), flush=True)
    elif lines:
        print("\n".join(lines), flush=True)
    return 1


# ---- the verbs ----


def _submit(made: Coordinator, options: Namespace) -> Said:
    inputs = _object(options.inputs, "--inputs")
    workflow_id = made.submit_workflow(options.file, name=options.name, inputs=inputs, priority=options.priority,
                                       force=options.force)
    lines = ["✓ Workflow submitted successfully", f"  Workflow ID: {workflow_id}", "  Status: pending"]
    return {"success": True, "workflow_id": workflow_id, "status": "pending"}, lines


def _assign(made: Coordinator, _: Namespace) -> Said:
    ids = made.assign_workflows()
    lines = [f"✓ Assigned {len(ids)} workflows to peers"]
    if ids:
        lines += ["  Workflow IDs:", *(f"    - {workflow_id}" for workflow_id in ids)]
    return {"success": True, "assigned_count": len(ids), "workflow_ids": ids}, lines


def _status(made: Coordinator, options: Namespace) -> Said:
    told = made.get_workflow_status(options.id)
    if told is None:
        raise _unknown(options.id)
    lines = [f"Workflow: {told['name']}", f"  ID: {told['workflow_id']}", f"  Status: {told['status']}",
             f"  Priority: {told['priority']}"]
    if told["assigned_peer"]:
        lines.append(f"  Assigned Peer: {told['assigned_peer']}")
    if told["tags"]:
        lines.append(f"  Tags: {', '.join(told['tags'])}")
    for label, key in (("Started", "started_at"), ("Completed", "completed_at")):
        if told[key]:
            lines.append(f"  {label}: {datetime.fromtimestamp(told[key]).isoformat(sep=' ', timespec='seconds')}")
    if told["error"]:
        lines.append(f"  Error: {told['error']}")
    return told, lines


def _list(made: Coordinator, options: Namespace) -> Said:
    wanted = None if options.status is None else _word(options.status)
    found = made.list_workflows(status=wanted, peer_id=options.peer_id)
    lines = [f"Found {len(found)} workflows"]
    for told in found:
        lines += [f"• {told['name']}", f"  ID: {told['workflow_id']}", f"  Status: {told['status']}",
                  f"  Priority: {told['priority']}", f"  Peer: {told['assigned_peer'] or 'unassigned'}"]
    return found, lines


def _update(made: Coordinator, options: Namespace) -> Said:
    status = _word(options.status)
    result = _object(options.result, "--result")
    if not made.update_workflow_status(options.id, status, result=result, error=options.error):
        raise _unknown(options.id)
    return {"success": True, "status": status.value}, [f"✓ Workflow status updated to: {status.value}"]


def _add(made: Coordinator, options: Namespace) -> Said:
    line = made.add_peer(options.id)
    told = {"success": True, "peer_id": options.id}
    if line is None:
        return told, [f"✓ Peer added: {options.id}"]
    return told | {"invitation": line}, [f"✓ To let {options.id} join, type there within an hour:", f"  {line}"]


def _remove(made: Coordinator, options: Namespace) -> Said:
    made.remove_peer(options.id)
    return {"success": True, "peer_id": options.id}, [f"✓ Peer removed: {options.id}"]


def _peers(made: Coordinator, _: Namespace) -> Said:
    peers = made.peer_list
    lines = [f"P2P Network Peers ({len(peers)}):"]
    lines += [f"  {'→' if peer == made.peer_id else ' '} {peer}" for peer in peers]
    return {"peers": peers, "count": len(peers)}, lines


def _stats(made: Coordinator, _: Namespace) -> Said:
    told = made.get_stats()
    lines = ["P2P Workflow Statistics", "=" * 40, f"Peer ID: {told['peer_id']}",
             f"Total Workflows: {told['total_workflows']}", f"Queue Size: {told['queue_size']}",
             f"Peer Count: {told['peer_count']}", f"Merkle Clock Height: {told['merkle_clock_height']}",
             f"My Workflows: {told['my_workflows']}"]
    if told["status_counts"]:
        lines += ["Status Counts:", *(f"  {status}: {count}" for status, count in told["status_counts"].items())]
    return told, lines


_DO: dict[str, Callable[[Coordinator, Namespace], Said]] = {
    "workflow submit": _submit,
    "workflow assign": _assign,
    "workflow status": _status,
    "workflow list": _list,
    "workflow update": _update,
    "peer add": _add,
    "peer remove": _remove,
    "peer list": _peers,
    "stats": _stats,
}


def _word(text: str) -> WorkflowStatus:
    if text not in _STATUSES:
        raise Refused(f"Invalid status: {text}", {"valid_statuses": _STATUSES},
                      [f"  Valid statuses: {', '.join(_STATUSES)}"])
    return WorkflowStatus(text)


def _object(text: str | None, option: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Refused(f"{option}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused(f"{option}: a JSON object is wanted, such as '{{\"key\": \"value\"}}'")
    return value


def _unknown(workflow_id: str) -> Refused:
    return Refused(f"Workflow not found: {workflow_id}")
