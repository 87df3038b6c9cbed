"""Who belongs to the mesh, under which name, and how strangers come in."""

from __future__ import annotations

from itertools import permutations

import pytest

from clockmesh.coordinator.effects import Answer, Append
from clockmesh.coordinator.errors import Conflict
from clockmesh.coordinator.inputs import AdmitWanted, DescribeWanted
from clockmesh.coordinator.machine import step
from clockmesh.coordinator.members import Members, unique_names
from clockmesh.protocol.events import Description, InvitationRedeemed, PeerAdmitted, PeerDescribed
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.limits import MAX_PEERS
from tests.unit.coordinator_mesh import Mesh, peer_id

ONE, TWO, THREE = (PeerId(bytes([number]) * 32) for number in (1, 2, 3))


def wanted(name: str, *, token: int = 7, invitation: bytes = bytes(16), peer: PeerId | None = None) -> AdmitWanted:
    return AdmitWanted(token, invitation, peer or peer_id(name), Description(name, 1))


def test_an_admission_redeems_its_invitation_in_the_same_step() -> None:
    mesh = Mesh("A")
    effects = mesh["A"].give(wanted("new"))
    appended = [effect.event for effect in effects if isinstance(effect, Append)]
    assert [type(event) for event in appended] == [InvitationRedeemed, PeerAdmitted]
    assert Answer(7) in effects
    assert mesh["A"].machine.name_of(peer_id("new")) == "new"


@pytest.mark.parametrize("name", ["B", "b"])
def test_a_name_belongs_to_one_peer_whatever_its_case(name: str) -> None:
    mesh = Mesh("AB")
    with pytest.raises(Conflict, match="another --name"):
        mesh["A"].give(wanted(name, peer=peer_id("someone else")))


def test_an_invitation_admits_one_peer_only() -> None:
    mesh = Mesh("A")
    mesh["A"].give(wanted("new"))
    with pytest.raises(Conflict, match="used already"):
        mesh["A"].give(wanted("newer"))


def test_admitting_a_member_again_is_answered_and_changes_nothing() -> None:
    mesh = Mesh("A")
    mesh["A"].give(wanted("new"))
    effects = mesh["A"].give(wanted("new", token=8))
    assert Answer(8) in effects
    assert not [effect for effect in effects if isinstance(effect, Append)]


def test_a_mesh_has_a_limit() -> None:
    mesh = Mesh("A")
    for number in range(MAX_PEERS - 1):
        mesh["A"].give(wanted(f"p{number}", invitation=number.to_bytes(16, "big")))
    with pytest.raises(Conflict, match="full"):
        mesh["A"].give(wanted("one more", invitation=b"x" * 16))


def test_two_peers_admitted_under_one_name_at_once_are_told_apart_everywhere() -> None:
    mesh = Mesh("AB")
    mesh.part("A", "B")
    mesh["A"].give(wanted("new", peer=ONE))
    mesh["B"].give(wanted("New", peer=TWO))
    mesh.heal()
    mesh.sync()
    for name in "AB":
        machine = mesh[name].machine
        assert [machine.name_of(peer) for peer in (ONE, TWO)] == ["new", "New-2"]


def test_a_made_up_name_never_takes_a_real_one() -> None:
    names = unique_names({ONE: "a", TWO: "a", THREE: "a-2"})
    assert names == {ONE: "a", TWO: "a-3", THREE: "a-2"}


def test_members_come_out_the_same_in_any_order() -> None:
    facts = [
        lambda members: members.admit(ONE, TWO, Description("x", 1)),
        lambda members: members.admit(THREE, TWO, Description("y", 2)),
        lambda members: members.admit(ONE, THREE, Description("x", 1)),
        lambda members: members.describe(THREE, Description("x", 4)),
        lambda members: members.admit(ONE, ONE, Description("z", 1)),
    ]
    seen = []
    for order in permutations(facts):
        members = Members()
        for fact in order:
            fact(members)
        seen.append(members.table)
    assert all(table == seen[0] for table in seen)
    assert {member.name for member in seen[0].values()} == {"x", "x-2", "z"}


def test_a_description_is_written_only_where_it_differs() -> None:
    mesh = Mesh("A")
    same = Description("A", 2)
    assert not [effect for effect in mesh["A"].give(DescribeWanted(same)) if isinstance(effect, Append)]
    mesh["A"].give(DescribeWanted(Description("A", 3, ("gpu",))))
    assert mesh["A"].said(PeerDescribed)
    assert mesh["A"].machine.slots == 3


def test_a_later_own_description_is_not_undone_by_the_node_of_an_earlier_one() -> None:
    mesh = Mesh("A")
    peer = mesh["A"]
    events = []
    for slots in (5, 6):
        effects = step(peer.machine, DescribeWanted(Description("A", slots)), mesh.now)
        events += [effect.event for effect in effects if isinstance(effect, Append)]
    peer.write(events[:1])
    assert peer.machine.slots == 6
    peer.write(events[1:])
    assert peer.machine.slots == 6
