"""What a job does with its steps, run by a real host. One host serves all tests of this file."""

from __future__ import annotations

import itertools
import os
import textwrap
import time

import pytest

from clockmesh.protocol.limits import MAX_OUTPUT_BYTES
from clockmesh.protocol.result import Conclusion
from clockmesh.runner import host_messages as messages
from clockmesh.runner.spec import NeedResult
from tests.integration.runner_hosts import HOUR, Daemon, boottime, log_of, run_job, running_host, script, spec_of
from tests.integration.runner_support import wait_for

RUNS = itertools.count(1)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with running_host(tmp_path_factory.mktemp("home")) as host:
        host.daemon = Daemon(host.home)
        yield host
        assert "Traceback" not in host.said


@pytest.fixture
def run(host):
    """Run one job to its end: (result, log)."""

    def run(text, **more):
        return run_job(host, host.daemon, textwrap.dedent(text), run=next(RUNS).to_bytes(32, "big"), **more)

    return run


def start(host, text, **more):
    spec = spec_of(host.home, textwrap.dedent(text), run=next(RUNS).to_bytes(32, "big"), **more)
    host.daemon.send(messages.Start(spec, boottime() + HOUR))
    return spec


def steps(*lines, job=""):
    """A workflow of one job with these steps, each a YAML block."""
    body = "".join(textwrap.indent(textwrap.dedent(line).strip("\n") + "\n", "      ") for line in lines)
    job = textwrap.indent(textwrap.dedent(job), "    ")
    return f"on: push\njobs:\n  j:\n    runs-on: self-hosted\n{job}    steps:\n{body}"


def last(log, *endings):
    """The lines that end so, in order; a script in the log never does."""
    return [line for line in log if line.endswith(endings) and "((" not in line]


def test_stdin_is_empty_and_both_outputs_are_logged(run):
    result, log = run(script("cat\necho out\necho err >&2\nprintf 'no newline'"))
    assert result.conclusion is Conclusion.SUCCESS
    assert log[-3:] == ["out", "err", "no newline"]


def test_a_job_knows_its_attempt_run_and_peer_and_nothing_of_the_hosts_own_variables(run):
    result, log = run(script("env"), attempt=3)
    env = dict(line.split("=", 1) for line in log if "=" in line)
    assert (env["CLOCKMESH_ATTEMPT"], env["CLOCKMESH_PEER"], len(env["CLOCKMESH_RUN"])) == ("3", "bob", 64)
    assert (env["CI"], env["GITHUB_ACTIONS"], env["GITHUB_ACTOR"]) == ("true", "true", "ann")
    assert env["HOME"] == os.environ["HOME"]
    assert not [name for name in env if name.startswith("CLOCKMESH_") and name not in KNOWN]
    assert result.started_ms <= result.finished_ms


KNOWN = {"CLOCKMESH_ATTEMPT", "CLOCKMESH_PEER", "CLOCKMESH_RUN", "CLOCKMESH_JOB"}


def test_a_job_is_nicer_by_ten_and_its_dollar_dollar_is_a_real_pid(run):
    _, log = run(script("nice; readlink /proc/self/ns/pid; test -d /proc/$$ && echo real-$((1+1))"))
    assert str(min(os.nice(0) + 10, 19)) in log
    assert os.readlink("/proc/self/ns/pid") in log
    assert "real-2" in log


def test_what_goes_on_after_a_cancel_has_its_own_limit(host):
    text = steps("- run: echo go-$((1+1)); sleep 60", "- {if: always(), run: echo late-$((1+1)); sleep 60}",
                 job="cancel-timeout-minutes: 0.03\n")  # fmt: skip
    spec = start(host, text)
    wait_for(lambda: "go-2" in log_of(host.home, spec.ref), "the first step")
    began = time.monotonic()
    host.daemon.send(messages.Stop(spec.ref))
    assert host.daemon.result(spec.ref, 30.0).conclusion is Conclusion.CANCELLED
    assert time.monotonic() - began < 25
    assert "late-2" in log_of(host.home, spec.ref)


def test_a_failing_step_fails_the_job_and_names_itself(run):
    result, log = run(steps("- name: Build it\n  run: exit 3", "- run: echo later-$((1+1))"))
    assert result.conclusion is Conclusion.FAILURE
    assert result.error == "step 'Build it' failed: exit code 3"
    assert "Error: Process completed with exit code 3." in log
    assert "later-2" not in log


def test_outcome_is_before_and_conclusion_after_continue_on_error(run):
    result, log = run(
        steps(
            "- id: a\n  continue-on-error: true\n  run: exit 1",
            "- run: echo [${{ steps.a.outcome }}/${{ steps.a.conclusion }}/${{ job.status }}]",
        )
    )
    assert result.conclusion is Conclusion.SUCCESS
    assert "[failure/success/success]" in log


