"""config.yml: every key known, every error with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.config import Config, Listen, choose_sandbox, parse_listen, read_config
from clockmesh.daemon.errors import ConfigurationError, UsageError
from clockmesh.daemon.reserve import MIB
from clockmesh.runner.sandbox import Extra, Sandbox


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return read_config(path)


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert read_config(tmp_path / "config.yml") == Config()
    assert config(tmp_path, "# nothing yet\n") == Config()


def test_every_key_is_read(tmp_path: Path) -> None:
    text = "name: nuc\nslots: 3\nlabels: [GPU, tool:ffmpeg]\nlisten: 127.0.0.1:4001\nsandbox: none\n"
    text += "sandbox_paths: [/srv/a, /srv/b:ro]\nlimits:\n  reserve: 8MiB\n"
    text += "  job_tmp: 64MiB\n  job_processes: 99\n  job_memory: 2GiB\n"
    extras = (Extra("/srv/a"), Extra("/srv/b", writable=False))
    assert config(tmp_path, text) == Config(
        "nuc", 3, ("gpu", "tool:ffmpeg"), Listen("127.0.0.1", 4001), reserve=8 * MIB, sandbox="none",
        sandbox_paths=extras, job_tmp=64 * MIB, job_processes=99, job_memory=2048 * MIB,
    )  # fmt: skip
    assert config(tmp_path, text).jobs_sandbox == Sandbox(False, extras, 64 * MIB, 99, 2048 * MIB)


def test_jobs_are_in_a_sandbox_unless_the_owner_says_otherwise(tmp_path: Path) -> None:
    assert config(tmp_path, "slots: 1\n").jobs_sandbox == Sandbox()
    assert config(tmp_path, "sandbox: bubblewrap\n").jobs_sandbox.on
    assert not config(tmp_path, "sandbox: none\n").jobs_sandbox.on


def test_a_choice_of_sandbox_is_written_once_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    choose_sandbox(path, "none")
    assert path.read_text() == "sandbox: none\n"
    choose_sandbox(path, "none")
    path.write_text("slots: 1")
    choose_sandbox(path, "bubblewrap")
    assert path.read_text() == "slots: 1\nsandbox: bubblewrap\n"
    with pytest.raises(ConfigurationError, match="says `sandbox: bubblewrap` already"):
        choose_sandbox(path, "none")


@pytest.mark.parametrize(("text", "line", "words"), [
    ("name: a\nslot: 3\n", 2, "did you mean 'slots'"),
    ("name: a\nname: b\n", 2, "twice"),
    ("\nslots: many\n", 2, "whole number"),
    ("slots: 9999\n", 1, "give 0"),
    ("labels: gpu\n", 1, "list"),
    ("labels: ['a b']\n", 1, "no label"),
    ("listen: nowhere\n", 1, "cannot listen"),
    ("name: [a]\n", 1, "single value"),
    ("name: -x\n", 1, "cannot be called"),
    ("limits:\n  reserve: much\n", 2, "such as 32MiB"),
    ("limits:\n  reserve: 0MiB\n", 2, "from 1MiB on"),
    ("limits:\n  reserv: 1GiB\n", 2, "did you mean 'reserve'"),
    ("limits: 8MiB\n", 1, "key: value"),
    ("limits:\n  job_processes: 2\n", 2, "from 16 on"),
    ("limits:\n  job_tmp: all\n", 2, "expected a size"),
    ("- a\n", 1, "key: value"),
    ("name: [\n", 2, "not YAML"),
    ("sandbox: docker\n", 1, "expected bubblewrap or none"),
    ("slots: 1\nsandbox_paths: /srv\n", 2, "list of folders"),
    ("sandbox_paths: [srv]\n", 1, "full path"),
    ("sandbox_paths: [/srv/../etc]\n", 1, "full path"),
    ("sandbox_paths: [/]\n", 1, "full path"),
    ("sandbox_paths: [/proc/1]\n", 1, "has its own"),
    ("sandbox_paths: ['/home:ro']\n", 1, "has its own"),
    ("sandbox_paths: [/tmp]\n", 1, "own home"),
])
def test_what_it_cannot_use_is_refused_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        config(tmp_path, text)
    assert f"config.yml:{line}: " in str(caught.value)
    assert caught.value.exit == 78


@pytest.mark.parametrize(("text", "listen"), [
    ("127.0.0.1:80", Listen("127.0.0.1", 80)), (":7", Listen("0.0.0.0", 7)), ("10.0.0.1", Listen("10.0.0.1", 0)),
    ("[::1]:9", Listen("::1", 9)),
])
def test_a_listen_address_reads_back_as_it_is_written(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert parse_listen(str(listen)) == listen


@pytest.mark.parametrize("text", ["", "host:80", "1.2.3.4:99999", "::1:80"])
def test_no_listen_address_is_guessed(text: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(text)
