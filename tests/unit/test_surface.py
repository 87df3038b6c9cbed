"""The published JSON shapes: what is there now stays, byte for byte."""

from __future__ import annotations

import json

import pytest

from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.view import JobView, RunView, Status
from clockmesh.daemon import surface
from clockmesh.daemon.service import PeerStatus
from clockmesh.daemon.vault import SecretView
from clockmesh.protocol.ids import BlobHash, JobKey, MeshId, NodeHash, PeerId, RunId, peer_text
from clockmesh.protocol.plan import Guard
from clockmesh.protocol.reports import Annotation, Level, Report
from clockmesh.protocol.result import Conclusion
from clockmesh.protocol.secrets import Kind

ALPHA, BETA = PeerId(b"a" * 32), PeerId(b"b" * 32)
NAMES = {ALPHA: "alpha", BETA: "beta"}
RUN = RunId(bytes(range(32)))


def job(key: str = "build", status: Status = Status.PENDING, **fields: object) -> JobView:
    known: dict[str, object] = {
        "key": JobKey(key), "status": status, "conclusion": None, "peer": None, "attempt": 0, "outputs": {},
        "error": "", "log": None, "log_peer": None,
    }
    return JobView(**(known | fields))  # type: ignore[arg-type]


def run(*jobs: JobView, **fields: object) -> RunView:
    known: dict[str, object] = {
        "run": RUN, "name": "Scrape", "path": ".github/workflows/scrape.yml", "status": Status.PENDING,
        "conclusion": None, "priority": 5.0, "submitted_by": ALPHA, "submitted_ms": 1_700_000_000_123,
        "guard": Guard.QUORUM, "error": "", "cancel_asked": False, "jobs": jobs,
    }
    return RunView(**(known | fields))  # type: ignore[arg-type]


DONE = job(
    "build (a, 1)", Status.COMPLETED, conclusion=Conclusion.SUCCESS, peer=BETA, attempt=2, outputs={"n": "1"},
    started_ms=1_700_000_001_000, finished_ms=1_700_000_002_500,
    report=Report((Annotation(Level.WARNING, "late", "Fetch", file="a.py", line=3),), 2, BlobHash(bytes(32)), 9),
)


def test_show_has_exactly_the_published_keys_and_those_that_were_added() -> None:
    view = run(DONE, status=Status.COMPLETED, conclusion=Conclusion.SUCCESS)
    assert json.loads(json.dumps(surface.run_json(view, NAMES.__getitem__))) == {
        "v": 1,
        "run": RUN.hex(),
        "name": "Scrape",
        "status": "completed",
        "conclusion": "success",
        "priority": 5.0,
        "submitted_by": "alpha",
        "submitted_at": "2023-11-14T22:13:20.123Z",
        "path": ".github/workflows/scrape.yml",
        "guard": "quorum",
        "cancel_asked": False,
        "error": "",
        "jobs": [
            {
                "key": "build (a, 1)",
                "status": "completed",
                "conclusion": "success",
                "peer": "beta",
                "attempt": 2,
                "outputs": {"n": "1"},
                "error": "",
                "started_at": "2023-11-14T22:13:21.000Z",
                "finished_at": "2023-11-14T22:13:22.500Z",
                "duplicates": 0,
                "annotations": [
                    {"level": "warning", "message": "late", "step": "Fetch", "title": "", "file": "a.py", "line": 3,
                     "column": None},
                ],
                "more_annotations": 2,
                "summary_bytes": 9,
            }
        ],
    }


def test_a_job_that_nobody_has_claimed_has_no_peer_and_no_conclusion() -> None:
    shown = surface.job_json(job(), NAMES.__getitem__)
    assert (shown["status"], shown["conclusion"], shown["peer"], shown["attempt"]) == ("pending", None, None, 0)
    assert (shown["outputs"], shown["started_at"], shown["finished_at"]) == ({}, None, None)


@pytest.mark.parametrize("status", Status)
def test_the_statuses_are_the_seeds(status: Status) -> None:
    known = {"pending", "assigned", "in_progress", "completed", "failed", "cancelled"}
    assert surface.job_json(job(status=status), NAMES.__getitem__)["status"] in known


def test_list_has_each_run_with_its_peers() -> None:
    told = surface.runs_json([run(DONE, job("two", peer=ALPHA, status=Status.IN_PROGRESS), job("three"))],
                             NAMES.__getitem__, 7)
    assert (told["v"], told["total"]) == (1, 7)
    [listed] = told["runs"]  # type: ignore[misc]
    assert listed == {
        "run": RUN.hex(), "name": "Scrape", "status": "pending", "conclusion": None, "priority": 5.0,
        "submitted_by": "alpha", "submitted_at": "2023-11-14T22:13:20.123Z", "peers": ["alpha", "beta"],
    }


def test_a_secret_is_shown_without_its_value_and_a_remote_by_its_url() -> None:
    machine = Machine(ALPHA, MeshId(bytes(32)))
    view = SecretView(Kind.SECRET, "TOKEN", ("Scrape",), 1_700_000_000_123, BETA, ())
    told = surface.secrets_json("secrets", [view], machine)
    shown = {"name": "TOKEN", "workflows": ["Scrape"], "set_at": "2023-11-14T22:13:20.123Z"}
    who = {"set_by": machine.name_of(BETA), "opened_by": [], "opened_by_all": True}
    assert told == {"v": 1, "secrets": [shown | who]}
    remote = SecretView(Kind.REMOTE, "https://example.org/x", (), 0, ALPHA, (ALPHA,))
    assert surface.secret_json(remote, machine)["url"] == "https://example.org/x"
    assert "workflows" not in surface.secret_json(remote, machine)


def test_submit_names_the_run_alone() -> None:
    assert surface.submitted_json(RUN) == {"v": 1, "run": RUN.hex()}


def test_peer_list_has_exactly_the_published_keys() -> None:
    peers = [PeerStatus(ALPHA, "alpha", True, True, 2, ("gpu", "x64")), PeerStatus(BETA, "beta", False, False, 0, ())]
    assert surface.peers_json(peers) == {
        "v": 1,
        "peers": [
            {"id": peer_text(ALPHA), "name": "alpha", "self": True, "live": True, "slots": 2, "labels": ["gpu", "x64"]},
            {"id": peer_text(BETA), "name": "beta", "self": False, "live": False, "slots": 0, "labels": []},
        ],
    }


def test_status_names_peer_mesh_heads_and_nodes() -> None:
    told = surface.status_json("alpha", MeshId(b"m" * 32), [NodeHash(b"h" * 32)], 3)
    assert told == {"v": 1, "peer": "alpha", "mesh": "6d" * 32, "heads": ["68" * 32], "nodes": 3}


def test_status_without_a_mesh_has_nulls_where_nothing_is_known_yet() -> None:
    assert surface.status_json(None, None, (), 0) == {"v": 1, "peer": None, "mesh": None, "heads": [], "nodes": 0}


def test_a_log_line_keeps_its_step_time_and_text() -> None:
    line = surface.log_json("build", {"t": 1_700_000_000_123, "step": "Run make", "text": "ok"})
    assert line == {"job": "build", "time": "2023-11-14T22:13:20.123Z", "step": "Run make", "text": "ok"}


@pytest.mark.parametrize("record", [{}, {"t": "x", "text": 3}, {"t": -1}, {"t": 10**30}])
def test_a_damaged_log_line_is_shown_as_far_as_it_goes(record: dict[str, object]) -> None:
    assert surface.log_json("build", record)["time"] is None
