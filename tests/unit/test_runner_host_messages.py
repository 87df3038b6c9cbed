"""Frames between daemon and runner host."""

from __future__ import annotations

import dataclasses
import struct

import msgpack
import pytest

from clockmesh.protocol.ids import AttemptRef, BlobHash, JobKey, RunId
from clockmesh.protocol.plan import Plan, PlannedJob, Snapshot
from clockmesh.runner import host_messages as messages
from clockmesh.runner.remotes import Credential
from clockmesh.runner.spec import Given, JobSpec, NeedResult, job_dir, spec_to_map

REF = AttemptRef(RunId(b"\x01" * 32), JobKey("build (a, 1)"), 2)
PLAN = Plan(
    name="w", path="w.yml", workflow=BlobHash(b"w" * 32), source=Snapshot(), event="push",
    jobs=(PlannedJob(JobKey("one"), "one"), PlannedJob(REF.key, "build", needs=("one",))),
)  # fmt: skip
SPEC = JobSpec(
    run=REF.run.hex(), key=REF.key, attempt=2, plan=PLAN, workflow="/w", snapshot="/s",
    needs={"one": NeedResult("success", {"x": "1"})}, cancelled=True, actor="ann", peer="bob",
    submitted_ms=7, run_number=3,
)  # fmt: skip
COMMANDS = [
    messages.Hello(3, 2.5), messages.Start(SPEC, 12.5), messages.Extend(REF, 13.0), messages.Stop(REF),
    messages.Kill(REF), messages.Forget(REF), messages.QuitIfIdle(),
]  # fmt: skip
REPORTS = [
    messages.Jobs((messages.KnownJob(REF, 9.5, ended=False),)), messages.Started(REF, 77),
    messages.Ended(REF, b"result", "", "/w"), messages.Ended(REF, None, "deadline"),
]  # fmt: skip


def test_commands_and_reports_come_back_as_they_were_sent():
    assert messages.CommandReader().feed(b"".join(map(messages.pack_command, COMMANDS))) == COMMANDS
    assert messages.ReportReader().feed(b"".join(map(messages.pack_report, REPORTS))) == REPORTS


def test_what_a_job_is_given_goes_over_the_socket_and_into_no_file() -> None:
    given = Given({"TOKEN": "hunter2"}, {"A": "1"}, {"ref": "x"}, Credential("ann", "hunter2"))
    start = messages.Start(dataclasses.replace(SPEC, given=given), 12.5)
    assert messages.CommandReader().feed(messages.pack_command(start)) == [start]
    assert "hunter2" not in repr(spec_to_map(start.spec))
    assert set(given.hidden) == {"hunter2", "YW5uOmh1bnRlcjI="}


def test_frames_may_come_in_pieces_of_any_size():
    reader, got = messages.CommandReader(), []
    for byte in b"".join(map(messages.pack_command, COMMANDS)):
        got += reader.feed(bytes([byte]))
    assert got == COMMANDS


def frame(value):
    data = msgpack.packb(value)
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff", struct.pack(">I", 1) + b"\xc1", frame([1]), frame({"do": "dance"}), frame({}),
        frame({"do": "stop", "run": b"short", "key": "k", "attempt": 1}), frame({"do": "hello", "incarnation": "x"}),
        frame({"do": "start", "spec": {}, "deadline": 1.0}),
    ],
)  # fmt: skip
def test_whatever_is_no_command_is_one_kind_of_error(data):
    with pytest.raises(messages.BadFrame):
        messages.CommandReader().feed(data)


def test_attempts_and_keys_have_directories_of_their_own(tmp_path):
    folders = {
        job_dir(tmp_path, REF._replace(key=JobKey(key), attempt=attempt))
        for key in ("a", "a/../b", "build (a, 1)")
        for attempt in (1, 2)
    }
    assert len(folders) == 6
    assert all(folder.parent == tmp_path / "jobs" / REF.run.hex() for folder in folders)


def test_the_spec_finds_its_job_in_the_plan():
    assert SPEC.job.job_id == "build"
    assert SPEC.ref == REF
