"""Secrets on a mesh of real daemons: available to jobs on every peer, and readable nowhere."""

from __future__ import annotations

import base64
import html
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from clockmesh.daemon.demo.peers import Mesh, Peer, stopped_at_end, wait_until
from tests.acceptance.conftest import join_all
from tests.acceptance.test_mesh import write

TOKEN = "Vault-77/x+y \"q\" 'r' & $z"
KEY = "-----BEGIN KEY-----\nfirst/line+of==the key\nsecond%line&of*it\n-----END KEY-----"

LEAK = """\
name: Leak
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  leak:
    runs-on: [self-hosted, LABEL]
    outputs:
      leaky: ${{ steps.talk.outputs.leaky }}
      fine: ${{ steps.talk.outputs.fine }}
    env:
      T: ${{ secrets.TOKEN }}
      K: ${{ secrets.key }}
      ONLY: ${{ secrets.ONLY }}
    steps:
      - id: talk
        run: |
          echo "only=<$ONLY>, token of ${#T} characters, key of ${#K}"
          echo "raw $T and again $T"; echo "$T" >&2
          printf %s "$T" | base64 -w0; echo
          printf 'user:%s\\n' "$T" | base64 -w0; echo
          printf %s "$T" | base64 -w0 | tr '+/' '-_'; echo
          printf '%s' "${T:0:9}"; sleep 0.4; printf '%s\\n' "${T:9}"
          printf '%s' "$K"; sleep 0.1; echo
          printf '%q\\n' "$T"
          set -x; : "$T"; : "$K"; set +x
          python3 - <<'END'
          import html, json, os, urllib.parse as u
          for text in (os.environ["T"], os.environ["K"]):
              print(u.quote(text, safe=""), u.quote_plus(text), json.dumps(text), html.escape(text), repr(text))
          END
          echo "::warning title=$T,file=$T::it is $T"
          echo "::error::$K"
          echo "::debug::$T"
          echo "::group::$T"
          echo "leaky=a $T b" >> "$GITHUB_OUTPUT"
          echo "fine=yes" >> "$GITHUB_OUTPUT"
          echo "# $T" >> "$GITHUB_STEP_SUMMARY"
          echo "$K" >> "$GITHUB_STEP_SUMMARY"
          echo "AGAIN=$T" >> "$GITHUB_ENV"
          env | sort
      - name: Say ${{ secrets.TOKEN }}
        continue-on-error: true
        working-directory: no/${{ secrets.TOKEN }}
        run: pwd
      - name: End ${{ secrets.TOKEN }}
        working-directory: not/${{ secrets.TOKEN }}
        run: pwd
"""


def forms(value: str) -> set[bytes]:
    """What must be nowhere."""
    found = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], html.escape(value)}
    found |= {base64.b64encode(value.encode()).decode(), base64.urlsafe_b64encode(value.encode()).decode()}
    for before in range(3):
        whole = base64.b64encode(bytes(before) + value.encode()).decode()
        found.add(whole[4:-4])
    return {form.encode() for form in found}


