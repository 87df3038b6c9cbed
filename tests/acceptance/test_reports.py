"""What jobs say beside their results, read on every peer."""

from __future__ import annotations

from pathlib import Path

from clockmesh.daemon.demo.peers import Mesh, wait_until
from tests.acceptance.test_mesh import write

FLOW = """\
name: Talk
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  talk:
    runs-on: ubuntu-latest
    outputs: {said: '${{ steps.talk.outputs.said }}'}
    steps:
      - id: talk
        name: Talk
        run: |
          echo "::group::Details"
          echo "::debug::not shown"
          echo "::warning file=scrape.py,line=3,title=Slow::site took 9 s"
          echo "::set-output name=said::yes"
          word=opal-$((70+7))
          echo "::add-mask::$word"
          echo "the word is $word"
          echo "::stop-commands::pause-word"
          echo "::error::not a command now"
          echo "::pause-word::"
          echo "::error::at last"
          echo "# Prices" >> "$GITHUB_STEP_SUMMARY"
          echo "| $word | 4 |" >> "$GITHUB_STEP_SUMMARY"
"""


def test_annotations_and_summaries_are_seen_on_every_peer(mesh: Mesh, tmp_path: Path) -> None:
    run = mesh["beta"].json("run", "submit", write(tmp_path, FLOW))["run"]
    mesh["beta"].run("run", "wait", run, "--timeout", "30")
    wait_until(lambda: all(p.json("run", "show", run)["conclusion"] for p in mesh), "all peers know the end", 2)
    for peer in mesh:
        (job,) = peer.json("run", "show", run)["jobs"]
        assert job["outputs"] == {"said": "yes"}
        assert [(told["level"], told["message"], told["step"]) for told in job["annotations"]] == [
            ("warning", "site took 9 s", "Talk"), ("error", "at last", "Talk"),
        ]  # fmt: skip
        assert "  warning scrape.py:3: Slow: site took 9 s" in peer.run("run", "show", run).splitlines()
        assert peer.run("run", "show", run, "--summary") == "# Prices\n| *** | 4 |\n"
        log = peer.run("run", "logs", run, "--job", "talk").splitlines()
        assert {"the word is ***", "::error::not a command now", "Group: Details"} <= set(log)
        assert not [line for line in log if "opal-77" in line or line == "Debug: not shown"]
