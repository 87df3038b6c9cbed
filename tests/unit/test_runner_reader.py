from __future__ import annotations

import pytest

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.reader import MAX_BYTES, Mapping, Scalar, Sequence, read_yaml
from clockmesh.runner.reader_scalars import plain


def _tree(text: str) -> Mapping:
    node = read_yaml(text.encode(), "w.yml")
    assert isinstance(node, Mapping)
    return node


def _scalar(text: str, key: str = "a") -> Scalar:
    node = _tree(text).get(key)
    assert isinstance(node, Scalar)
    return node


def _refused(data: str | bytes) -> str:
    with pytest.raises(WorkflowError) as raised:
        read_yaml(data.encode() if isinstance(data, str) else data, "w.yml")
    return str(raised.value)


_YAML_1_1 = ["on", "off", "yes", "no", "y", "n", "1_000", "012a", "1:30", "2001-01-01", "NaN", "=", "+"]


@pytest.mark.parametrize("word", _YAML_1_1)
def test_words_that_yaml_1_1_would_change_stay_text(word: str) -> None:
    assert plain(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("FALSE", False), ("~", None), ("", None), ("0x1F", 31.0), ("0o17", 15.0), ("017", 17.0),
     ("-1.5e2", -150.0), (".5", 0.5), ("1.", 1.0), ("-.inf", float("-inf"))],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_on_is_a_key_like_any_other() -> None:
    assert _scalar("on: push", "on").text == "push"


def test_a_number_as_text_is_what_github_prints() -> None:
    assert _scalar("a: 3.10").text == "3.1"
    assert _scalar("a: '3.10'").text == "3.10"
    assert _scalar("a: 1345678912345678912").text == "1.34567891234568E+18"


def test_every_node_knows_its_place() -> None:
    tree = _tree("a: 1\nb:\n  - x\n  -   y: z\n")
    nested = tree.get("b")
    assert isinstance(nested, Sequence)
    assert (nested.items[0].line, nested.items[0].column) == (3, 5)
    assert (nested.items[1].line, nested.items[1].column) == (4, 7)


def test_a_character_in_a_block_has_its_own_place() -> None:
    block = _scalar("a: |\n\n    one\n      two\n")
    assert block.text == "\none\n  two\n"
    assert block.place(block.text.index("two")) == (4, 7)
    assert block.place(block.text.index("one")) == (3, 5)


def test_a_character_in_a_one_line_value_is_placed_at_the_value() -> None:
    assert _scalar("a:   hello").place(3) == (1, 6)


def test_aliases_stand_for_their_anchors() -> None:
    assert _scalar("x: &v hello\na: *v").text == "hello"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "w.yml:3:1: the key `a` is there already, in line 1; remove one of the two"),
        ("a: 1\nA: 3\n", "w.yml:2:1: the key `A` is there already, in line 1; remove one of the two"),
        ("a: &x {b: *x}", "w.yml:1:11: the alias `*x` stands inside its own anchor"),
        ("a: *x", "w.yml:1:4: the alias `*x` has no anchor `&x` before it"),
        ("a: &x {}\nb:\n  <<: *x", "w.yml:3:3: merge keys (`<<`) are not part of a workflow; write the keys out"),
        ("a: 1\n---\nb: 2", "w.yml:2:1: a second document begins here; a workflow file has one"),
        ("", "w.yml:1:1: the file is empty; a workflow has at least `on` and `jobs`"),
        ("# nothing\n", "w.yml:1:1: the file is empty; a workflow has at least `on` and `jobs`"),
        ("a: !!python/name:x y", "w.yml:1:4: the tag `tag:yaml.org,2002:python/name:x` has no meaning here"),
        ("a: !failure()", "w.yml:1:4: the tag `!failure()` has no meaning here; quote a value that begins with `!`"),
        ("a: !!bool maybe", "w.yml:1:4: `maybe` is not of the type `bool`"),
        ("? [a]\n: b", "w.yml:1:3: a key must be a plain text"),
        ("a: b: c", "w.yml:1:5: not YAML: mapping values are not allowed in this context; quote a value"),
        ("a:\n\t- b", "w.yml:2:1: not YAML: while scanning for the next token, found character that cannot start any"),
        ("a: [1, 2", "w.yml:2:1: not YAML"),
        ("a: 'open", "w.yml:1:9: not YAML"),
    ],
)
def test_what_is_no_workflow_yaml_is_refused_at_its_place(text: str, line: str) -> None:
    assert _refused(text).startswith(line)


def test_a_merge_key_in_quotes_is_a_key() -> None:
    assert _scalar("'<<': x", "<<").text == "x"


def test_bytes_that_are_no_text_are_refused_at_the_first_bad_one() -> None:
    assert _refused(b"a: 1\nb: \xff\xfe") == "w.yml:2:4: not a text file in UTF-8; save it as UTF-8"
    assert _refused(b"a: 1\nb: \x00") == "w.yml:2:4: not YAML: the character U+0000 is not allowed"


def test_a_byte_order_mark_is_no_content() -> None:
    assert read_yaml("\ufeffa: 1".encode(), "w.yml") == read_yaml(b"a: 1", "w.yml")


def test_a_huge_file_is_refused_unread() -> None:
    assert "1048577 bytes" in _refused(b"#" * (MAX_BYTES + 1))


def test_deep_nesting_is_refused_written_out_or_by_aliases() -> None:
    assert "nested deeper than 50 levels" in _refused("- " * 60 + "x")
    chain = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60))])
    assert "nested deeper than 50 levels" in _refused(chain)


def test_aliases_that_would_grow_without_bound_are_refused() -> None:
    bomb = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))])
    assert "more than 50000 values once its aliases are written out" in _refused(bomb)
