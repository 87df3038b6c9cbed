"""Actions of the workspace, used by steps of real jobs. One host serves all tests of this file."""

from __future__ import annotations

import base64
import itertools
import shutil
import textwrap
import time

import pytest

from clockmesh.protocol.result import Conclusion
from clockmesh.runner import host_messages as messages
from tests.integration.runner_hosts import HOUR, Daemon, boottime, log_of, run_job, running_host, spec_of
from tests.integration.runner_support import wait_for

RUNS = itertools.count(1)

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with running_host(tmp_path_factory.mktemp("home")) as host:
        host.daemon = Daemon(host.home)
        yield host
        assert "Traceback" not in host.said


def workflow(files, *steps):
    """A job that writes these files and then has these steps, each a YAML block."""
    lines = []
    for name, text in files.items():
        packed = base64.b64encode(textwrap.dedent(text).encode()).decode()  # `${{ }}` is for the action to evaluate
        lines.append(f"mkdir -p $(dirname {name}); echo {packed} | base64 -d > {name}")
    body = "".join(textwrap.indent(textwrap.dedent(line).strip("\n") + "\n", "      ") for line in steps)
    make = textwrap.indent("- name: files\n  run: |\n" + textwrap.indent("\n".join(lines), "    ") + "\n", "      ")
    head = "on: push\njobs:\n  j:\n    runs-on: self-hosted\n    defaults: {run: {shell: sh}}\n    steps:\n"
    return head + make + body


@pytest.fixture
def run(host):
    """Run one job to its end: (result, log)."""
    return lambda files, *steps: run_job(
        host, host.daemon, workflow(files, *steps), run=next(RUNS).to_bytes(32, "big"))  # fmt: skip


def composite(*steps, head=""):
    body = "".join(textwrap.indent(textwrap.dedent(step).strip("\n") + "\n", "    ") for step in steps)
    return f"{textwrap.dedent(head)}\nruns:\n  using: composite\n  steps:\n{body}"


def test_inputs_reach_the_steps_and_outputs_the_caller(run):
    files = {"act/action.yml": composite(
        "- {id: a, shell: bash, run: 'echo \"got=<${{ inputs.WHO }}/${{ inputs.word }}>\" >> $GITHUB_OUTPUT'}",
        head="inputs: {who: {required: true}, word: {default: hi}}\n"
             "outputs: {text: {value: '${{ steps.a.outputs.got }}!${{ env.E }}'}}",
    )}  # fmt: skip
    result, log = run(
        files, "- {id: x, uses: ./act, with: {who: ann}, env: {E: e}}",
        "- run: echo \"out=${{ steps.x.outputs.text }} a=[${{ steps.a.outputs.got }}]\"",
    )  # fmt: skip
    assert result.conclusion is Conclusion.SUCCESS, log
    assert "out=<ann/hi>!e a=[]" in log


def test_an_action_sees_the_env_of_its_step_and_no_defaults_of_the_job(run):
    files = {"act/action.yml": composite(
        "- {shell: bash, run: 'echo \"${BASH_VERSION:+bash} $A/${{ env.A }} path=$(basename $GITHUB_ACTION_PATH)\"'}",
        "- {shell: bash, run: 'echo B=left >> $GITHUB_ENV; pwd > where', working-directory: act}",
    )}  # fmt: skip
    _, log = run(files, "- {uses: ./act, env: {A: one}}", "- run: echo \"b=$B a=[$A] $(basename $(cat act/where))\"")
    assert "bash one/one path=act" in log
    assert "b=left a=[] act" in log


def test_a_failure_inside_is_forgiven_inside_or_fails_the_step(run):
    files = {"act/action.yml": composite(
        "- {id: soft, shell: sh, continue-on-error: true, run: exit 1}",
        "- {shell: sh, run: 'echo soft=${{ steps.soft.outcome }}/${{ steps.soft.conclusion }}'}",
        "- {name: hard, shell: sh, run: exit 3}",
        "- {shell: sh, run: 'echo never-$((1+1))'}",
        "- {if: failure(), shell: sh, run: 'echo failure-$((1+1)) ${{ job.status }}'}",
    )}  # fmt: skip
    result, log = run(files, "- {name: use, id: u, uses: ./act}",
                      "- {if: always(), run: 'echo u=${{ steps.u.outcome }}'}")  # fmt: skip
    assert result.error == "step 'use' failed: step 'hard' failed: exit code 3"
    assert {"soft=failure/success", "failure-2 success", "u=failure"} <= set(log)
    assert "never-2" not in log
    assert log.count("Error: Process completed with exit code 3.") == 1


