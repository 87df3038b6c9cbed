"""What a step says to the runner on its output."""

from __future__ import annotations

import pytest

from clockmesh.protocol.reports import Annotation, Level
from clockmesh.runner.annotations import OF_A_STEP, Annotations, unpacked
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
    said: list[tuple[Level, Command]] = []
    masks = Masks()
    listener = Listener(shown.extend, lambda level, command: said.append((level, command)), masks, debug=debug)
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


def annotated(*lines: str, masks: Masks | None = None) -> tuple[tuple[Annotation, ...], int]:
    told = Annotations()
    listener = Listener(
        lambda _: None,
        lambda level, command: told.add(level, command.data, "Build", command.properties),
        Masks(),
        debug=False,
    )
    listener.hear(list(lines))
    packed = told.packed(masks or Masks())
    return unpacked(packed) if packed else ((), 0)


def test_an_annotation_keeps_its_level_place_and_step() -> None:
    told, more = annotated("::error file=a.py,line=3,col=7,title=T::bad%0Aworse", "::notice line=x::fine")
    assert told == (
        Annotation(Level.ERROR, "bad\nworse", "Build", "T", "a.py", 3, 7),
        Annotation(Level.NOTICE, "fine", "Build"),
    )
    assert more == 0


def test_of_many_annotations_the_first_are_kept_and_the_others_counted() -> None:
    told, more = annotated(*[f"::warning::w{number}" for number in range(OF_A_STEP + 5)], "::error::e")
    assert [one.message for one in told] == [f"w{number}" for number in range(OF_A_STEP)] + ["e"]
    assert more == 5
    told, more = annotated(*[f"::{level}::{'x' * 9000}" for level in ("error", "warning", "notice") for _ in range(9)])
    assert 0 < len(told) < 27
    assert len(told) + more == 27


def test_an_annotation_shows_no_secret_not_even_a_cut_one() -> None:
    secret = "topaz-8812"
    told, _ = annotated(
        f"::error file={secret},title={secret}::{secret}", "::warning::" + "x" * 4090 + secret, masks=Masks([secret])
    )
    assert "topaz" not in repr(told)


def test_without_annotations_there_is_nothing_to_keep() -> None:
    assert annotated("plain", "::debug::deep") == ((), 0)


@pytest.mark.parametrize("line", ["x", "-1", "9" * 5000, "\u0663", "1.5"])
def test_a_line_that_is_no_number_is_no_place(line: str) -> None:
    told, _ = annotated(f"::error file=a,line={line},col=2::bad")
    assert told == (Annotation(Level.ERROR, "bad", "Build", file="a"),)
