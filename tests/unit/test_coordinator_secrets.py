"""Which secrets stand, who can open them, and what the machine accepts."""

from __future__ import annotations

import pytest

from clockmesh.coordinator.effects import Answer
from clockmesh.coordinator.errors import NotFound, Refused
from clockmesh.coordinator.inputs import SecretRemoveWanted, SecretWanted, ShareWanted
from clockmesh.coordinator.secret_requests import lacking
from clockmesh.coordinator.secrets import SecretState
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.limits import MAX_INTEGER, MAX_SECRETS
from clockmesh.protocol.secrets import KeysShared, Kind, Sealed, SecretRemoved, SecretSet
from tests.unit.coordinator_mesh import Mesh, Peer, peer_id

SECRET = Kind.SECRET


def sealed(*names: str, text: str = "v") -> Sealed:
    return Sealed(bytes(24), text.encode(), tuple(sorted((peer_id(name), bytes(80)) for name in names)))


def put(peer: Peer, name: str = "TOKEN", *to: str, text: str = "v") -> None:
    peer.give(SecretWanted(1, SECRET, name, (), sealed(*(to or "ABC"), text=text)))


def standing(peer: Peer, name: str = "TOKEN") -> SecretState | None:
    found = peer.machine.state.secrets.table.get((SECRET, name))
    return found if found and found.told else None


def text_of(peer: Peer) -> str | None:
    found = standing(peer)
    return found.told.sealed.data.decode() if found and found.told else None


def test_a_secret_is_known_on_every_peer_and_its_last_value_stands() -> None:
    mesh = Mesh()
    put(mesh["A"], text="one")
    mesh.sync()
    put(mesh["B"], text="two")
    mesh.sync()
    assert [text_of(mesh[name]) for name in "ABC"] == ["two"] * 3
    found = standing(mesh["C"])
    assert found is not None
    assert (found.written.author, found.rank[0]) == (peer_id("B"), 2)


def test_a_removed_secret_is_gone_and_can_be_set_again() -> None:
    mesh = Mesh()
    put(mesh["A"])
    mesh.sync()
    mesh["B"].give(SecretRemoveWanted(1, SECRET, "TOKEN"))
    mesh.sync()
    assert text_of(mesh["A"]) is None
    with pytest.raises(NotFound, match="secret list"):
        mesh["A"].give(SecretRemoveWanted(1, SECRET, "TOKEN"))
    put(mesh["C"], text="again")
    mesh.sync()
    assert text_of(mesh["A"]) == "again"


def test_of_two_values_set_at_once_all_peers_take_the_same() -> None:
    mesh = Mesh()
    put(mesh["A"], text="one")
    put(mesh["B"], text="two")
    mesh.sync()
    assert len({text_of(mesh[name]) for name in "ABC"}) == 1


def test_a_removal_stands_above_a_value_set_at_once() -> None:
    mesh = Mesh()
    put(mesh["A"])
    mesh.sync()
    put(mesh["A"], text="two")
    mesh["B"].give(SecretRemoveWanted(1, SECRET, "TOKEN"))
    mesh.sync()
    assert [text_of(mesh[name]) for name in "ABC"] == [None] * 3


def test_the_answer_waits_for_the_event() -> None:
    mesh = Mesh()
    put(mesh["A"])
    assert [effect.token for effect in mesh["A"].did(Answer)] == [1]
    assert [type(event) for event in mesh["A"].said(SecretSet)] == [SecretSet]


def test_a_mesh_has_so_many_secrets_and_no_more() -> None:
    mesh = Mesh("A")
    for number in range(MAX_SECRETS):
        put(mesh["A"], f"S{number}", "A")
    with pytest.raises(Refused, match="secret remove"):
        put(mesh["A"], "ONE_MORE", "A")
    put(mesh["A"], "S5", "A", text="set anew")
    mesh["A"].give(SecretRemoveWanted(1, SECRET, "S7"))
    put(mesh["A"], "ONE_MORE", "A")


def test_members_that_cannot_open_a_secret_are_known_until_one_gives_them_the_key() -> None:
    mesh = Mesh()
    put(mesh["A"], "TOKEN", "A", "B")
    mesh.sync()
    [(known, peers)] = lacking(mesh["B"].machine)
    assert peers == [peer_id("C")]
    mesh["B"].give(ShareWanted(known.secret, ((peer_id("C"), b"k" * 80),)))
    mesh.sync()
    assert list(lacking(mesh["A"].machine)) == []
    found = standing(mesh["C"])
    assert found is not None
    assert found.boxes(peer_id("C")) == [b"k" * 80]


def test_a_key_is_given_once_to_members_only_and_for_the_value_that_stands() -> None:
    mesh = Mesh()
    put(mesh["A"], "TOKEN", "A", "B")
    mesh.sync()
    [(known, _)] = lacking(mesh["A"].machine)
    stranger = PeerId(b"s" * 32)
    keys = ((peer_id("B"), b"k" * 80), (stranger, b"k" * 80))
    mesh["A"].give(ShareWanted(known.secret, keys))
    assert mesh["A"].said(KeysShared) == []
    put(mesh["A"], text="another")
    mesh["A"].give(ShareWanted(known.secret, ((peer_id("C"), b"k" * 80),)))
    assert mesh["A"].said(KeysShared) == []


def test_removed_and_set_facts_carry_rising_counts() -> None:
    mesh = Mesh("A")
    put(mesh["A"], "TOKEN", "A")
    mesh["A"].give(SecretRemoveWanted(1, SECRET, "TOKEN"))
    put(mesh["A"], "TOKEN", "A")
    counts = [event.count for event in mesh["A"].events if isinstance(event, SecretSet | SecretRemoved)]
    assert counts == [1, 2, 3]


def test_a_name_whose_counts_a_member_has_used_up_is_refused_and_nothing_is_written() -> None:
    mesh = Mesh()
    mesh["B"].write([SecretSet(SECRET, "TOKEN", (), MAX_INTEGER, sealed("A", "B", "C"))])
    mesh.sync()
    written = len(mesh["A"].events)
    with pytest.raises(Refused, match="another name"):
        put(mesh["A"])
    with pytest.raises(Refused, match="another name"):
        mesh["A"].give(SecretRemoveWanted(1, SECRET, "TOKEN"))
    assert len(mesh["A"].events) == written
