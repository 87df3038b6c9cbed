"""State of the embedded coordinator: kept, verified, imported from the reference and exported in its layout."""

from __future__ import annotations

import json
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from clockmesh import MerkleClock, P2PWorkflowCoordinator, WorkflowStatus
from tests.unit.seed_workflows import coordinator, submitted, workflow

DONE, WAITING, RUNNING = "0123456789abcdef", "fedcba9876543210", "00000000000000aa"


def reference_node(parent: dict | None, data: dict, timestamp: float) -> dict:
    """As SEED_API 3 describes the reference's: no signature, a hash of the five other fields."""
    node = {"timestamp": timestamp, "peer_id": "peer-1", "data": data | {"timestamp": timestamp},
            "parent_hash": parent and parent["hash"], "logical_clock": 1 + (parent["logical_clock"] if parent else 0)}
    return node | {"hash": sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()}


def reference_state() -> dict:
    """What a program of the reference left: a peer added, three workflows, one of them done."""
    nodes: list[dict] = []
    for at, data in enumerate((
        {"event": "peer_added", "peer_id": "peer-2"},
        {"event": "workflow_submitted", "workflow_id": DONE, "peer_id": "peer-1"},
        {"event": "workflow_submitted", "workflow_id": WAITING, "peer_id": "peer-1"},
        {"event": "workflow_submitted", "workflow_id": RUNNING, "peer_id": "peer-1"},
    )):
        nodes.append(reference_node(nodes[-1] if nodes else None, data, 1_750_000_000.123456 + at))

    def told(workflow_id: str, status: str, **more: object) -> dict:
        return {"workflow_id": workflow_id, "name": status, "workflow_file": "w.yml", "inputs": {"k": 1},
                "priority": 5.0, "tags": ["p2p-workflow", "x"], "status": status, "assigned_peer": None,
                "created_at": 1_750_000_001.5, "started_at": None, "completed_at": None, "result": None,
                "error": None} | more

    return {
        "peer_id": "peer-1",
        "peer_list": ["peer-1", "peer-2"],
        "merkle_clock": {"peer_id": "peer-1", "head_hash": nodes[-1]["hash"], "logical_clock": 4, "nodes": nodes},
        "workflows": {
            DONE: told(DONE, "completed", assigned_peer="peer-2", completed_at=1_750_000_009.0, result={"n": 1}),
            WAITING: told(WAITING, "pending", priority=1.0),
            RUNNING: told(RUNNING, "in_progress", assigned_peer="peer-1"),
        },
        "saved_at": 1_750_000_010.0,
    }


def place(folder: Path, state: dict | None = None) -> Path:
    file = folder / "state" / "coordinator_state_peer-1.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(state or reference_state(), indent=2))
    return file


def test_state_is_there_again_after_a_restart(tmp_path):
    made, workflow_id = submitted(tmp_path, "peer-2")
    made.assign_workflows()
    made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED, result={"a": [1, None]})
    before = made.list_workflows(), made.peer_list, made.get_stats(), made.merkle_clock.to_dict()
    made.close()
    again = coordinator(tmp_path)
    assert (again.list_workflows(), again.peer_list, again.get_stats(), again.merkle_clock.to_dict()) == before


def test_each_peer_of_a_folder_has_its_own_state(tmp_path):
    one, other = coordinator(tmp_path, "peer-1"), coordinator(tmp_path, "peer-2")
    workflow_id = one.submit_workflow(workflow(tmp_path))
    assert other.get_workflow_status(workflow_id) is None
    assert one.merkle_clock.public_key != other.merkle_clock.public_key


def test_the_export_has_the_references_layout(tmp_path):
    made, workflow_id = submitted(tmp_path, "peer-2")
    file = made.export_state()
    assert file == tmp_path / "state" / "coordinator_state_peer-1.json"
    text = file.read_text()
    state = json.loads(text)
    assert set(state) == {"peer_id", "peer_list", "merkle_clock", "workflows", "saved_at"}
    assert text == json.dumps(state, indent=2)
    assert (state["peer_id"], state["peer_list"]) == ("peer-1", ["peer-1", "peer-2"])
    assert state["workflows"] == {workflow_id: made.get_workflow_status(workflow_id)}
    assert isinstance(state["saved_at"], float)
    assert MerkleClock.from_dict(state["merkle_clock"]).verify_chain()
    assert not list(file.parent.glob("*.tmp"))
    elsewhere = made.export_state(tmp_path / "copy.json")
    assert json.loads(elsewhere.read_text())["workflows"] == state["workflows"]


