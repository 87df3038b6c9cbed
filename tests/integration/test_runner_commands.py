"""Workflow commands and step summaries: only where the spec asks for them."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path

import pytest

from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.result import Conclusion, Result
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


def led(folder: Path, *, commands: bool, **secrets: str) -> tuple[Result, list[str]]:
    (folder / "job").mkdir()
    spec = dataclasses.replace(spec_of(folder, FLOW), commands=commands, given=Given(secrets))
    in_child(lead, spec, folder / "job", "commands-test")
    log = [json.loads(line)["text"] for line in (folder / "job" / "log").read_text().splitlines()]
    return decode_result((folder / "job" / "result").read_bytes()), log


def test_commands_are_plain_text_unless_they_are_wanted(tmp_path: Path) -> None:
    result, log = led(tmp_path, commands=False)
    assert result.conclusion is Conclusion.SUCCESS
    assert {"::add-mask::opal-11", "<opal-11>", "::set-env name=A::1"} <= set(log)
    assert dict(result.outputs) == {"said": "", "leaky": ""}
    assert not (tmp_path / "job" / "summary").exists()


def test_commands_are_obeyed_where_they_are_wanted(tmp_path: Path) -> None:
    result, log = led(tmp_path, commands=True, T="topaz-8812")
    assert result.conclusion is Conclusion.FAILURE
    assert "`set-env` command is disabled" in result.error
    assert len([line for line in log if "command is disabled" in line]) == 1
    assert "<***>" in log
    assert dict(result.outputs) == {"said": "yes"}
    assert (tmp_path / "job" / "summary").read_text() == "T is 2 ***\nno line feed\n"


@pytest.mark.parametrize("commands", [True, False])
def test_no_secret_reaches_the_log_or_the_result(tmp_path: Path, commands: bool) -> None:
    result, log = led(tmp_path, commands=commands, T="topaz-8812")
    assert "topaz" not in f"{result}{log}"
    assert "Warning: Skip output 'leaky' since it may contain secret." in log
