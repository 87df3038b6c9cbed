"""The simulator itself: the same seed tells the same story everywhere, and a violation is told well."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256

from tests.simulation.__main__ import main, read_options, run_schedule

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

TELL = """
from tests.simulation.__main__ import read_options, run_schedule
for seed in (3, 4, 5):
    print("\\n".join(run_schedule(seed, read_options([]), trace=True).lines))
"""


def told_with_hash_seed(hash_seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    output = subprocess.run(
        [sys.executable, "-c", TELL], cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60
    ).stdout
    return sha256(output).hexdigest()


def test_a_seed_tells_the_same_story_in_every_process():
    assert told_with_hash_seed(1) == told_with_hash_seed(2)


def test_tracing_does_not_change_what_happens():
    options = read_options(["--peers", "3"])
    plain, traced = run_schedule(12, options), run_schedule(12, options, trace=True)
    assert traced.lines
    assert not plain.lines
    assert (plain.claims, plain.starts, plain.finals, plain.seconds) == (
        traced.claims,
        traced.starts,
        traced.finals,
        traced.seconds,
    )


def test_a_run_without_violation_ends_with_a_summary(capsys):
    assert main(["--seed", "5", "--schedules", "3", "--guard", "lease"]) == 0
    assert capsys.readouterr().out.startswith("3 schedules of 3 peers under lease: no violation; ")


def test_a_violation_is_told_with_its_trace_and_the_command_that_replays_it(capsys):
    words = ["--seed", "1", "--schedules", "50", "--without", "lower-over"]
    assert main(words) == 1
    told = capsys.readouterr().out
    assert "*** VIOLATION overlap" in told
    assert "STARTS" in told
    replay = told.strip().splitlines()[-1].removeprefix("replay: python -m tests.simulation ")
    assert main(replay.split()) == 1
    assert capsys.readouterr().out == told


def test_several_processes_find_what_one_finds(capsys):
    words = ["--seed", "1", "--schedules", "12"]
    assert main(words) == 0
    one = capsys.readouterr().out
    assert main([*words, "-j", "2"]) == 0
    assert capsys.readouterr().out.split("; ")[:-1] == one.split("; ")[:-1]
