"""What was wrong with the reference's coordinator (SEED_API 9, 12 to 37) is not so here: a test for each, by number."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path

import pytest

from clockmesh import (
    P2PWorkflowCoordinator,
    WorkflowStatus,
    WorkflowTask,
    create_parser,
    create_task_hash,
    select_task_owner,
)
from clockmesh.daemon import embedded_state
from clockmesh.daemon.errors import Conflict
from clockmesh.daemon.mcp import MCP_TOOLS
from tests.unit.seed_workflows import coordinator, submitted, workflow


def books(made: P2PWorkflowCoordinator) -> tuple:
    """All that a refused call must leave as it was."""
    return made.list_workflows(), made.peer_list, made.merkle_clock.to_dict(), made.get_stats()


# ---- assignment ----


def test_fault_12_anybody_with_the_state_computes_the_same_owners(tmp_path):
    made = coordinator(tmp_path, "peer-1", "peer-2", "peer-3")
    for number in range(20):
        made.submit_workflow(workflow(tmp_path), priority=number % 3)
        if number % 4 == 0:
            made.assign_workflows()
    made.assign_workflows()
    state = json.loads(made.export_state().read_text())
    nodes = state["merkle_clock"]["nodes"]
    origin = {node["data"]["workflow_id"]: node["hash"] for node in nodes
              if node["data"]["event"] == "workflow_submitted"}
    assigned = [node["data"] for node in nodes if node["data"]["event"] == "workflow_assigned"]
    assert len(assigned) == 20
    for event in assigned:
        task = {key: state["workflows"][event["workflow_id"]][key] for key in ("workflow_id", "name", "priority")}
        head = origin[event["workflow_id"]]
        found = select_task_owner(head, create_task_hash(task), sorted(state["peer_list"]))
        assert found == (event["peer_id"], event["hamming_distance"])


def test_fault_13_what_a_removed_peer_had_goes_to_another(tmp_path):
    made = coordinator(tmp_path, "peer-1", "peer-2", "peer-3")
    ids = {made.submit_workflow(workflow(tmp_path)) for _ in range(30)}
    made.assign_workflows()
    theirs = made.list_workflows(peer_id="peer-2")
    assert len(theirs) > 2
    made.update_workflow_status(theirs[0]["workflow_id"], WorkflowStatus.COMPLETED)
    made.update_workflow_status(theirs[1]["workflow_id"], WorkflowStatus.IN_PROGRESS)
    made.remove_peer("peer-2")
    moved = {told["workflow_id"] for told in theirs[1:]}
    assert {told["workflow_id"] for told in made.list_workflows(status=WorkflowStatus.PENDING)} == moved
    assert made.get_stats()["queue_size"] == len(moved)
    assert set(made.assign_workflows()) == moved
    assert [told["workflow_id"] for told in made.list_workflows(peer_id="peer-2")] == [theirs[0]["workflow_id"]]
    assert {told["workflow_id"] for told in made.list_workflows()} == ids


def test_fault_13_a_peer_cannot_remove_itself(tmp_path):
    made, _ = submitted(tmp_path)
    with pytest.raises(ValueError, match="this peer itself"):
        made.remove_peer("peer-1")
    assert made.peer_list == ["peer-1"]
    assert len(made.assign_workflows()) == 1


@pytest.mark.parametrize("peer", ["", "  ", None, 7, "two\nlines"])
def test_fault_14_a_peer_id_is_a_name(tmp_path, peer):
    made = coordinator(tmp_path)
    before = books(made)
    with pytest.raises(ValueError):
        P2PWorkflowCoordinator(peer, str(tmp_path / "other"))
    with pytest.raises(ValueError):
        made.add_peer(peer)
    with pytest.raises(ValueError):
        made.remove_peer(peer)
    assert books(made) == before
    assert not (tmp_path / "other").exists()


# ---- the queue ----


def test_fault_15_assigning_goes_by_priority_and_empties_the_queue(tmp_path):
    made = coordinator(tmp_path, "peer-1", "peer-2")
    priorities = [5, 1, 9, 0, 1, -2]
    ids = [made.submit_workflow(workflow(tmp_path), priority=priority) for priority in priorities]
    assert made.get_stats()["queue_size"] == 6
    assert made.assign_workflows() == [ids[place] for place in (5, 3, 1, 4, 0, 2)]
    assert made.get_stats()["queue_size"] == made.workflow_queue.size() == 0


def test_fault_15_a_queue_that_a_caller_emptied_loses_no_workflow(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.workflow_queue.get_next_workflow()
    assert made.assign_workflows() == [workflow_id]


def test_fault_16_what_has_ended_does_not_go_back(tmp_path):
    made = coordinator(tmp_path)
    for end in (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED):
        workflow_id = made.submit_workflow(workflow(tmp_path))
        made.update_workflow_status(workflow_id, end, result={"kept": 1})
        before = books(made)
        for status in WorkflowStatus:
            with pytest.raises(ValueError, match="stays so"):
                made.update_workflow_status(workflow_id, status)
        assert books(made) == before


def test_fault_16_no_step_back(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.assign_workflows()
    with pytest.raises(ValueError, match="cannot go back"):
        made.update_workflow_status(workflow_id, WorkflowStatus.PENDING)
    made.update_workflow_status(workflow_id, WorkflowStatus.IN_PROGRESS)
    with pytest.raises(ValueError, match="cannot go back"):
        made.update_workflow_status(workflow_id, WorkflowStatus.ASSIGNED)
    assert made.get_workflow_status(workflow_id)["status"] == "in_progress"


def test_every_step_forward_is_legal(tmp_path):
    made = coordinator(tmp_path)
    order = [WorkflowStatus.PENDING, WorkflowStatus.ASSIGNED, WorkflowStatus.IN_PROGRESS, WorkflowStatus.COMPLETED]
    for place, first in enumerate(order):
        for second in [*order[place + 1 :], WorkflowStatus.FAILED, WorkflowStatus.CANCELLED]:
            if first is not WorkflowStatus.COMPLETED:
                workflow_id = made.submit_workflow(workflow(tmp_path))
                assert made.update_workflow_status(workflow_id, first)
                assert made.update_workflow_status(workflow_id, second)
    assert made.get_stats()["queue_size"] == 0


def test_fault_17_zero_is_a_priority(tmp_path):
    made = coordinator(tmp_path)
    for priority in (0, -1.5, 7):
        workflow_id = made.submit_workflow(workflow(tmp_path), priority=priority)
        assert made.get_workflow_status(workflow_id)["priority"] == priority


@pytest.mark.parametrize("priority", [math.nan, math.inf, -math.inf, "3", True, [1], 10**400])
def test_fault_17_what_is_no_finite_number_is_no_priority(tmp_path, priority):
    made, _ = submitted(tmp_path)
    before = books(made)
    with pytest.raises(ValueError):
        made.submit_workflow(workflow(tmp_path), priority=priority)
    assert books(made) == before


# ---- tags and submitting ----


def test_fault_22_what_is_not_eligible_leaves_no_trace(tmp_path):
    made = coordinator(tmp_path)
    before = books(made)
    untagged = workflow(tmp_path, "plain.yml", "name: x\non: push\njobs: {a: {}}\n")
    with pytest.raises(FileNotFoundError, match=r"none\.yml"):
        made.submit_workflow(str(tmp_path / "none.yml"))
    with pytest.raises(ValueError, match=f"{tmp_path}: a directory"):
        made.submit_workflow(str(tmp_path))
    with pytest.raises(ValueError, match=r"plain\.yml:1:1: .*labels: \[p2p-workflow\]"):
        made.submit_workflow(untagged)
    with pytest.raises(ValueError, match=r"bad\.yml:2:\d+: not YAML"):
        made.submit_workflow(workflow(tmp_path, "bad.yml", "name: p2p-workflow\nx: ]\n"), force=True)
    for content in ("name: p2p-workflow\njobs: {}\n", "x" * 5000, "a" * 300, 5, None):
        with pytest.raises((ValueError, FileNotFoundError)):
            made.submit_workflow(content)
    assert books(made) == before
    forced = made.submit_workflow(untagged, force=True)
    assert made.get_workflow_status(forced)["tags"] == []


@pytest.mark.parametrize("text", [
    "name: p2p-workflow\nx: [", "", "- p2p-workflow\n", "name: p2p-workflow\nlabels: [{a: b}]\n",
    "name: p2p-workflow\njobs: [a]\n", "name: p2p-workflow\njobs: {a: {name: [x]}}\n",
])
def test_fault_23_a_bad_file_says_so(tmp_path, text):
    made = coordinator(tmp_path)
    file = workflow(tmp_path, text=text)
    assert made.parse_workflow_file(file)["error"].startswith(f"{file}:")
    with pytest.raises(ValueError, match=r"scrape\.yml:\d+:\d+: "):
        made.submit_workflow(file)


@pytest.mark.parametrize("more", [
    "labels:\n", "labels: null\njobs: {a: {name: }}\n", "jobs:\n", "jobs: {a: {name: 5}}\n",
])
def test_fault_23_what_is_empty_hides_no_tag(tmp_path, more):
    made = coordinator(tmp_path)
    told = made.parse_workflow_file(workflow(tmp_path, text=f"name: p2p-workflow\n{more}"))
    assert told["tags"] == {"p2p-workflow"}
    assert "error" not in told


def test_fault_24_labels_may_be_one_text(tmp_path):
    told = coordinator(tmp_path).parse_workflow_file(workflow(tmp_path, text="labels: p2p-workflow\n"))
    assert told["tags"] == {"p2p-workflow"}


def test_fault_25_both_tags_count_everywhere_as_whole_words_in_any_case(tmp_path):
    made = coordinator(tmp_path)
    for text in ("name: x\njobs: {a: {name: Scrape (Offline-Workflow)}}\n", "labels: [P2P-WORKFLOW]\n",
                 "jobs: {a: {labels: Offline-workflow}}\n", "name: offline-workflow\n"):
        assert made.is_p2p_workflow(made.parse_workflow_file(workflow(tmp_path, text=text))), text
    for text in ("name: non-p2p-workflow-x\n", "jobs: {p2p-workflow: {}}\n", "labels: [p2p_workflow]\n"):
        assert not made.is_p2p_workflow(made.parse_workflow_file(workflow(tmp_path, text=text))), text


@pytest.mark.parametrize(("on", "triggers"), [
    ("push", ["push"]), ("[push, schedule]", ["push", "schedule"]), ("{schedule: [{cron: x}]}", ["schedule"]),
])
def test_fault_26_on_is_a_key_and_not_true(tmp_path, on, triggers):
    told = coordinator(tmp_path).parse_workflow_file(workflow(tmp_path, text=f"name: p2p-workflow\non: {on}\n"))
    assert told["triggers"] == triggers
    assert "on" in told["raw"]


def test_fault_27_a_path_may_be_text(tmp_path):
    assert coordinator(tmp_path).parse_workflow_file(workflow(tmp_path))["tags"] == {"p2p-workflow"}


# ---- state ----


def test_fault_28_the_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    made = P2PWorkflowCoordinator("peer-1", data_dir="~/.ipfs_kit/p2p_workflows")
    assert made.data_dir == tmp_path / "home/.ipfs_kit/p2p_workflows"
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("peer", ["../../x", "a/b", "..", ".", "%2e", "ü ö", "x" * 256, "/etc/x", "a%2Fb"])
def test_fault_29_no_peer_id_leads_out_of_the_folder(tmp_path, peer):
    made = coordinator(tmp_path, peer)
    workflow_id = made.submit_workflow(workflow(tmp_path))
    assert coordinator(tmp_path, peer).get_workflow_status(workflow_id)
    assert made.export_state().parent == tmp_path / "state"
    assert {entry.name for entry in tmp_path.iterdir()} == {"state", "scrape.yml"}
    assert all(entry.is_file() for entry in (tmp_path / "state").iterdir())


@pytest.mark.parametrize("value", [{"x": object()}, {"x": math.nan}, {"x": {1}}, {"x": b""}, [1], "text", 5])
def test_fault_30_what_is_no_json_object_is_refused_before_anything_changes(tmp_path, value):
    made, workflow_id = submitted(tmp_path)
    before = books(made)
    with pytest.raises(ValueError):
        made.submit_workflow(workflow(tmp_path), inputs=value)
    with pytest.raises(ValueError):
        made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED, result=value)
    assert books(made) == before
    assert books(coordinator(tmp_path)) == before


def test_fault_30_a_state_that_cannot_be_written_is_said_and_changes_nothing(tmp_path):
    made, workflow_id = submitted(tmp_path)
    before = books(made)
    store = made._state.store
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Exception, match="cannot write the store"):
        made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    assert books(made) == before
    store._connection.execute("PRAGMA query_only = OFF")
    assert made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    assert made.merkle_clock.verify_chain()
    assert books(coordinator(tmp_path)) == books(made)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"peer_id": "peer-1", "workflows": {"a": 5}}', b"\xff"])
def test_fault_31_a_damaged_state_file_is_refused_and_left_alone(tmp_path, damage):
    file = tmp_path / "state" / "coordinator_state_peer-1.json"
    file.parent.mkdir()
    file.write_bytes(damage)
    with pytest.raises(ValueError, match="cannot be imported"):
        coordinator(tmp_path)
    assert file.read_bytes() == damage


def test_fault_31_a_damaged_store_is_refused_and_left_alone(tmp_path):
    made, _ = submitted(tmp_path)
    made.close()
    file = tmp_path / "state" / "coordinator_peer-1.db"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(ValueError, match="cannot be used"):
        coordinator(tmp_path)
    assert file.read_bytes() == b"not a database" * 100


def test_fault_32_two_coordinators_of_one_peer_are_in_step(tmp_path):
    one, other = coordinator(tmp_path), coordinator(tmp_path)
    first = one.submit_workflow(workflow(tmp_path))
    second = other.submit_workflow(workflow(tmp_path), priority=1)
    one.add_peer("peer-2")
    assert other.assign_workflows() == [second, first]
    one.update_workflow_status(first, WorkflowStatus.COMPLETED)
    other.remove_peer("peer-2")
    assert books(one) == books(other) == books(coordinator(tmp_path))
    assert one.merkle_clock.verify_chain()


def test_fault_32_threads_share_a_coordinator(tmp_path):
    made, other = coordinator(tmp_path), coordinator(tmp_path)
    file = workflow(tmp_path)

    def work(mine: P2PWorkflowCoordinator) -> None:
        for _ in range(20):
            mine.update_workflow_status(mine.submit_workflow(file), WorkflowStatus.COMPLETED)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in (made, made, other, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.get_stats()["status_counts"] == {"completed": 80}
    assert made.merkle_clock.logical_clock == 160
    assert books(made) == books(other)
    assert made.merkle_clock.verify_chain()


def test_fault_32_who_waits_for_too_long_is_told_for_whom(tmp_path, monkeypatch):
    made, workflow_id = submitted(tmp_path)
    monkeypatch.setattr(embedded_state, "WAIT_S", 0.05)
    with coordinator(tmp_path)._state.locked(), pytest.raises(Conflict, match=f"in use by process {os.getpid()}"):
        made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
    assert made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)


def test_a_forked_child_has_its_own_files(tmp_path):
    made, workflow_id = submitted(tmp_path)
    parents = made._state.store
    child = os.fork()
    if child == 0:  # SQLite forbids to use a connection that was opened before a fork
        done = made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED)
        os._exit(0 if done and made._state.store is not parents else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert made.get_workflow_status(workflow_id)["status"] == "completed"
    made.submit_workflow(workflow(tmp_path))
    assert made.merkle_clock.verify_chain()


def test_fault_33_each_submission_has_an_id_of_its_own(tmp_path, monkeypatch):
    made = coordinator(tmp_path)
    monkeypatch.setattr("time.time", lambda: 1_750_000_000.0)
    ids = {made.submit_workflow(workflow(tmp_path)) for _ in range(50)}
    assert len(ids) == len(made.list_workflows()) == 50


@pytest.mark.parametrize("status", ["completed", "bogus", None, 3])
def test_fault_34_a_status_is_a_workflow_status(tmp_path, status):
    made, workflow_id = submitted(tmp_path)
    before = books(made)
    with pytest.raises(ValueError, match="WorkflowStatus"):
        made.update_workflow_status(workflow_id, status)
    if status is not None:
        with pytest.raises(ValueError, match="WorkflowStatus"):
            made.list_workflows(status=status)
    assert books(made) == before


def test_fault_35_an_empty_result_is_a_result(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.update_workflow_status(workflow_id, WorkflowStatus.COMPLETED, result={})
    assert made.get_workflow_status(workflow_id)["result"] == {}


def test_fault_35_cancelled_has_an_end_and_an_outcome(tmp_path):
    made, workflow_id = submitted(tmp_path)
    made.update_workflow_status(workflow_id, WorkflowStatus.CANCELLED, result={"n": 1}, error="asked for")
    told = made.get_workflow_status(workflow_id)
    assert (told["status"], told["result"], told["error"]) == ("cancelled", {"n": 1}, "asked for")
    assert told["completed_at"] is not None


def test_fault_36_what_is_answered_is_the_callers_own(tmp_path):
    made = coordinator(tmp_path)
    inputs = {"deep": {"n": 1}}
    workflow_id = made.submit_workflow(workflow(tmp_path), inputs=inputs)
    made.assign_workflows()
    inputs["deep"]["n"] = 2
    made.get_workflow_status(workflow_id)["inputs"]["deep"]["n"] = 3
    made.list_workflows()[0]["tags"].append("x")
    mine = made.get_my_workflows()[0]
    mine.inputs["deep"]["n"] = 4
    mine.tags.add("y")
    mine.status = WorkflowStatus.FAILED
    made.peer_list.append("z")
    told = made.get_workflow_status(workflow_id)
    assert (told["inputs"], told["tags"], told["status"]) == ({"deep": {"n": 1}}, ["p2p-workflow"], "assigned")
    assert made.peer_list == ["peer-1"]


def test_fault_37_another_peers_state_is_not_taken(tmp_path):
    theirs = coordinator(tmp_path / "other", "peer-2")
    theirs.add_peer("peer-3")
    file = tmp_path / "state" / "coordinator_state_peer-1.json"
    file.parent.mkdir()
    theirs.export_state(file)
    with pytest.raises(ValueError, match="it is the state of peer 'peer-2', not of 'peer-1'"):
        coordinator(tmp_path)


def test_fault_38_the_root_exports_what_the_guide_imports():
    import clockmesh

    names = ("P2PWorkflowCoordinator", "WorkflowStatus", "MerkleClock", "FibonacciHeap", "WorkflowTask",
             "MerkleClockNode", "FibonacciNode", "WorkflowPriorityQueue", "hamming_distance", "select_task_owner",
             "create_task_hash", "P2PWorkflowCLI", "create_parser", "main")
    for name in names:
        assert getattr(clockmesh, name).__module__.startswith("clockmesh.")
        assert name in clockmesh.__all__


def test_fault_39_the_python_api_imports_no_anyio():
    folder = Path(__file__).parents[2] / "daemon"
    assert not [file.name for file in folder.glob("embedded*.py") if "anyio" in file.read_text()]


def test_fault_43_the_default_priority_is_5_everywhere(tmp_path):
    made, workflow_id = submitted(tmp_path)
    assert made.get_workflow_status(workflow_id)["priority"] == WorkflowTask("i", "n", "f").priority == 5.0
    tool = MCP_TOOLS[0]["inputSchema"]["properties"]["priority"]["description"]
    options = create_parser().parse_args(["workflow", "submit", "w.yml"])
    assert ("(default: 5)" in tool, options.priority) == (True, 5.0)
