"""Random schedules of faults in which every promise of DESIGN 5 is kept, and some in which a rule is missing.

A failure prints the command that replays it with its trace: `python -m tests.simulation --seed N --schedules 1 ...`
"""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import Options, read_options, replay_command, run_all, run_schedule
from tests.simulation.mesh import Outcome


def run(words: str) -> list[Outcome]:
    """All schedules of this command line keep their promises."""
    options = read_options(words.split())
    outcomes = []
    for outcome in run_all(options):
        if outcome.violation is not None:
            pytest.fail(explain(outcome.seed, options), pytrace=False)
        outcomes.append(outcome)
    return outcomes


def explain(seed: int, options: Options) -> str:
    traced = run_schedule(seed, options, trace=True)
    return "\n".join([*traced.lines, str(traced.violation), replay_command(seed, options)])


@pytest.mark.parametrize(
    "words",
    [
        "--seed 1 --schedules 240",
        "--seed 1 --schedules 240 --guard lease",
        "--seed 1 --schedules 70 --peers 5",
        "--seed 1 --schedules 70 --peers 5 --guard lease",
        "--seed 1 --schedules 60 --peers 2",
        "--seed 1 --schedules 60 --peers 2 --guard lease",
        "--seed 1 --schedules 40 --peers 1 --guard lease",
        "--seed 1 --schedules 30 --peers 4 --drift 0.1",
    ],
)
def test_promises_are_kept_under_faults(words):
    run(words)


@pytest.mark.parametrize("words", ["", "--peers 5"])
def test_without_faults_every_job_starts_exactly_once(words):
    for outcome in run(f"--seed 1 --schedules 80 --no-faults {words}"):
        assert outcome.starts == outcome.jobs


@pytest.mark.parametrize("words", ["", "--peers 2", "--peers 1"])
def test_without_faults_a_lease_hardly_ever_starts_a_job_twice(words):
    """Only where two peers' slots become free within one message's way while a job waits for both."""
    outcomes = run(f"--seed 1 --schedules 150 --no-faults --guard lease {words}")
    assert sum(outcome.duplicates for outcome in outcomes) <= sum(outcome.jobs for outcome in outcomes) / 200


@pytest.mark.long
@pytest.mark.parametrize("peers", [3, 5])
@pytest.mark.parametrize("guard", ["quorum", "lease"])
def test_promises_are_kept_in_five_thousand_schedules(peers, guard):
    run(f"--seed 100000 --schedules 5000 --peers {peers} --guard {guard} -j 2")


def kinds_found(words: str) -> set[str]:
    """The first violation that these schedules show; empty if none does."""
    for outcome in run_all(read_options(words.split())):
        if outcome.violation is not None:
            return {outcome.violation.kind}
    return set()


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ("one-claimant", {"overlap"}),
        ("not-below", {"overlap", "start_after_final", "runs_after_final"}),
        ("lower-over", {"overlap"}),
        ("all-lower", {"overlap"}),
        ("settled", {"overlap"}),
        ("quorum", {"overlap", "two_finals", "start_after_final", "runs_after_final"}),
        ("deadline", {"overlap", "start_after_final", "runs_after_final"}),
        ("granters", {"overlap"}),
        ("accept-check", {"two_finals", "start_after_final", "runs_after_final"}),
        ("adoption", {"two_finals", "start_after_final", "runs_after_final"}),
        ("restart", {"stuck"}),
        ("release", {"stuck"}),
    ],
)
def test_random_schedules_find_the_rule_that_is_missing(rule, kinds):
    found = kinds_found(f"--seed 1 --schedules 1500 --without {rule}")
    assert found
    assert found <= kinds


@pytest.mark.long
@pytest.mark.parametrize("rule", ["boottime", "host-fence", "incarnation", "over"])
def test_many_random_schedules_find_the_rare_rule_that_is_missing(rule):
    assert kinds_found(f"--seed 1 --schedules 8000 --without {rule} -j 2") == {"overlap"}
