"""An invitation lets in one peer, once, in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.daemon.errors import NotAllowed, UsageError
from clockmesh.daemon.invitations import Invitations
from clockmesh.daemon.store import Store
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.invitation import Invitation

ME, JOINER, THIEF = (PeerId(bytes([i]) * 32) for i in range(1, 4))
MESH = MeshId(b"m" * 32)


class WritesAtOnce:
    """Stands for the loop: what is kept is durable at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, facts: dict[str, bytes | None]) -> None:
        self._store.commit((), facts)


def book(store: Store) -> Invitations:
    return Invitations(store, WritesAtOnce(store), ME, MESH)  # type: ignore[arg-type]


async def made(tmp_path: Path, ttl_s: float = 60.0) -> tuple[Store, Invitations, Invitation]:
    store = Store.open(tmp_path / "state.db", ME)
    invitations = book(store)
    line = await invitations.make(ttl_s, ("/ip4/127.0.0.1/tcp/4001",))
    return store, invitations, Invitation.from_line(line)


async def test_a_line_is_good_for_the_first_who_brings_it_and_for_no_other(tmp_path: Path) -> None:
    store, invitations, line = await made(tmp_path)
    facts = invitations.redeem(line.invitation, line.secret, JOINER)
    store.commit((), facts)
    invitations.use(line.invitation, JOINER)
    with pytest.raises(NotAllowed, match="has been used"):
        invitations.redeem(line.invitation, line.secret, THIEF)
    assert invitations.redeem(line.invitation, line.secret, JOINER)


async def test_a_used_line_stays_used_after_a_restart(tmp_path: Path) -> None:
    store, invitations, line = await made(tmp_path)
    store.commit((), invitations.redeem(line.invitation, line.secret, JOINER))
    again = book(store)
    with pytest.raises(NotAllowed, match="has been used"):
        again.redeem(line.invitation, line.secret, THIEF)
    assert again.redeem(line.invitation, line.secret, JOINER)


async def test_a_wrong_secret_and_an_unknown_line_are_refused_alike(tmp_path: Path) -> None:
    _, invitations, line = await made(tmp_path)
    with pytest.raises(NotAllowed) as wrong:
        invitations.redeem(line.invitation, b"x" * 32, JOINER)
    with pytest.raises(NotAllowed) as unknown:
        invitations.redeem(b"x" * 16, line.secret, JOINER)
    assert str(wrong.value) == str(unknown.value)


async def test_an_expired_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, invitations, line = await made(tmp_path, 60)
    monkeypatch.setattr("time.time", lambda: line.expires_ms / 1000 + 1)
    with pytest.raises(NotAllowed, match="expired"):
        invitations.redeem(line.invitation, line.secret, JOINER)


async def test_the_secret_itself_is_not_kept(tmp_path: Path) -> None:
    store, _, line = await made(tmp_path)
    assert line.secret not in b"".join(store.facts("").values())


@pytest.mark.parametrize("ttl_s", [0, -1, 31 * 24 * 3600, float("nan")])
async def test_no_invitation_lasts_for_ever(tmp_path: Path, ttl_s: float) -> None:
    with pytest.raises(UsageError):
        await made(tmp_path, ttl_s)
