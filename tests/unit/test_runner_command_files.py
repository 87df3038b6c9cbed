"""The files through which a step speaks."""

from __future__ import annotations

import os

import pytest

from clockmesh.runner.command_files import CommandFileError, new_files, parse_pairs


def said(tmp_path, **texts):
    files = new_files(tmp_path / "files")
    for kind, text in texts.items():
        files.paths[kind].write_text(text)
    return files.read()


def test_a_value_may_hold_equal_signs_and_the_last_write_wins():
    assert parse_pairs("a=1\na=b=c\n\nempty=\n") == [("a", "1"), ("a", "b=c"), ("empty", "")]


def test_a_block_keeps_empty_lines_and_what_looks_like_another_pair():
    text = "text<<EOF\none\n\nk=v<<x\nlast\nEOF\nempty<<EOF\nEOF\n"
    assert parse_pairs(text) == [("text", "one\n\nk=v<<x\nlast"), ("empty", "")]


def test_the_delimiter_of_a_block_may_hold_an_equal_sign():
    assert parse_pairs("text<<AB==\nx\nAB==\n") == [("text", "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just some words", "Invalid format 'just some words'"),
        ("=x", "Invalid format '=x'. Name must not be empty"),
        ("<<E\nE", "Invalid format '<<E'. Name must not be empty and delimiter must not be empty"),
        ("a<<", "Invalid format 'a<<'. Name must not be empty and delimiter must not be empty"),
        ("a<<E\nx\n", "Invalid value. Matching delimiter not found 'E'"),
    ],
)
def test_a_malformed_file_has_the_error_text_of_the_official_runner(text, message):
    with pytest.raises(CommandFileError) as error:
        parse_pairs(text)
    assert str(error.value) == message


def test_a_malformed_output_file_fails_the_step_and_gives_no_outputs(tmp_path):
    told = said(tmp_path, output="good=1\njust some words\n", env="A=1\n")
    assert told.failed
    assert told.outputs == {}
    assert told.env == {"A": "1"}
    assert told.errors == (
        "Unable to process file command 'output' successfully.",
        "Invalid format 'just some words'",
    )


def test_node_options_is_refused_without_failing_the_step(tmp_path):
    told = said(tmp_path, env="NODE_OPTIONS=--no-warnings\nOTHER=kept\n")
    assert not told.failed
    assert told.env == {"OTHER": "kept"}
    assert told.errors == ("Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.",)


def test_default_variables_cannot_be_set_through_github_env(tmp_path):
    assert said(tmp_path, env="GITHUB_SHA=x\nRUNNER_OS=y\nMINE=z\n").env == {"MINE": "z"}


def test_paths_keep_their_order_and_a_removed_file_says_nothing(tmp_path):
    files = new_files(tmp_path)
    files.paths["path"].write_text("/one\n\n/two\n")
    files.paths["output"].unlink()
    told = files.read()
    assert told.paths == ("/one", "/two")
    assert not told.failed


def test_a_file_that_became_a_folder_fails_the_step(tmp_path):
    files = new_files(tmp_path)
    files.paths["path"].unlink()
    files.paths["path"].mkdir()
    assert files.read().failed


def test_a_file_that_became_a_pipe_fails_the_step_and_is_not_waited_for(tmp_path):
    files = new_files(tmp_path)
    files.paths["env"].unlink()
    os.mkfifo(files.paths["env"])
    told = files.read()
    assert told.failed
    assert told.errors[-1] == "The file cannot be read: it is no regular file any more."


def test_each_step_gets_new_files(tmp_path):
    first, second = new_files(tmp_path), new_files(tmp_path)
    assert not set(first.paths.values()) & set(second.paths.values())
    assert set(first.env()) == {
        "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY",
    }  # fmt: skip
