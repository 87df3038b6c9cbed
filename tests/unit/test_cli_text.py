"""Tables, ages and text that cannot move the cursor."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockmesh.daemon.surface import iso
from clockmesh.daemon.text import age, clean, coloured, count, log_text, moment, span, table, wants_colour

HEADS = ("RUN", "NAME", "STATUS")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_line_up_and_no_line_ends_in_blanks() -> None:
    text = table(HEADS, [("1234", "a", "success"), ("5", "much longer", "")], 80)
    assert text.splitlines() == [
        "RUN   NAME         STATUS",
        "1234  a            success",
        "5     much longer",
    ]


def test_the_widest_column_gives_way_until_the_table_fits() -> None:
    text = table(HEADS, [("1234", "x" * 200, "success")], 40)
    assert text.splitlines() == ["RUN   NAME                       STATUS", f"1234  {'x' * 24}…  success"]


def test_a_column_that_must_stay_whole_does() -> None:
    text = table(HEADS, [("1234567890", "x" * 40, "success")], 30, give=(1,))
    assert text.splitlines()[1] == f"1234567890  {'x' * 8}…  success"


@given(st.lists(st.tuples(*[st.text(max_size=60)] * 3), max_size=5), st.integers(20, 120))
def test_a_table_fits_the_terminal_whatever_is_in_it(rows: list[tuple[str, ...]], width: int) -> None:
    lines = table(HEADS, rows, width).split("\n")
    assert len(lines) == 1 + len(rows)
    assert all(len(line) <= width for line in lines)


def test_a_cut_cell_keeps_its_colour_codes_whole() -> None:
    text = table(HEADS, [("1234", "n", "success")], 80, colour=True)
    assert text.splitlines()[1] == "1234  n     \x1b[32msuccess\x1b[0m"


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\rb", "a\nb", "a\x9b2Jb", "a\x00b", "a\u202eb"])
def test_no_name_moves_the_cursor(text: str) -> None:
    assert clean(text)[0] + clean(text)[-1] == "ab"
    assert not set(clean(text)) & set("\x1b\r\n\x9b\x00\u202e")


def test_a_log_line_keeps_its_colours_where_they_are_shown_and_nothing_else() -> None:
    line = "\x1b[31mred\x1b[0m \x1b[2Jtab\there\x07"
    assert log_text(line, colour=True) == "\x1b[31mred\x1b[0m [2Jtab\there\x1b[0m"
    assert log_text(line, colour=False) == "red [2Jtab\there"
    assert log_text("plain", colour=True) == "plain"


def test_colour_is_for_terminals_that_want_it() -> None:
    assert wants_colour(Terminal(), {})
    assert not wants_colour(Terminal(), {"NO_COLOR": "1"})
    assert wants_colour(Terminal(), {"NO_COLOR": ""})
    assert not wants_colour(Terminal(), {"TERM": "dumb"})
    assert not wants_colour(io.StringIO(), {})
    assert coloured("success", False) == "success"
    assert coloured("unheard of", True) == "unheard of"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-1, "0.00 s"), (0.044, "0.04 s"), (1.26, "1.3 s"), (12.4, "12 s"), (60, "1 min"), (185, "3 min 5 s"),
        (7200, "2 h"), (7800, "2 h 10 min"), (86_400 * 3 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(seconds: float, told: str) -> None:
    assert span(seconds) == told


@pytest.mark.parametrize(("seconds", "told"), [(-3, "now"), (0.9, "now"), (12, "12 s"), (200, "3 min"), (1e6, "11 d")])
def test_an_age_has_one_unit(seconds: float, told: str) -> None:
    assert age(seconds) == told


@given(st.integers(1, 4_000_000_000_000))
def test_a_time_in_json_comes_back_as_it_was(milliseconds: int) -> None:
    written = iso(milliseconds)
    assert written is not None
    assert round(moment(written) * 1000) == milliseconds


def test_numbers_have_their_nouns() -> None:
    assert (count(1, "node"), count(2, "node"), count(0, "node")) == ("1 node", "2 nodes", "0 nodes")