def test_steps_after_a_failure_run_as_their_condition_has_it(run):
    result, log = run(
        steps(
            "- id: bad\n  run: exit 1",
            "- run: echo implicit-$((1+1))",
            "- if: steps.bad.outcome == 'failure'\n  run: echo nostatus-$((1+1))",
            "- if: failure()\n  run: echo failure-$((1+1))",
            "- if: always()\n  run: echo always-$((1+1)) ${{ job.status }}",
        )
    )
    assert result.conclusion is Conclusion.FAILURE
    assert last(log, "-2", " failure") == ["failure-2", "always-2 failure"]


def test_env_of_a_step_beats_github_env_beats_the_job_beats_the_workflow(run):
    text = script("echo C=file >> $GITHUB_ENV; echo D=file >> $GITHUB_ENV; echo GITHUB_SHA=x >> $GITHUB_ENV",
                  before="env: {A: w, B: w, C: w, D: w}\n", job="    env: {B: j, C: j, D: j}\n")  # fmt: skip
    _, log = run(text + "      - env: {D: s}\n        run: echo $A $B $C $D [$GITHUB_SHA] ${{ env.C }}\n")
    assert "w j file s [] file" in log


def test_outputs_are_told_also_of_a_job_that_failed(run):
    outputs = "    outputs: {y: '${{ steps.s.outputs.x }}', z: '${{ job.status }}', none: '${{ steps.s.outputs.n }}'}\n"
    result, _ = run(script("echo x=1 >> $GITHUB_OUTPUT; exit 1", job=outputs))
    assert result.conclusion is Conclusion.FAILURE
    assert result.outputs == (("none", ""), ("y", "1"), ("z", "failure"))


def test_outputs_above_the_bound_are_a_clear_failure(run):
    result, log = run(
        script(f"echo x=$(head -c {MAX_OUTPUT_BYTES} /dev/zero | tr '\\0' a) >> $GITHUB_OUTPUT",
               job="    outputs: {big: '${{ steps.s.outputs.x }}'}\n")
    )  # fmt: skip
    assert result.conclusion is Conclusion.FAILURE
    assert f"outputs have {MAX_OUTPUT_BYTES + 3} bytes together" in result.error
    assert f"Error: {result.error}" in log


def test_a_step_ends_with_its_process_while_a_grandchild_holds_its_output(run):
    began = time.monotonic()
    result, log = run(steps("- run: (sleep 0.4; echo late; sleep 100) & echo first", "- run: sleep 0.8; echo second"))
    assert time.monotonic() - began < 5
    assert result.conclusion is Conclusion.SUCCESS
    assert [line for line in log if line in ("first", "late", "second")] == ["first", "late", "second"]


def test_a_step_over_its_time_is_stopped_and_fails(run):
    long = "- id: s\n  timeout-minutes: 0.01\n  run: sleep 50"
    result, log = run(steps(long, "- if: always()\n  run: echo [${{ steps.s.outcome }}]"))
    assert result.conclusion is Conclusion.FAILURE
    assert "timed out after 0.01 minutes" in result.error
    assert "[failure]" in log


def test_a_job_over_its_time_is_cancelled_and_says_why(run):
    always = "- if: always()\n  run: echo always-$((1+1)) ${{ job.status }}"
    result, log = run(steps("- run: sleep 50", always, job="timeout-minutes: 0.01\n"))
    assert result.conclusion is Conclusion.CANCELLED
    assert "exceeded its time limit" in result.error
    assert "always-2 cancelled" in log


CANCELLED_STEPS = (
    "- run: |\n    trap 'echo interrupted-$((1+1)); exit 1' INT\n    echo ready-$((1+1))\n    sleep 50 & wait",
    "- run: echo plain-$((1+1))",
    "- if: failure()\n  run: echo failed-$((1+1))",
    "- if: cancelled()\n  run: echo cancelled-$((1+1))",
    "- if: always()\n  run: echo always-$((1+1)) ${{ job.status }}",
)


def test_a_cancelled_job_is_interrupted_and_its_always_steps_run(host):
    spec = start(host, steps(*CANCELLED_STEPS))
    wait_for(lambda: "ready-2" in log_of(host.home, spec.ref), "the step runs")
    host.daemon.send(messages.Stop(spec.ref))
    result = host.daemon.result(spec.ref)
    assert result.conclusion is Conclusion.CANCELLED
    log = log_of(host.home, spec.ref)
    assert last(log, "-2", "-2 cancelled") == ["ready-2", "interrupted-2", "cancelled-2", "always-2 cancelled"]


def test_a_cancel_does_not_stop_a_step_that_always_runs(host):
    spec = start(host, steps("- if: always()\n  run: echo ready-$((1+1)); sleep 1; echo done-$((1+1))"))
    wait_for(lambda: "ready-2" in log_of(host.home, spec.ref), "the step runs")
    host.daemon.send(messages.Stop(spec.ref))
    assert host.daemon.result(spec.ref).conclusion is Conclusion.CANCELLED
    assert "done-2" in log_of(host.home, spec.ref)


