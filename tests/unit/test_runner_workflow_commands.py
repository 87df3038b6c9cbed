"""What a step says to the runner on its output."""

from __future__ import annotations

import pytest

from clockmesh.runner.masks import Masks
from clockmesh.runner.workflow_commands import Command, Listener, parse

KNOWN = ("warning", "add-mask")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("::warning::text", Command("warning", "text")),
        ("  ::WARNING file=a%2Cb.py,line=3,empty=::50%25%0Aoff::", Command(
            "warning", "50%\noff::", {"file": "a,b.py", "line": "3"})),
        ("before ##[warning file=a;line=3]text%5D", Command("warning", "text]", {"file": "a", "line": "3"})),
        ("::nosuch::text", None),
        ("x ::warning::text", None),
        ("::warning:text", None),
        ("::", None),
        ("plain", None),
    ],
)  # fmt: skip
def test_a_command_is_read_as_the_official_runner_reads_it(line: str, wanted: Command | None) -> None:
    assert parse(line, KNOWN) == wanted


def heard(*lines: str, debug: bool = False) -> tuple[list[str], Listener, Masks]:
    shown: list[str] = []
    masks = Masks()
    listener = Listener(shown.extend, masks, debug=debug)
    listener.hear(list(lines))
    return shown, listener, masks


def test_an_annotation_is_shown_with_its_place() -> None:
    shown, listener, _ = heard("::error file=a.py,line=3,title=T::bad", "::notice::fine", "::warning::")
    assert shown == ["Error: a.py:3: T: bad", "Notice: fine", "Warning"]
    assert not listener.errors


def test_debug_is_shown_only_where_it_is_asked_for() -> None:
    assert heard("::debug::deep")[0] == []
    assert heard("::debug::deep", debug=True)[0] == ["Debug: deep"]


def test_a_mask_is_added_and_its_command_not_shown() -> None:
    shown, _, masks = heard("::add-mask::one%0Atwo", "after")
    assert shown == ["after"]
    assert masks.hide("one two") == "*** ***"


def test_commands_are_plain_text_until_the_word_that_ends_the_pause() -> None:
    shown, listener, masks = heard(
        "::stop-commands::tok", "::add-mask::x1234", "::TOK::", "::add-mask::y1234", "::tok::"
    )
    assert shown == ["::add-mask::x1234", "::tok::"]
    assert (masks.hide("x1234"), masks.hide("y1234")) == ("x1234", "***")
    assert not listener.errors


@pytest.mark.parametrize(
    "line",
    ["::set-env name=A::1", "::add-path::/x", "::stop-commands::", "::stop-commands::debug", "::set-output::1"],
)
def test_what_is_disabled_or_malformed_fails_the_step(line: str) -> None:
    shown, listener, _ = heard(line)
    assert len(listener.errors) == 1
    assert shown == []


def test_the_old_way_of_an_output_still_works() -> None:
    shown, listener, _ = heard("::set-output name=a::v%0Aw", "::group::G", "::endgroup::")
    assert listener.outputs == {"a": "v\nw"}
    assert shown == ["Group: G"]
