"""From `shell` and `run` to a command."""

from __future__ import annotations

import os

import pytest

from clockmesh.runner.shells import ShellError, prepare


@pytest.fixture
def bins(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "sh", "python3", "sed", "perl"):
        path = folder / name
        path.write_text("#!/bin/true\n")
        path.chmod(0o755)
    return folder


@pytest.fixture
def command(tmp_path, bins):
    def made(shell, run="true"):
        script = prepare(shell, run, tmp_path / "script", str(bins))
        return [word.replace(str(bins) + "/", "").replace(str(tmp_path), "T") for word in script.command]

    return made


def test_the_default_shell_has_errexit_and_no_pipefail(command):
    assert command("") == ["bash", "-e", "T/script.sh"]


def test_an_explicit_bash_has_pipefail_and_reads_no_profile(command):
    assert command("bash") == ["bash", "--noprofile", "--norc", "-eo", "pipefail", "T/script.sh"]


def test_the_other_built_in_shells(command):
    assert command("sh") == ["sh", "-e", "T/script.sh"]
    assert command("python") == ["python3", "T/script.py"], "python3 stands for a python that is not installed"


def test_a_template_gets_the_script_where_it_says_and_nothing_else(command):
    assert command("bash {0}") == ["bash", "T/script.sh"]
    assert command("sed s/alpha/omega/ {0}") == ["sed", "s/alpha/omega/", "T/script"]
    assert command("perl -e 'do \"{0}\"; {{x}}'") == ["perl", "-e", 'do "T/script"; {x}']


def test_a_shell_without_a_placeholder_is_refused(command):
    with pytest.raises(ShellError, match=r"Invalid shell option"):
        command("perl -w")


def test_a_shell_that_is_not_installed_is_named(command):
    with pytest.raises(ShellError, match=r"fish: command not found"):
        command("fish {0}")


def test_the_default_shell_is_sh_where_there_is_no_bash(command, bins):
    os.unlink(bins / "bash")
    assert command("")[0] == "sh"
    with pytest.raises(ShellError, match=r"bash: command not found"):
        command("bash")