def test_after_a_failure_an_action_begins_as_a_success(run):
    files = {"act/action.yml": composite("- {shell: sh, run: 'echo inside-$((1+1))'}")}
    _, log = run(files, "- run: exit 1", "- {if: always(), uses: ./act}")
    assert "inside-2" in log


def test_actions_nest_ten_deep_and_no_deeper(run):
    files = {"act/action.yml": composite("- {shell: sh, run: echo level}", "- uses: ./act")}
    result, log = run(files, "- uses: ./act")
    assert log.count("level") == 10
    assert "nested deeper than 10 levels" in result.error


def test_a_missing_or_broken_action_fails_its_step_alone_with_its_place(run):
    result, log = run({"bad/action.yml": composite("- run: echo x")},
                      "- {id: a, continue-on-error: true, uses: ./none}", "- {if: always(), uses: ./bad}")  # fmt: skip
    assert any("Can't find 'action.yml' or 'action.yaml' under 'none'" in line for line in log)
    assert "bad/action.yml:" in result.error
    assert "needs a `shell`" in result.error


def test_a_cancel_ends_an_action_and_what_it_runs(host):
    action = composite("- {shell: sh, run: 'echo go-$((1+1)); sleep 60'}", "- {shell: sh, run: echo no}")
    files = {"act/action.yml": action}
    spec = spec_of(host.home, workflow(files, "- uses: ./act"), run=next(RUNS).to_bytes(32, "big"))
    host.daemon.send(messages.Start(spec, boottime() + HOUR))
    wait_for(lambda: "go-2" in log_of(host.home, spec.ref), "the step")
    began = time.monotonic()
    host.daemon.send(messages.Stop(spec.ref))
    ended = host.daemon.result(spec.ref)
    assert time.monotonic() - began < 15
    assert ended.conclusion is Conclusion.CANCELLED
    assert "no" not in log_of(host.home, spec.ref)


JS = """
const fs = require('fs');
console.log(`main ${process.env['INPUT_WHO-AM-I']} ${process.env.INPUT_TWO_WORDS} left=${process.env.INPUT_LEFT}`);
fs.appendFileSync(process.env.GITHUB_STATE, `who=${process.env['INPUT_WHO-AM-I']}\\n`);
fs.appendFileSync(process.env.GITHUB_OUTPUT, `n=${process.argv.length}\\n`);
if (process.env.INPUT_LEFT === 'fail') process.exit(7);
"""
SCRIPT = {
    "js/action.yml": "inputs: {who-am-i: {}, two words: {default: t}}\nruns: {using: node20, main: m.js, post: p.js}",
    "js/m.js": JS,
    "js/p.js": "console.log(`post ${process.env.STATE_who} ${process.env.INPUT_TWO_WORDS}`);",
}


@needs_node
def test_post_parts_run_in_reverse_order_with_their_own_state_also_after_a_failure(run):
    result, log = run(
        SCRIPT, "- {id: a, uses: ./js, with: {who-am-i: ann}}", "- {uses: ./js, with: {who-am-i: bob, left: fail}}",
        "- run: echo \"never-$((1+1))\"",
    )  # fmt: skip
    told = [line for line in log if line.startswith(("main ", "post "))]
    assert told == ["main ann t left=undefined", "main bob t left=fail", "post bob t", "post ann t"]
    assert "exit code 7" in result.error
    assert any("Unexpected input(s) 'left', valid inputs are ['who-am-i', 'two words']" in line for line in log)


@needs_node
def test_post_if_decides_and_a_failing_post_fails_the_job(run):
    action = "runs: {using: node20, main: m.js, post: p.js, post-if: %s}"
    files = {
        "no/action.yml": action % "failure()", "no/m.js": "", "no/p.js": "console.log('no')",
        "yes/action.yml": action % "success()", "yes/m.js": "", "yes/p.js": "console.log('yes'); process.exit(4)",
    }  # fmt: skip
    result, log = run(files, "- uses: ./no", "- {name: last, uses: ./yes}")
    assert "yes" in log
    assert result.error == "step 'Post last' failed: exit code 4"
    assert "no" in log  # by then the job has failed


@needs_node
def test_a_script_inside_a_composite_action_cleans_up_too(run):
    files = SCRIPT | {"act/action.yml": composite("- {uses: ./js, with: {who-am-i: '${{ inputs.w }}'}}",
                                                  head="inputs: {w: {}}")}  # fmt: skip
    result, log = run(files, "- {uses: ./act, with: {w: eve}}", "- run: echo \"between-$((1+1))\"")
    assert result.conclusion is Conclusion.SUCCESS
    assert log.index("main eve t left=undefined") < log.index("between-2") < log.index("post eve t")
