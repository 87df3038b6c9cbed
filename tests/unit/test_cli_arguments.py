"""From typed words to a verb and its options."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clockmesh.daemon.cli_arguments import Asked, HelpWanted, default_home, parse
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.home import default_home as home_of_the_daemon
from clockmesh.daemon.routes import VERBS

SPELLED = [verb for verb in VERBS if verb.words]
OPERANDS = {name: ["flow.yml"] for name in ("lint", "local", "schedule_add", "submit")} | {"join": ["LINE"]} | {
    verb.name: ["abcd"]
    for verb in SPELLED
    if "{" in verb.path or verb.name in ("secret_set", "secret_remove", "remote_add", "remote_remove")
}


def asked(*words: str, **environment: str) -> Asked:
    return parse(words, {"HOME": "/u", **environment})


def refusal(*words: str) -> str:
    with pytest.raises(Trouble) as caught:
        asked(*words)
    assert caught.value.exit is Exit.USAGE
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("verb", SPELLED, ids=lambda verb: verb.words)
def test_home_and_json_stand_before_or_after_every_verb(verb) -> None:
    words, operands = verb.words.split(), OPERANDS.get(verb.name, [])
    for typed in (
        ["--home", "/h", "--json", *words, *operands],
        [*words, *operands, "--home", "/h", "--json"],
        ["--home=/h", *words, "--json", *operands],
        [words[0], "--json", "--home", "/h", *words[1:], *operands],
    ):
        got = asked(*typed)
        assert (got.verb.name, got.home, got.json) == (verb.name, "/h", True)


def test_the_last_home_wins() -> None:
    assert asked("--home", "/a", "status", "--home", "/b").home == "/b"


@pytest.mark.parametrize(
    "environment",
    [
        {"CLOCKMESH_HOME": "/c", "XDG_STATE_HOME": "/x", "HOME": "/u"},
        {"XDG_STATE_HOME": "/x", "HOME": "/u"},
        {"HOME": "/u"},
        {"CLOCKMESH_HOME": "rel", "HOME": "/u"},
        {"CLOCKMESH_HOME": "", "XDG_STATE_HOME": "", "HOME": "/u"},
    ],
)
def test_the_default_home_is_the_daemons(environment: dict[str, str]) -> None:
    assert default_home(environment) == str(home_of_the_daemon(environment))


def test_a_home_option_overrides_the_environment_and_is_made_absolute() -> None:
    assert asked("status", "--home", "d", CLOCKMESH_HOME="/c").home == os.path.join(os.getcwd(), "d")
    assert asked("status", CLOCKMESH_HOME="/c").home == "/c"


def test_the_next_command_names_the_home_that_was_typed_and_no_other() -> None:
    assert asked("init").command("invite") == "clockmesh invite"
    assert asked("init", "--home", "a b").command("invite") == "clockmesh invite --home 'a b'"


def test_submit_takes_all_its_options() -> None:
    words = "flow.yml --follow --force --guard lease --input a=1 -i b==x=y --priority 1.5 --remote u --ref r"
    options = asked("run", "submit", *words.split()).options
    assert (options.file, options.follow, options.force, options.guard) == ("flow.yml", True, True, "lease")
    assert (options.inputs, options.priority) == ([("a", "1"), ("b", "=x=y")], 1.5)
    assert (options.remote, options.ref) == ("u", "r")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86_400)])
def test_times_have_units(text: str, seconds: float) -> None:
    assert asked("invite", "--ttl", text).options.ttl == seconds
    assert asked("run", "wait", "abcd", "--timeout", text).options.timeout == seconds


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("frobnicate", "no verb 'frobnicate'"),
        ("stauts", "did you mean `clockmesh status`"),
        ("submit flow.yml", "did you mean `clockmesh run submit`"),
        ("run", "submit, list, show, logs, wait, cancel, rerun"),
        ("run sumbit x", "did you mean `clockmesh run submit`"),
        ("list", "did you mean `clockmesh run list`"),
        ("run help", "`clockmesh run` has: submit, list, show, logs, wait, cancel, rerun"),
        ("--json", "a verb is missing after --json"),
        ("--home status", "a verb is missing after status"),
        ("--frob status", "--frob"),
        ("status extra", "extra"),
        ("status --frob", "--frob"),
        ("run submit", "FILE"),
        ("run submit f --input novalue", "'novalue' is not KEY=VALUE"),
        ("run submit f --input =x", "'=x' is not KEY=VALUE"),
        ("run submit f --priority nan", "--priority: 'nan' is not a finite number"),
        ("run submit f --priority inf", "--priority"),
        ("run submit f --priority high", "--priority"),
        ("run submit f --guard none", "--guard"),
        ("run submit f --pri 1", "--pri"),
        ("init --slots -1", "--slots"),
        ("init --slots 1.5", "--slots"),
        ("init --slots 300", "more than 256"),
        ("invite --ttl 0", "--ttl"),
        ("invite --ttl soon", "'soon' is not a time"),
        ("run list --limit x", "--limit"),
        ("status --home=", "--home"),
        ("status --home", "--home"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(words: str, wanted: str) -> None:
    assert wanted in refusal(*words.split())


def test_an_empty_word_is_no_verb() -> None:
    assert "no verb ''" in refusal("")
    assert "no verb 'run '" in refusal("run", "")


@pytest.mark.parametrize("verb", SPELLED, ids=lambda verb: verb.words)
def test_every_verb_has_help_with_an_example(verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ([*verb.words.split(), "--help"], ["help", *verb.words.split()], ["--help", *verb.words.split()]):
        with pytest.raises(HelpWanted) as caught:
            asked(*words)
        text = str(caught.value)
        assert f"clockmesh {verb.words}" in text.splitlines()[0]
        assert verb.example in text
        assert all(len(line) <= 80 for line in text.splitlines())


def test_the_overview_lists_every_verb_and_fits_80_columns() -> None:
    with pytest.raises(HelpWanted) as caught:
        asked()
    lines = str(caught.value).splitlines()
    for verb in SPELLED:
        assert any(line.startswith(f"  {verb.words} ") and verb.help in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_group_lists_its_verbs() -> None:
    with pytest.raises(HelpWanted) as caught:
        asked("run", "--help")
    assert "run submit" in str(caught.value)
    assert "peer list" not in str(caught.value)


def test_the_example_of_each_verb_can_be_typed() -> None:
    for verb in SPELLED:
        assert parse(verb.example.split()[1:], {"HOME": str(Path.home())}).verb is verb
