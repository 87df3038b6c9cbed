"""P2PWorkflowCoordinator as programs of the reference use it, row by row."""

from __future__ import annotations

import inspect
import json
import re
import time

import pytest

from benchmarks.embedded import measure
from clockmesh import P2PWorkflowCoordinator, WorkflowStatus, WorkflowTask
from clockmesh.daemon.attached import AttachedCoordinator
from tests.unit.seed_workflows import coordinator, submitted, workflow

KEYS = ["workflow_id", "name", "workflow_file", "inputs", "priority", "tags", "status", "assigned_peer", "created_at",
        "started_at", "completed_at", "result", "error"]


def events(made: P2PWorkflowCoordinator) -> list[dict]:
    return [node.data for node in made.merkle_clock.nodes]


# ---- status and task ----


def test_the_six_statuses_and_their_values():
    assert {status.name: status.value for status in WorkflowStatus} == {
        "PENDING": "pending", "ASSIGNED": "assigned", "IN_PROGRESS": "in_progress", "COMPLETED": "completed",
        "FAILED": "failed", "CANCELLED": "cancelled",
    }
    assert WorkflowStatus("pending") is WorkflowStatus.PENDING
    assert WorkflowStatus.PENDING != "pending"
    with pytest.raises(ValueError, match="bogus"):
        WorkflowStatus("bogus")


def test_a_task_has_the_defaults_of_the_reference():
    before = time.time()
    task = WorkflowTask("id", "name", "file.yml")
    assert (task.inputs, task.priority, task.tags, task.status) == ({}, 5.0, set(), WorkflowStatus.PENDING)
    assert (task.assigned_peer, task.started_at, task.completed_at, task.result, task.error) == (None,) * 5
    assert before <= task.created_at <= time.time()


def test_a_task_becomes_a_dict_and_comes_back():
    task = WorkflowTask("id", "n", "f", {"a": [1]}, 2.0, {"b", "a"}, WorkflowStatus.FAILED, "p", 1.0, 2.0, 3.0, {}, "e")
    told = task.to_dict()
    assert list(told) == KEYS
    assert (told["tags"], told["status"]) == (["a", "b"], "failed")
    assert WorkflowTask.from_dict(json.loads(json.dumps(told))) == task
    assert WorkflowTask.from_dict({"workflow_id": "i", "name": "n", "workflow_file": "f"}).priority == 5.0


@pytest.mark.parametrize("key", ["workflow_id", "name", "workflow_file"])
def test_a_task_needs_id_name_and_file(key):
    told = WorkflowTask("i", "n", "f").to_dict()
    del told[key]
    with pytest.raises(KeyError, match=key):
        WorkflowTask.from_dict(told)


# ---- the coordinator ----


def test_the_constructor_and_its_attributes(tmp_path):
    made = P2PWorkflowCoordinator("peer-1", str(tmp_path / "a" / "b"), False)
    assert (made.peer_id, made.data_dir, made.peer_list) == ("peer-1", tmp_path / "a" / "b", ["peer-1"])
    assert made.data_dir.is_dir()
    assert made.enable_auto_sync is False
    assert P2PWorkflowCoordinator("peer-2", tmp_path).enable_auto_sync is True
    assert made.merkle_clock.logical_clock == 0
    assert made.merkle_clock.peer_id == "peer-1"
    assert made.workflow_queue.is_empty()
    assert made.workflows == {}
    assert (made.P2P_TAG, P2PWorkflowCoordinator.OFFLINE_TAG) == ("p2p-workflow", "offline-workflow")


def test_the_default_folder_is_that_of_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("P2P_DATA_DIR", raising=False)
    made = P2PWorkflowCoordinator(peer_id="peer-1")
    assert made.data_dir == tmp_path / ".ipfs_kit" / "p2p_workflows"
    assert made.data_dir.is_dir()


def test_p2p_data_dir_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("P2P_DATA_DIR", str(tmp_path / "x"))
    assert P2PWorkflowCoordinator(peer_id="peer-1").data_dir == tmp_path / "x"


def test_submitting_gives_an_id_and_a_pending_workflow(tmp_path):
    made = coordinator(tmp_path)
    before = time.time()
    file = workflow(tmp_path)
    workflow_id = made.submit_workflow(workflow_file=file, name="Daily", inputs={"k": "v"}, priority=3.0)
    assert re.fullmatch("[0-9a-f]{16}", workflow_id)
    told = made.get_workflow_status(workflow_id)
    assert list(told) == KEYS
    created = told.pop("created_at")
    assert before <= created <= time.time()
    assert told == {
        "workflow_id": workflow_id, "name": "Daily", "workflow_file": file, "inputs": {"k": "v"}, "priority": 3.0,
        "tags": ["p2p-workflow"], "status": "pending", "assigned_peer": None, "started_at": None,
        "completed_at": None, "result": None, "error": None,
    }
    assert made.workflow_queue.peek_next()["workflow_id"] == workflow_id
    assert made.workflows[workflow_id].name == "Daily"


