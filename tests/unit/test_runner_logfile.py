"""A job's log and its bounds."""

from __future__ import annotations

import json

from clockmesh.runner.logfile import MAX_LINE_BYTES, JobLog, LineSplitter
from clockmesh.runner.masks import Masks


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_is_one_json_record_with_time_step_and_text(tmp_path):
    log = JobLog(tmp_path / "log")
    log.write("build", ["one", "zwei ü"])
    log.line("test", "three\nfour")
    got = records(tmp_path / "log")
    assert [(record["step"], record["text"]) for record in got] == [
        ("build", "one"), ("build", "zwei ü"), ("test", "three"), ("test", "four"),
    ]  # fmt: skip
    assert all(record["t"] > 1_600_000_000_000 for record in got)


def test_lines_are_whole_whatever_the_pieces_they_come_in():
    splitter = LineSplitter()
    got = []
    for piece in (b"on", b"e\ntw", b"o\r\n\n", b"three \xff", b"\xc3", b"\xa4\nlast"):
        got += splitter.feed(piece)
    assert got + splitter.end() == ["one", "two", "", "three \ufffdä", "last"]
    assert splitter.end() == []


def test_a_line_that_never_ends_is_given_once_and_cut():
    splitter = LineSplitter()
    got = []
    for _ in range(10):
        got += splitter.feed(b"x" * MAX_LINE_BYTES)
    got += splitter.feed(b"rest\nnext\n")
    assert got == ["x" * MAX_LINE_BYTES + " [the line is cut here]", "next"]


def test_a_full_log_says_so_once_and_stays_whole_lines(tmp_path):
    log = JobLog(tmp_path / "log", limit=60)
    for number in range(50):
        log.write("s", [f"line {number}"])
    got = [record["text"] for record in records(tmp_path / "log")]
    assert got[0] == "line 0"
    assert got[-1] == "[the log is full: what follows is not kept]"
    assert len(got) == 9  # eight lines of seven bytes, and that word


def test_a_batch_that_does_not_fit_keeps_the_lines_that_do(tmp_path):
    log = JobLog(tmp_path / "log", limit=20)
    log.write("s", [f"line {number}" for number in range(50)])
    got = [record["text"] for record in records(tmp_path / "log")]
    assert got[:2] == ["line 0", "line 1"]
    assert "full" in got[-1]


def test_a_secret_that_is_cut_in_the_middle_of_a_character_is_hidden(tmp_path):
    secret = "a long beginning, \u00e4nd its end"
    before = b"x" * (MAX_LINE_BYTES - len("a long beginning, ") - 1)
    log = JobLog(tmp_path / "log", masks=Masks([secret]))
    log.write("step", LineSplitter().feed(before + secret.encode() + b"\n"))
    log.close()
    assert json.loads((tmp_path / "log").read_text())["text"] == before.decode() + "*** [the line is cut here]"