def test_an_export_in_the_folder_is_not_imported_again(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.export_state()
    made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    again = coordinator(tmp_path)
    assert again.get_workflow_status(workflow_id)["status"] == "completed"
    assert again.merkle_clock.logical_clock == 2


def test_the_references_state_is_imported_once_and_left_alone(tmp_path):
    file = place(tmp_path)
    before = file.read_bytes()
    made = coordinator(tmp_path)
    assert made.peer_list == ["peer-1", "peer-2"]
    assert made.get_workflow_status(DONE) == reference_state()["workflows"][DONE]
    assert [told["workflow_id"] for told in made.list_workflows()] == [DONE, WAITING, RUNNING]
    clock = made.merkle_clock
    assert clock.logical_clock == 4
    assert [node.data for node in clock.nodes] == [node["data"] for node in reference_state()["merkle_clock"]["nodes"]]
    assert [node.timestamp for node in clock.nodes] == [1_750_000_000.123 + at for at in range(4)]
    assert clock.verify_chain()
    assert made.get_stats()["queue_size"] == 1
    assert made.assign_workflows() == [WAITING]
    made.update_workflow_status(RUNNING, WorkflowStatus.COMPLETED)
    again = coordinator(tmp_path)
    assert again.get_workflow_status(RUNNING)["status"] == "completed"
    assert again.merkle_clock.logical_clock == 6
    assert file.read_bytes() == before


def test_an_export_leaves_the_references_file_alone(tmp_path):
    file = place(tmp_path)
    before = file.read_bytes()
    exported = coordinator(tmp_path).export_state()
    assert exported.name == "coordinator_state_peer-1_exported.json"
    assert file.read_bytes() == before
    assert json.loads(exported.read_text())["workflows"] == reference_state()["workflows"]


def test_an_export_can_be_taken_to_another_machine(tmp_path):
    made, workflow_id = submitted(tmp_path / "here", "peer-2")
    made.assign_workflows()
    there = tmp_path / "there" / "state"
    there.mkdir(parents=True)
    made.export_state(there / "coordinator_state_peer-1.json")
    moved = coordinator(tmp_path / "there")
    assert moved.list_workflows() == made.list_workflows()
    assert moved.peer_list == made.peer_list
    assert moved.merkle_clock.head_hash == made.merkle_clock.head_hash
    assert moved.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    made.merkle_clock.merge(moved.merkle_clock)
    assert made.merkle_clock.verify_chain()


def refused(folder: Path, state: dict) -> str:
    file = place(folder, state)
    before = file.read_bytes()
    with pytest.raises(ValueError) as error:
        coordinator(folder)
    assert file.read_bytes() == before
    return str(error.value)


def test_a_changed_reference_state_is_refused(tmp_path):
    def state(**clock: object) -> dict:
        whole = reference_state()
        whole["merkle_clock"] |= clock
        return whole

    nodes = reference_state()["merkle_clock"]["nodes"]
    forged = [nodes[0] | {"data": {"event": "forged"}}, *nodes[1:]]
    assert "node 0 of its clock was changed" in refused(tmp_path, state(nodes=forged))
    assert "before node 0 of its clock is missing" in refused(tmp_path, state(nodes=nodes[1:]))
    assert "the head of its clock is missing" in refused(tmp_path, state(nodes=nodes[:-1]))
    assert "its logical clock is not" in refused(tmp_path, state(logical_clock=9))
    signed = submitted(tmp_path / "other")[0].merkle_clock.to_dict()
    signed["nodes"][0]["data"]["event"] = "forged"
    assert "its clock does not verify" in refused(tmp_path, reference_state() | {"merkle_clock": signed})


@pytest.mark.parametrize(("change", "words"), [
    ({"status": "bogus"}, "bogus"), ({"priority": "high"}, "priority"), ({"inputs": [1]}, "inputs"),
    ({"workflow_id": "other"}, "its id"), ({"priority": float("nan")}, "NaN"),
])
def test_a_reference_state_with_a_bad_workflow_names_it(tmp_path, change, words):
    state = reference_state()
    state["workflows"][WAITING] |= change
    assert words in refused(tmp_path, state)


def test_a_changed_store_is_refused(tmp_path):
    made, _ = submitted(tmp_path, "peer-2", "peer-3")
    made.close()
    file = tmp_path / "state" / "coordinator_peer-1.db"
    whole = file.read_bytes()

    def after(*statements: str) -> None:
        file.write_bytes(whole)
        connection = sqlite3.connect(file)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        with pytest.raises(ValueError, match=r"changed by something else|damaged"):
            coordinator(tmp_path)

    after("DELETE FROM node WHERE id = 3")
    after("DELETE FROM node WHERE id = 1")
    for number in (1, 2, 3):
        after(f"UPDATE node SET data = CAST(replace(CAST(data AS BLOB), X'70656572', X'70656571') AS BLOB) "
              f"WHERE id = {number}")
    file.write_bytes(whole)
    assert coordinator(tmp_path).get_stats()["total_workflows"] == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ValueError, match="cannot use the data directory"):
        coordinator(tmp_path)


def test_a_coordinator_is_a_context_manager(tmp_path):
    with P2PWorkflowCoordinator("peer-1", tmp_path) as made:
        made.add_peer("peer-2")
    assert P2PWorkflowCoordinator("peer-1", tmp_path).peer_list == ["peer-1", "peer-2"]
