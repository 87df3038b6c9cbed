"""`clockmesh p2p` as users of `ipfs-kit p2p` type it, row by row, embedded; on a mesh in acceptance/test_p2p.py."""

from __future__ import annotations

import json
import re

import pytest

from clockmesh.daemon.cli import main
from tests.unit.seed_workflows import workflow

STATUSES = "pending, assigned, in_progress, completed, failed, cancelled"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home without a daemon, and state in a folder of the test's own."""
    for name in ("CLOCKMESH_HOME", "XDG_STATE_HOME", "P2P_PEER_ID", "P2P_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Typed:
    """What came of a command."""

    def __init__(self, capsys, *words: str) -> None:
        self.status = main(["p2p", *words])
        self.out, self.error = capsys.readouterr()

    @property
    def value(self):
        return json.loads(self.out)


@pytest.fixture
def p2p(capsys):
    return lambda *words: Typed(capsys, *words)


def submit(p2p, home, *more: str) -> str:
    return p2p("workflow", "submit", workflow(home), "--json", *more).value["workflow_id"]


# ---- each command, in words and as JSON ----


def test_submit(p2p, home):
    said = p2p("workflow", "submit", workflow(home), "--name", "Task", "--priority", "1.0", "--inputs", '{"a": 1}')
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "✓ Workflow submitted successfully"
    assert re.fullmatch("  Workflow ID: [0-9a-f]{16}", lines[1])
    assert lines[2] == "  Status: pending"
    told = p2p("workflow", "status", lines[1].split()[-1], "--json").value
    assert (told["name"], told["priority"], told["inputs"]) == ("Task", 1.0, {"a": 1})
    value = p2p("workflow", "submit", workflow(home), "--json").value
    assert value == {"success": True, "workflow_id": value["workflow_id"], "status": "pending"}


def test_assign(p2p, home):
    assert p2p("workflow", "assign").out == "✓ Assigned 0 workflows to peers\n"
    one = submit(p2p, home)
    assert p2p("workflow", "assign").out.splitlines() == [
        "✓ Assigned 1 workflows to peers", "  Workflow IDs:", f"    - {one}",
    ]
    two = submit(p2p, home)
    assert p2p("workflow", "assign", "--json").value == {"success": True, "assigned_count": 1, "workflow_ids": [two]}


def test_status(p2p, home):
    one = submit(p2p, home, "--name", "Task")
    assert p2p("workflow", "status", one).out.splitlines() == [
        "Workflow: Task", f"  ID: {one}", "  Status: pending", "  Priority: 5.0", "  Tags: p2p-workflow",
    ]
    p2p("workflow", "assign")
    p2p("workflow", "update", one, "in_progress")
    p2p("workflow", "update", one, "completed", "--result", '{"n": 1}')
    lines = p2p("workflow", "status", one).out.splitlines()
    assert "  Assigned Peer: cli-peer" in lines
    assert [line.split(":")[0].strip() for line in lines[-2:]] == ["Started", "Completed"]
    value = p2p("workflow", "status", one, "--json").value
    assert len(value) == 13
    assert (value["status"], value["result"]) == ("completed", {"n": 1})


def test_list(p2p, home):
    assert p2p("workflow", "list").out == "Found 0 workflows\n"
    one, two = submit(p2p, home, "--name", "A"), submit(p2p, home, "--name", "B")
    p2p("workflow", "update", two, "failed", "--error", "Connection timeout")
    assert p2p("workflow", "list").out.splitlines() == [
        "Found 2 workflows",
        "• A", f"  ID: {one}", "  Status: pending", "  Priority: 5.0", "  Peer: unassigned",
        "• B", f"  ID: {two}", "  Status: failed", "  Priority: 5.0", "  Peer: unassigned",
    ]
    assert [told["workflow_id"] for told in p2p("workflow", "list", "--json").value] == [one, two]
    assert [told["error"] for told in p2p("workflow", "list", "--status", "failed", "--json").value] == [
        "Connection timeout"]
    assert p2p("workflow", "list", "--peer-id", "peer-2", "--json").value == []


def test_update(p2p, home):
    one = submit(p2p, home)
    assert p2p("workflow", "update", one, "in_progress").out == "✓ Workflow status updated to: in_progress\n"
    assert p2p("workflow", "update", one, "completed", "--json").value == {"success": True, "status": "completed"}


def test_peers(p2p):
    assert p2p("peer", "add", "peer-alpha").out == "✓ Peer added: peer-alpha\n"
    assert p2p("peer", "list").out.splitlines() == ["P2P Network Peers (2):", "  → cli-peer", "    peer-alpha"]
    assert p2p("peer", "list", "--json").value == {"peers": ["cli-peer", "peer-alpha"], "count": 2}
    assert p2p("peer", "remove", "peer-alpha").out == "✓ Peer removed: peer-alpha\n"
    assert p2p("peer", "add", "x", "--json").value == {"success": True, "peer_id": "x"}
    assert p2p("peer", "remove", "x", "--json").value == {"success": True, "peer_id": "x"}
    assert p2p("peer", "remove", "x").status == 0


def test_stats(p2p, home):
    submit(p2p, home)
    lines = p2p("stats").out.splitlines()
    assert set(lines[1]) == {"="}
    assert lines[2:] == ["Peer ID: cli-peer", "Total Workflows: 1", "Queue Size: 1", "Peer Count: 1",
                         "Merkle Clock Height: 1", "My Workflows: 0", "Status Counts:", "  pending: 1"]
    assert set(p2p("stats", "--json").value) == {
        "peer_id", "total_workflows", "queue_size", "peer_count", "merkle_clock_height", "status_counts",
        "my_workflows",
    }


# ---- exit statuses ----


@pytest.mark.parametrize("words", [
    ("workflow", "status", "nope"), ("workflow", "update", "nope", "completed"), ("workflow", "list", "--status", "x"),
    ("workflow", "update", "nope", "bogus"), ("workflow", "submit", "w.yml", "--inputs", "{"),
    ("workflow", "submit", "w.yml", "--inputs", "[1]"), ("workflow", "update", "x", "failed", "--result", "nonsense"),
    ("workflow", "submit", "none.yml"), ("peer", "add", ""), ("peer", "remove", "cli-peer"),
])
def test_what_is_refused_exits_1(p2p, home, words):
    workflow(home, "w.yml")
    said = p2p(*words)
    assert said.status == 1
    assert said.error.startswith("✗ ")
    assert said.error.count("\n") == 1
    as_json = p2p(*words, "--json")
    assert as_json.status == 1
    assert as_json.value["success"] is False
    assert as_json.value["error"]


@pytest.mark.parametrize("words", [
    ("--nonsense",), ("workflow", "submit"), ("workflow", "submit", "w", "--priority", "high"), ("bogus",),
    ("workflow", "status"), ("workflow", "list", "--stat", "pending"), ("peer", "add", "a", "b"),
])
def test_wrong_arguments_exit_2(p2p, words):
    said = p2p(*words)
    assert said.status == 2
    assert said.error.startswith("✗ ")


@pytest.mark.parametrize("words", [(), ("workflow",), ("peer",)])
def test_no_command_prints_help_and_exits_1(p2p, words):
    said = p2p(*words)
    assert said.status == 1
    assert said.out.startswith("usage: clockmesh p2p")


@pytest.mark.parametrize("words", [("--help",), ("workflow", "--help"), ("workflow", "submit", "-h"), ("stats", "-h")])
def test_help_exits_0(p2p, words):
    said = p2p(*words)
    assert said.status == 0
    assert said.out.startswith("usage: clockmesh p2p")


def test_a_bad_status_names_the_good_ones(p2p):
    assert p2p("workflow", "list", "--status", "bogus").out == f"  Valid statuses: {STATUSES}\n"
    assert p2p("workflow", "list", "--status", "bogus", "--json").value["valid_statuses"] == STATUSES.split(", ")


# ---- faults ----


def test_fault_40_json_may_stand_anywhere_and_is_all_there_is(p2p, capsys):
    for words in (["--json", "p2p", "peer", "list"], ["p2p", "--json", "peer", "list"],
                  ["p2p", "peer", "--json", "list"], ["p2p", "peer", "list", "--json"]):
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["count"] == 1


@pytest.mark.parametrize("priority", ["nan", "inf", "-inf"])
def test_fault_40_a_priority_is_a_finite_number(p2p, home, priority):
    assert p2p("workflow", "submit", workflow(home), f"--priority={priority}").status == 2
    assert p2p("workflow", "list", "--json").value == []


def test_fault_41_environment_names_peer_and_folder(p2p, home, monkeypatch):
    one = submit(p2p, home)
    assert (home / ".ipfs_kit/p2p_workflows").is_dir()
    monkeypatch.setenv("P2P_PEER_ID", "my-unique-peer-id")
    monkeypatch.setenv("P2P_DATA_DIR", str(home / "other"))
    assert p2p("stats", "--json").value["peer_id"] == "my-unique-peer-id"
    assert p2p("workflow", "status", one).status == 1
    assert (home / "other").is_dir()


def test_an_untagged_file_needs_force(p2p, home):
    file = workflow(home, text="name: plain\non: push\n")
    said = p2p("workflow", "submit", file)
    assert said.status == 1
    assert "labels: [p2p-workflow]" in said.error
    assert "--force" in said.error
    assert p2p("workflow", "submit", file, "--force").status == 0


def test_control_characters_of_a_file_do_not_reach_the_terminal(p2p, home):
    p2p("workflow", "submit", workflow(home), "--name", "a\x1b[2Jb")
    assert "\x1b" not in p2p("workflow", "list").out


def test_the_command_still_starts_light():
    """`p2p` and `mcp` are in the help; neither is imported for it."""
    import subprocess
    import sys

    code = ("import sys; from clockmesh.daemon.cli import main; main(['--help']); main(['--version']); "
            "assert not {'mcp', 'trio', 'nacl', 'yaml', 'sqlite3'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert "clockmesh mcp" not in done.stderr
    assert "p2p" in done.stdout
    assert "mcp" in done.stdout


def test_the_commands_can_be_had_from_python(home, capsys):
    from clockmesh import P2PWorkflowCLI, P2PWorkflowCoordinator, create_parser
    from clockmesh import main as p2p_main

    assert create_parser().parse_args(["workflow", "list", "--status", "pending"]).status == "pending"
    assert P2PWorkflowCLI(P2PWorkflowCoordinator("own", home / "x")).run(["stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["peer_id"] == "own"
    assert p2p_main(["peer", "list", "--json"]) == 0
