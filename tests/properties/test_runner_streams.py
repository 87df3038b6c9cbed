"""What comes in pieces means the same whatever the pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clockmesh.runner.command_files import CommandFileError, parse_pairs
from clockmesh.runner.host_messages import BadFrame, CommandReader, ReportReader
from clockmesh.runner.logfile import LineSplitter

NAMES = st.text(st.characters(exclude_characters="\n=<", exclude_categories=["Cs"]), min_size=1, max_size=10)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_every_value_survives_a_block_with_a_delimiter_of_its_own(pairs):
    blocks = [f"{name}<<__END__\n{value}\n__END__\n" for name, value in pairs if "__END__" not in value]
    kept = [pair for pair in pairs if "__END__" not in pair[1]]
    assert parse_pairs("".join(blocks)) == kept


@given(VALUES)
def test_any_text_is_pairs_or_one_kind_of_error(text):
    try:
        pairs = parse_pairs(text)
    except CommandFileError:
        return
    assert all(name for name, _ in pairs)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_lines_do_not_depend_on_the_pieces_they_came_in(data, cuts):
    whole, pieces = LineSplitter(), LineSplitter()
    edges = [0, *sorted(cuts), len(data)]
    got = [line for start, end in pairwise(edges) for line in pieces.feed(data[start:end])]
    assert got + pieces.end() == whole.feed(data) + whole.end()


@given(st.binary(max_size=60))
def test_any_bytes_on_the_hosts_socket_are_commands_or_one_kind_of_error(data):
    for reader in (CommandReader(), ReportReader()):
        try:
            reader.feed(len(data).to_bytes(4, "big") + data)
        except BadFrame:
            continue
        raise AssertionError("junk was taken for a message")
