"""Workflow commands, annotations and step summaries, as a whole job leaves them."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path

from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.reports import Annotation, Level
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner.annotations import unpacked
from clockmesh.runner.job import lead
from clockmesh.runner.spec import Given
from tests.integration.runner_hosts import spec_of
from tests.integration.runner_support import in_child

FLOW = textwrap.dedent("""\
    on: push
    jobs:
      j:
        runs-on: self-hosted
        outputs: {said: '${{ steps.talk.outputs.said }}', leaky: '${{ steps.talk.outputs.leaky }}'}
        steps:
          - id: talk
            run: |
              echo "::add-mask::opal-$((10+1))"
              echo "::set-output name=said::yes"
              echo "<opal-$((10+1))>"
              echo "leaky=${{ secrets.T }}" >> $GITHUB_OUTPUT
              echo "T is $((1+1)) ${{ secrets.T }}" >> $GITHUB_STEP_SUMMARY
          - run: echo "::set-env name=A::1"
          - if: always()
            run: printf 'no line feed' >> $GITHUB_STEP_SUMMARY
    """)


def led(folder: Path, flow: str = FLOW, **secrets: str) -> tuple[Result, list[str]]:
    (folder / "job").mkdir()
    spec = dataclasses.replace(spec_of(folder, flow), given=Given(secrets))
    in_child(lead, spec, folder / "job", "commands-test")
    log = [json.loads(line)["text"] for line in (folder / "job" / "log").read_text().splitlines()]
    return decode_result((folder / "job" / "result").read_bytes()), log


def test_commands_are_obeyed(tmp_path: Path) -> None:
    result, log = led(tmp_path, T="topaz-8812")
    assert result.conclusion is Conclusion.FAILURE
    assert "`set-env` command is disabled" in result.error
    assert len([line for line in log if "command is disabled" in line]) == 1
    assert "<***>" in log
    assert dict(result.outputs) == {"said": "yes"}
    assert (tmp_path / "job" / "summary").read_text() == "T is 2 ***\nno line feed\n"


def test_no_secret_reaches_the_log_or_the_result(tmp_path: Path) -> None:
    result, log = led(tmp_path, T="topaz-8812")
    assert "topaz" not in f"{result}{log}"
    assert "Warning: Skip output 'leaky' since it may contain secret." in log


def test_annotations_are_left_for_the_daemon_masked_and_with_their_step(tmp_path: Path) -> None:
    flow = textwrap.dedent("""\
        on: push
        jobs:
          j:
            runs-on: self-hosted
            steps:
              - name: Check
                run: |
                  echo '::warning file=a.txt,line=2::the token is ${{ secrets.T }}'
                  for i in $(seq 12); do echo "::notice::n$i"; done
              - run: |
                  echo '::notice::fresh'
                  exit 3
        """)
    result, _ = led(tmp_path, flow, T="topaz-8812")
    assert result.conclusion is Conclusion.FAILURE
    told, more = unpacked((tmp_path / "job" / "annotations").read_bytes())
    assert told[0] == Annotation(Level.WARNING, "the token is ***", "Check", file="a.txt", line=2)
    assert [one.message for one in told[1:]] == [*(f"n{number}" for number in range(1, 11)), "fresh"]
    assert more == 2


def test_a_summary_above_its_bounds_is_left_out_and_said(tmp_path: Path) -> None:
    flow = textwrap.dedent("""\
        on: push
        jobs:
          j:
            runs-on: self-hosted
            steps:
              - run: head -c 1100000 /dev/zero | tr '\\0' x >> $GITHUB_STEP_SUMMARY
              - run: echo kept >> $GITHUB_STEP_SUMMARY
        """)
    result, log = led(tmp_path, flow)
    assert result.conclusion is Conclusion.SUCCESS
    assert [line for line in log if "upload aborted" in line]
    assert (tmp_path / "job" / "summary").read_text() == "kept\n"
