"""A peer's key: made once, kept private, never guessed around."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.errors import ConfigurationError
from clockmesh.daemon.identity import _create, load, load_or_create


def test_a_new_home_gets_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    key = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path).peer == key.peer
    assert [file.name for file in tmp_path.iterdir()] == ["identity.key"]


def test_a_key_made_meanwhile_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    _create(path, b"a" * 32)
    _create(path, b"b" * 32)
    assert path.read_bytes() == b"a" * 32


def test_a_key_that_others_can_read_is_refused_with_the_command_that_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="damaged"):
        load(path)


def test_a_link_to_a_key_elsewhere_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path / "real.key")
    (tmp_path / "identity.key").symlink_to(tmp_path / "real.key")
    with pytest.raises(ConfigurationError):
        load(tmp_path / "identity.key")
