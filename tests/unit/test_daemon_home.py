"""The home: private, and one daemon's at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.errors import ConfigurationError, HomeLocked
from clockmesh.daemon.home import Home, default_home


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    home.make()
    assert home.path.stat().st_mode & 0o777 == 0o700


def test_a_used_home_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    (home.path / "state.db").touch()
    home.path.chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        home.make()


def test_an_empty_folder_made_by_hand_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Home(tmp_path).make()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_two_daemons_never_share_a_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.locked(), pytest.raises(HomeLocked, match=r"in use by process \d+"), home.locked():
        pass
    with home.locked():
        pass


def test_the_home_is_what_the_environment_says_first() -> None:
    assert default_home({"CLOCKMESH_HOME": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a")
    assert default_home({"XDG_STATE_HOME": "/b"}) == Path("/b/clockmesh")
    assert default_home({"HOME": "/c"}) == Path("/c/.local/state/clockmesh")