def test_a_step_that_ignores_a_cancel_is_terminated_and_then_killed(host):
    lines = ("trap '' INT", "trap 'echo term-$((1+1))' TERM", "echo ready-$((1+1))", "while :; do sleep 0.1 || :; done")
    spec = start(host, steps("- run: |\n" + "".join(f"    {line}\n" for line in lines)))
    wait_for(lambda: "ready-2" in log_of(host.home, spec.ref), "the step runs")
    began = time.monotonic()
    host.daemon.send(messages.Stop(spec.ref))
    assert host.daemon.result(spec.ref, 20).conclusion is Conclusion.CANCELLED
    assert 9.5 < time.monotonic() - began < 12, "7.5 s for SIGINT, 2.5 s for SIGTERM"
    assert "term-2" in log_of(host.home, spec.ref)


def test_a_step_that_stops_the_runner_itself_does_not_keep_a_cancel_from_it(host):
    spec = start(host, steps("- run: echo ready-$((1+1)); sleep 0.3; kill -STOP $PPID; sleep 50"))
    wait_for(lambda: "ready-2" in log_of(host.home, spec.ref), "the step runs")
    time.sleep(0.6)
    host.daemon.send(messages.Stop(spec.ref))
    assert host.daemon.result(spec.ref).conclusion is Conclusion.CANCELLED


def test_what_is_wrong_with_a_command_file_is_said_once(run):
    _, log = run(steps("- run: echo nonsense >> $GITHUB_OUTPUT"))
    assert log.count("Error: Invalid format 'nonsense'") == 1
    assert log[-1] == "Error: Invalid format 'nonsense'"
    _, log = run(steps("- run: echo nonsense >> $GITHUB_OUTPUT; exit 3"))
    assert log.count("Error: Invalid format 'nonsense'") == 1
    assert log[-1] == "Error: Process completed with exit code 3."


def test_a_cancel_that_comes_at_once_is_not_lost(host):
    for _ in range(5):
        spec = spec_of(host.home, script("sleep 50"), run=next(RUNS).to_bytes(32, "big"))
        host.daemon.send(messages.Start(spec, boottime() + HOUR), messages.Stop(spec.ref))
        assert host.daemon.result(spec.ref).conclusion is Conclusion.CANCELLED


@pytest.mark.parametrize(
    ("condition", "needs", "cancelled", "expected"),
    [
        ("", "success", False, Conclusion.SUCCESS),
        ("", "failure", False, Conclusion.SKIPPED),
        ("", "skipped", False, Conclusion.SKIPPED),
        ("", "success", True, Conclusion.CANCELLED),
        ("always()", "failure", True, Conclusion.SUCCESS),
        ("failure()", "failure", False, Conclusion.SUCCESS),
        ("failure()", "success", False, Conclusion.SKIPPED),
        ("cancelled()", "success", True, Conclusion.SUCCESS),
        ("needs.a.outputs.go == 'yes'", "success", False, Conclusion.SUCCESS),
        ("needs.a.outputs.go == 'no'", "success", False, Conclusion.SKIPPED),
    ],
)
def test_a_jobs_condition_decides_before_any_step(run, condition, needs, cancelled, expected):
    text = f"""
    on: push
    jobs:
      a:
        runs-on: self-hosted
        steps: [run: 'true']
      b:
        needs: a
        {"if: " + condition if condition else "name: b"}
        runs-on: self-hosted
        steps: [run: echo ran]
    """
    result, log = run(text, key="b", needs={"a": NeedResult(needs, {"go": "yes"})}, cancelled=cancelled)
    assert result.conclusion is expected
    assert ("ran" in log) == (expected is Conclusion.SUCCESS)
    assert (result.started_ms > 0) == (expected is Conclusion.SUCCESS)


def test_an_error_in_an_expression_names_its_place(run):
    result, log = run(steps("- run: echo ${{ fromJSON('{') }}"))
    assert result.conclusion is Conclusion.FAILURE
    assert "main.yml:6:" in result.error
    assert any("main.yml:6:" in line for line in log)


def test_a_variable_that_cannot_be_is_named(run):
    result, _ = run(steps("- env: {'A=B': x}\n  run: 'true'"))
    assert "no environment variable can be called 'A=B'" in result.error


def test_a_missing_working_directory_fails_the_step(run):
    result, _ = run(steps("- working-directory: nowhere\n  run: pwd"))
    assert "no such directory" in result.error


def test_output_that_is_no_text_and_floods_end_up_bounded_in_the_log(run):
    result, log = run(script("printf '\\377\\n'\nhead -c 3000000 /dev/zero | tr '\\0' x\necho\necho end-$((1+1))"))
    assert result.conclusion is Conclusion.SUCCESS
    assert "\ufffd" in log
    assert max(map(len, log)) < 20_000
    assert "end-2" in log


def test_a_checkout_without_a_source_is_a_clear_failure(run):
    result, _ = run(steps("- uses: actions/checkout@v4"))
    assert "without a source" in result.error


def test_a_workflow_file_that_is_gone_is_a_failure_with_a_word(host, tmp_path):
    spec = spec_of(host.home, script("true"), run=next(RUNS).to_bytes(32, "big"))
    os.unlink(spec.workflow)
    host.daemon.send(messages.Start(spec, boottime() + HOUR))
    result = host.daemon.result(spec.ref)
    assert result.conclusion is Conclusion.FAILURE
    assert spec.workflow in result.error
