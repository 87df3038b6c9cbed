"""What a peer starts from: its address chosen once, its name and slots from the nearest who says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.config import Listen
from clockmesh.daemon.errors import ConfigurationError, UsageError
from clockmesh.daemon.home import Home
from clockmesh.daemon.setup import Setup, prepare
from clockmesh.daemon.store import META_RETIRED
from clockmesh.protocol.events import Description

KNOWN = Description("known", 7, ("linux",), ())


def prepared(tmp_path: Path, listen: Listen | None = None, config: str = "") -> Setup:
    home = Home(tmp_path / "home")
    home.make()
    if config:
        home.config.write_text(config)
    setup = prepare(home, listen)
    setup.store.close()
    return setup


def test_a_free_port_is_chosen_once_and_kept(tmp_path: Path) -> None:
    first = prepared(tmp_path).listen
    assert first.port > 0
    assert prepared(tmp_path).listen == first
    assert prepared(tmp_path, Listen(first.host, 0)).listen == first


def test_an_address_given_at_a_start_is_kept_for_the_next(tmp_path: Path) -> None:
    prepared(tmp_path)
    chosen = prepared(tmp_path, Listen("127.0.0.1", 0)).listen
    assert chosen.host == "127.0.0.1"
    assert prepared(tmp_path).listen == chosen


def test_config_names_the_address_unless_the_start_does(tmp_path: Path) -> None:
    assert prepared(tmp_path, config="listen: 127.0.0.1:4001\n").listen == Listen("127.0.0.1", 4001)
    assert prepared(tmp_path, Listen("127.0.0.1", 4002)).listen == Listen("127.0.0.1", 4002)


def test_a_peer_is_called_what_is_asked_for_then_configured_then_known(tmp_path: Path) -> None:
    plain = prepared(tmp_path)
    assert plain.describe("asked", 0, (), KNOWN).name == "asked"
    assert plain.describe("asked", 0, (), KNOWN).slots == 0
    assert plain.describe(None, None, (), KNOWN).name == "known"
    assert plain.describe(None, None, (), KNOWN).slots == 7
    configured = prepared(tmp_path, config="name: configured\nslots: 0\nlabels: [gpu]\n")
    assert configured.describe(None, None, (), KNOWN).name == "configured"
    assert configured.describe(None, None, (), KNOWN).slots == 0
    assert "gpu" in configured.describe(None, None, ()).labels
    for name in ("two words", ""):
        with pytest.raises(UsageError):
            plain.describe(name, None, ())


def test_by_default_a_peer_has_two_slots_at_least_and_the_machines_labels(tmp_path: Path) -> None:
    description = prepared(tmp_path).describe(None, None, ())
    assert description.slots >= 2
    assert "linux" in description.labels
    assert description.labels == tuple(sorted({label.lower() for label in description.labels}))


def test_an_identity_that_may_not_append_again_never_starts(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    setup = prepare(home)
    setup.store.commit((), {META_RETIRED: b"restored from a backup"})
    setup.store.close()
    with pytest.raises(ConfigurationError, match="restored"):
        prepare(home)