NOWHERE = forms(TOKEN) | set().union(*(forms(line) for line in KEY.splitlines()[1:3])) | forms(KEY)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Three peers that have secrets, and a fourth that joined later and alone offers the label `late`."""
    with tempfile.TemporaryDirectory(prefix="cm-") as folder, stopped_at_end(Mesh(Path(folder))) as made:
        join_all(made, "alpha", "beta", "gamma")
        made["alpha"].run("secret", "set", "token", typed=TOKEN + "\n")
        made["beta"].run("secret", "set", "KEY", "--workflow", "Leak", typed=KEY)
        made["gamma"].run("secret", "set", "ONLY", "--workflow", "Other", typed="only-for-another-4711")
        late = made.new_peer("delta")
        late.run("join", made["alpha"].run("invite").strip(), "--name", "delta")
        (late.home / "config.yml").write_text("labels: [late]\n")
        late.start()
        wait_until(lambda: all(len(p.json("peer", "list")["peers"]) == 4 for p in made), "all know delta", 20)
        yield made


@pytest.fixture(scope="module")
def runs(mesh: Mesh) -> dict[str, str]:
    """One for each label, by label; both have ended."""
    made = {}
    for label in ("linux", "late"):
        made[label] = mesh["alpha"].json("run", "submit", write(mesh.folder, LEAK.replace("LABEL", label)))["run"]
    for run in made.values():
        mesh["alpha"].run("run", "wait", run, "--timeout", "60", good=(1,))
        for peer in mesh:
            peer.run("run", "wait", run, "--timeout", "10", good=(1,))
    (mesh.folder / "flow.yml").unlink()
    return made


def texts(peer: Peer, run: str) -> str:
    """All that a peer tells of a run."""
    told = [peer.run("run", *words) for words in (
        ("show", run), ("show", run, "--json"), ("show", run, "--summary"), ("show", run, "--summary", "--json"),
        ("logs", run), ("logs", run, "--json"))]  # fmt: skip
    return "".join([*told, peer.run("why", run), peer.run("secret", "list"), peer.run("secret", "list", "--json")])


def found_in(data: bytes) -> set[bytes]:
    return {form for form in NOWHERE if form in data}


@pytest.mark.parametrize("label", ["linux", "late"])
def test_a_secret_is_used_on_every_peer_and_gets_through_nowhere(mesh: Mesh, runs: dict[str, str], label: str) -> None:
    run = runs[label]
    for peer in mesh:
        shown = texts(peer, run)
        assert not found_in(shown.encode())
        assert f"only=<>, token of {len(TOKEN)} characters, key of {len(KEY)}" in shown
        assert "raw *** and again ***" in shown
        (job,) = peer.json("run", "show", run)["jobs"]
        assert job["outputs"] == {"fine": "yes"}
        assert job["peer"] == ("delta" if label == "late" else job["peer"])
        assert "***" in job["error"]
        assert next((told["title"], told["message"]) for told in job["annotations"]) == ("***", "it is ***")
        assert peer.run("run", "show", run, "--summary").splitlines()[:2] == ["# ***", "***"]


@pytest.mark.usefixtures("runs")
def test_no_file_of_any_peer_holds_a_secret(mesh: Mesh) -> None:
    wait_until(lambda: not list(mesh.folder.glob("*/jobs/*/*/work")), "work directories are gone", 10)
    held = {}
    for path in mesh.folder.rglob("*"):
        if path.is_file() and (found := found_in(path.read_bytes())):
            held[str(path)] = found
    assert not held


def test_the_list_tells_who_can_open_what(mesh: Mesh) -> None:
    def all_open() -> bool:
        return all(each["opened_by_all"] for each in mesh["beta"].json("secret", "list")["secrets"])

    wait_until(all_open, "delta has every key", 20)
    listed = {each["name"]: each for each in mesh["delta"].json("secret", "list")["secrets"]}
    assert sorted(listed) == ["KEY", "ONLY", "TOKEN"]
    assert listed["KEY"]["workflows"] == ["Leak"]
    assert (listed["KEY"]["set_by"], listed["TOKEN"]["set_by"]) == ("beta", "alpha")
    assert listed["TOKEN"]["opened_by"] == ["alpha", "beta", "delta", "gamma"]


def test_what_a_workflow_will_not_have_is_said_when_it_is_submitted(mesh: Mesh, tmp_path: Path) -> None:
    flow = LEAK.replace("LABEL", "nowhere").replace("secrets.key", "secrets.other_key")
    told = mesh["gamma"].json("run", "submit", write(tmp_path, flow))
    assert told["unset_secrets"] == ["ONLY", "OTHER_KEY"]
    mesh["gamma"].run("run", "cancel", told["run"])


def test_a_removed_secret_is_empty_in_the_next_run(mesh: Mesh, tmp_path: Path) -> None:
    mesh["gamma"].run("secret", "remove", "token")
    mesh["gamma"].run("secret", "remove", "token", good=(3,))
    wait_until(lambda: "TOKEN" not in mesh["delta"].run("secret", "list"), "delta knows", 10)
    flow = """\
name: After
labels: [p2p-workflow]
on: workflow_dispatch
jobs:
  look: {runs-on: [self-hosted, late], steps: [{run: 'echo "<${{ secrets.TOKEN }}>"'}]}
"""
    run = mesh["alpha"].json("run", "submit", write(tmp_path, flow))["run"]
    mesh["alpha"].run("run", "wait", run, "--timeout", "30")
    time.sleep(0.2)
    assert "<>" in mesh["alpha"].run("run", "logs", run)
