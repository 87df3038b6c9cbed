from __future__ import annotations

import dataclasses

import pytest

from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.invitation import Invitation
from tests.unit.protocol_builders import MESH, NONCE, WALL_MS, digest, key

INVITATION = Invitation(MESH, key(0).peer, ("/ip4/192.0.2.7/tcp/4001",), NONCE, digest("secret"), WALL_MS)


def test_an_invitation_is_one_word_that_reads_back():
    line = INVITATION.to_line()
    assert line.startswith("clockmesh-invite-1-")
    assert len(line.split()) == 1
    assert line.isascii()
    assert Invitation.from_line(line) == INVITATION
    assert Invitation.from_line(f"  {line}\n") == INVITATION


def test_a_line_cut_off_or_mistyped_anywhere_is_refused_with_a_remedy():
    line = INVITATION.to_line()
    damaged = [line[:-1], line + "A", line[:40], line[:60] + " " + line[60:]]
    for place in range(19, len(line)):
        damaged.append(line[:place] + ("A" if line[place] != "A" else "B") + line[place + 1 :])
    for bad in damaged:
        with pytest.raises(RemoteError, match="copy the whole line"):
            Invitation.from_line(bad)


@pytest.mark.parametrize("text", ["", "hello", *["clockmesh-invite-1-" + rest for rest in ("", "é", "A" * 99_999)]])
def test_what_is_no_invitation_is_refused_with_a_remedy(text):
    with pytest.raises(RemoteError, match="clockmesh invite"):
        Invitation.from_line(text)


def test_an_invitation_of_another_version_says_so():
    with pytest.raises(RemoteError, match="version"):
        Invitation.from_line("clockmesh-invite-2-AAAA")


def test_its_secret_does_not_show():
    assert repr(digest("secret")) not in repr(INVITATION)


@pytest.mark.parametrize(
    "changes",
    [{"addresses": ()}, {"addresses": ("127.0.0.1:4001",)}, {"secret": b""}, {"invitation": b""}, {"expires_ms": -1}],
    ids=repr,
)
def test_an_invitation_that_could_not_be_read_is_never_written(changes):
    with pytest.raises(LocalError):
        dataclasses.replace(INVITATION, **changes).to_line()
