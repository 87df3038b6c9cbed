"""What must not be shown, and the forms in which it is found."""

from __future__ import annotations

import base64
import json
import subprocess
from urllib.parse import quote

import pytest

from clockmesh.runner.logfile import MAX_LINE_BYTES, JobLog, LineSplitter
from clockmesh.runner.masks import Masks

SECRET = "vault-Key_77x9'<&é"


def test_a_value_is_hidden_wherever_it_stands() -> None:
    masks = Masks(["alpha-1"])
    assert masks.hide("xalpha-1y alpha-1") == "x***y ***"
    assert masks.hide("alpha-2") == "alpha-2"


@pytest.mark.parametrize(
    "form",
    [
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        json.dumps(SECRET)[1:-1],
        quote(SECRET, safe=""),
        SECRET.replace("'", "''"),
        SECRET.replace("'", "'\\''"),
        quote(SECRET, safe="!'()*"),
        SECRET.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#x27;"),
    ],
)
def test_the_forms_that_tools_make_of_a_value_are_hidden(form: str) -> None:
    assert Masks([SECRET]).hide(f"[{form}]") == "[***]"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user: "])
def test_of_a_value_inside_other_base64_at_most_its_edges_show(before: str) -> None:
    encoded = base64.b64encode(f"{before}{SECRET} and more".encode()).decode()
    shown = Masks([SECRET]).hide(encoded)
    assert shown.count("***") == 1
    whole = len(SECRET.encode()) * 8 // 6
    assert len(encoded) - len(shown.replace("***", "")) >= whole - 1


def test_every_line_of_a_value_is_hidden_and_empty_ones_hide_nothing() -> None:
    masks = Masks(["first line\n\nsecond line\n", "", "  "])
    assert masks.hide("a second line, a first line.") == "a ***, a ***."
    assert masks.hide("a  b") == "a  b"


def test_of_values_that_overlap_nothing_is_left() -> None:
    assert Masks(["abcde", "defgh"]).hide("<abcdefgh>") == "<***>"


def test_a_value_that_a_cut_leaves_half_of_is_hidden(tmp_path) -> None:
    assert Masks(["topaz-8812"]).hide("see topaz-88", cut=True) == "see ***"
    assert Masks(["topaz-8812"]).hide("see topaz-88") == "see topaz-88"
    log = JobLog(tmp_path / "log", masks=Masks(["topaz-8812"]))
    log.write("step", LineSplitter().feed(b"." * (MAX_LINE_BYTES - 8) + b"topaz-8812 and more"))
    assert "topaz" not in (tmp_path / "log").read_text()


def test_a_text_with_a_value_is_known() -> None:
    assert Masks(["topaz"]).holds("x-topaz-y")
    assert not Masks(["topaz"]).holds("x-opal-y")
    assert not Masks().holds("x")


def test_a_log_never_holds_what_its_masks_hide(tmp_path) -> None:
    log = JobLog(tmp_path / "log", masks=Masks(["topaz"]))
    log.write("step topaz", ["one topaz", "two"])
    log.masks.add("two")
    log.line("step", "two")
    assert "topaz" not in (tmp_path / "log").read_text()
    texts = [json.loads(line)["text"] for line in (tmp_path / "log").read_text().splitlines()]
    assert texts == ["one ***", "two", "***"]


@pytest.mark.parametrize("secret", [SECRET, "plain-value 1", "two\nlines of 'it'", "$(rm) `x` \\ \"q\" ~!"])
@pytest.mark.parametrize("script", ['printf %s "$V"', "printf %q \"$V\"", 'set -x; : "$V" 2>&1'])
def test_what_a_shell_makes_of_a_value_is_hidden(secret: str, script: str) -> None:
    ended = subprocess.run(["bash", "-c", script], env={"V": secret, "LC_ALL": "C.UTF-8"}, capture_output=True,
                           text=True, check=True)  # fmt: skip
    shown = Masks([secret]).hide(ended.stdout + ended.stderr)
    for line in secret.splitlines():
        assert line not in shown
        assert line.replace("'", "'\\''") not in shown
    assert "***" in shown


def test_lines_that_come_together_are_searched_as_well_as_alone(tmp_path) -> None:
    log = JobLog(tmp_path / "log", masks=Masks(["first\nsecond"]))
    log.write("step", ["nothing"] * 100 + ["the first", "of second", "nothing"])
    texts = [json.loads(line)["text"] for line in (tmp_path / "log").read_text().splitlines()]
    assert texts[100:] == ["the ***", "of ***", "nothing"]


@pytest.mark.parametrize("secret", ["topaz-8812", "aaaaaaaaaaaab", "ab", "x" * 48_000])
def test_of_a_cut_line_every_beginning_of_a_value_is_hidden(secret: str) -> None:
    masks = Masks([secret])
    for length in {1, 2, len(secret) // 2, len(secret) - 1}:
        assert masks.hide("see " + secret[:length], cut=True) == "see ***"