def test_the_name_is_the_arguments_else_the_files_else_its_stem(tmp_path):
    made = coordinator(tmp_path)
    named, unnamed = workflow(tmp_path), workflow(tmp_path, "plain.yml", "labels: p2p-workflow\n")
    names = [made.get_workflow_status(made.submit_workflow(file, name))["name"]
             for file, name in ((named, "mine"), (named, None), (unnamed, None))]
    assert names == ["mine", "P2P-Workflow Scraping", "plain"]


def test_inputs_and_priority_have_defaults(tmp_path):
    made, workflow_id = submitted(tmp_path)
    told = made.get_workflow_status(workflow_id)
    assert (told["inputs"], told["priority"]) == ({}, 5.0)


def test_assigning_gives_the_ids_once(tmp_path):
    made = coordinator(tmp_path, "peer-1", "peer-2", "peer-3")
    assert made.assign_workflows() == []
    ids = {made.submit_workflow(workflow(tmp_path)) for _ in range(5)}
    assert set(made.assign_workflows()) == ids
    assert made.assign_workflows() == []
    for told in made.list_workflows():
        assert told["status"] == "assigned"
        assert told["assigned_peer"] in made.peer_list


def test_my_workflows_are_tasks_of_any_status(tmp_path):
    made, workflow_id = submitted(tmp_path)
    assert made.get_my_workflows() == []
    made.assign_workflows()
    (mine,) = made.get_my_workflows()
    assert isinstance(mine, WorkflowTask)
    assert (mine.workflow_id, mine.assigned_peer) == (workflow_id, "peer-1")
    made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    assert [task.status for task in made.get_my_workflows()] == [WorkflowStatus.COMPLETED]


def test_in_progress_sets_the_start_once(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.assign_workflows()
    assert made.update_workflow_status(workflow_id, WorkflowStatus.IN_PROGRESS, result={"early": 1}, error="e") is True
    first = made.get_workflow_status(workflow_id)
    assert first["started_at"] is not None
    assert (first["result"], first["error"], first["completed_at"]) == (None, None, None)
    made.update_workflow_status(workflow_id, WorkflowStatus.IN_PROGRESS)
    assert made.get_workflow_status(workflow_id)["started_at"] == first["started_at"]


def test_completed_and_failed_take_the_end_and_its_outcome(tmp_path):
    made = coordinator(tmp_path)
    done, failed = (made.submit_workflow(workflow(tmp_path)) for _ in range(2))
    assert made.update_workflow_status(done, WorkflowStatus.COMPLETED, result={"items": 1000}) is True
    assert made.update_workflow_status(failed, WorkflowStatus.FAILED, error="Connection timeout") is True
    told = made.get_workflow_status(done)
    assert (told["status"], told["result"], told["error"]) == ("completed", {"items": 1000}, None)
    assert told["completed_at"] >= told["created_at"]
    told = made.get_workflow_status(failed)
    assert (told["status"], told["result"], told["error"]) == ("failed", None, "Connection timeout")
    assert told["completed_at"]


def test_an_unknown_id_answers_false_and_none(tmp_path):
    made = coordinator(tmp_path)
    assert made.update_workflow_status("nope", WorkflowStatus.COMPLETED) is False
    assert made.get_workflow_status("nope") is None
    assert made.merkle_clock.logical_clock == 0


def test_a_list_goes_by_submission_and_its_filters_are_anded(tmp_path):
    made = coordinator(tmp_path, "peer-1", "peer-2")
    ids = [made.submit_workflow(workflow(tmp_path), priority=9 - number) for number in range(8)]
    assert [told["workflow_id"] for told in made.list_workflows()] == ids
    made.assign_workflows()
    late = made.submit_workflow(workflow(tmp_path))
    assert [told["workflow_id"] for told in made.list_workflows(status=WorkflowStatus.PENDING)] == [late]
    split = [made.list_workflows(peer_id=peer) for peer in ("peer-1", "peer-2")]
    assert sum(map(len, split)) == 8
    made.update_workflow_status(split[1][0]["workflow_id"], WorkflowStatus.COMPLETED)
    both = made.list_workflows(status=WorkflowStatus.COMPLETED, peer_id="peer-2")
    assert [told["workflow_id"] for told in both] == [split[1][0]["workflow_id"]]
    assert made.list_workflows(status=WorkflowStatus.COMPLETED, peer_id="peer-1") == []


def test_peers_are_added_and_removed_once(tmp_path):
    made = coordinator(tmp_path)
    assert made.add_peer("peer-2") is None
    made.add_peer("peer-2")
    assert made.peer_list == ["peer-1", "peer-2"]
    assert made.remove_peer("nobody") is None
    made.remove_peer("peer-2")
    made.remove_peer("peer-2")
    assert made.peer_list == ["peer-1"]
    assert [event["event"] for event in events(made)] == ["peer_added", "peer_removed"]


def test_stats_have_seven_keys(tmp_path):
    made, workflow_id = submitted(tmp_path, "peer-2")
    assert made.get_stats() == {
        "peer_id": "peer-1", "total_workflows": 1, "queue_size": 1, "peer_count": 2, "merkle_clock_height": 2,
        "status_counts": {"pending": 1}, "my_workflows": 0,
    }
    made.assign_workflows()
    made.update_workflow_status(workflow_id, WorkflowStatus.FAILED)
    stats = made.get_stats()
    assert (stats["queue_size"], stats["status_counts"], stats["merkle_clock_height"]) == (0, {"failed": 1}, 4)
    assert stats["my_workflows"] == len(made.get_my_workflows())


def test_each_change_is_one_event(tmp_path):
    made, workflow_id = submitted(tmp_path, "peer-2")
    made.assign_workflows()
    made.update_workflow_status(workflow_id, WorkflowStatus.IN_PROGRESS)
    made.remove_peer("peer-2")
    owner = made.merkle_clock.nodes[2].data["peer_id"]
    told = events(made)
    assert all(isinstance(event.pop("timestamp"), float) for event in told)
    distance = told[2].pop("hamming_distance")
    assert 0 <= distance <= 256
    assert told == [
        {"event": "peer_added", "peer_id": "peer-2"},
        {"event": "workflow_submitted", "workflow_id": workflow_id, "peer_id": "peer-1"},
        {"event": "workflow_assigned", "workflow_id": workflow_id, "peer_id": owner},
        {"event": "workflow_status_changed", "workflow_id": workflow_id, "old_status": "assigned",
         "new_status": "in_progress", "peer_id": "peer-1"},
        {"event": "peer_removed", "peer_id": "peer-2"},
    ]


def test_the_clock_may_be_appended_to_and_merged_by_the_caller(tmp_path):
    made, _ = submitted(tmp_path)
    made.merkle_clock.append({"event": "heartbeat"})
    other = coordinator(tmp_path / "other", "peer-9", "x")
    made.merkle_clock.merge(other.merkle_clock)
    again = coordinator(tmp_path)
    assert again.merkle_clock.logical_clock == 2
    assert len(again.merkle_clock.nodes) == 3
    assert again.merkle_clock.verify_chain()
    assert again.merkle_clock.to_dict() == made.merkle_clock.to_dict()


# ---- files ----


def test_parsing_a_file_gives_its_metadata(tmp_path):
    made = coordinator(tmp_path)
    file = workflow(tmp_path, text="name: N\non: [push]\nlabels: [p2p-workflow, data]\njobs: {a: {}, b: {}}\n")
    for path in (file, tmp_path / "scrape.yml"):
        told = made.parse_workflow_file(path)
        assert (told["name"], told["tags"], told["jobs"]) == ("N", {"p2p-workflow", "data"}, ["a", "b"])
        assert told["triggers"] == ["push"]
        assert told["raw"]["labels"] == ["p2p-workflow", "data"]
        assert made.is_p2p_workflow(told) is True


def test_parsing_a_bad_file_gives_name_and_error(tmp_path):
    made = coordinator(tmp_path)
    for path in (tmp_path / "none.yml", workflow(tmp_path, "none.yml", "name: [")):
        told = made.parse_workflow_file(path)
        assert (told["name"], told["tags"]) == ("none", set())
        assert set(told) == {"name", "tags", "error"}
        assert made.is_p2p_workflow(told) is False


@pytest.mark.parametrize(("tags", "expected"), [
    ({"p2p-workflow"}, True), ({"offline-workflow", "x"}, True), (["p2p-workflow"], True), ({"x"}, False),
    (set(), False),
])
def test_either_tag_makes_a_p2p_workflow(tmp_path, tags, expected):
    assert coordinator(tmp_path).is_p2p_workflow({"tags": tags}) is expected


def test_four_times_the_workflows_are_about_four_times_the_work():
    """16 times would be quadratic. `./dev bench embedded` does the same with 2,500 and 10,000."""
    small, large = measure(250), measure(1000)
    for name in ("submit", "assign", "list"):
        assert large[name] < 10 * small[name] + 0.05, f"{name}: {small[name]:.4f} s, then {large[name]:.4f} s"


def test_a_daemons_coordinator_has_the_same_methods():
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    more = {"is_mine", "data_dir", "peer_id"}  # the last two are attributes there
    assert public(P2PWorkflowCoordinator) - {"attach"} == public(AttachedCoordinator) - more
    for name in public(P2PWorkflowCoordinator) - {"attach", "export_state"}:
        ours, theirs = getattr(P2PWorkflowCoordinator, name), getattr(AttachedCoordinator, name)
        if callable(ours):
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name
