"""Secrets come out the same in whatever order their facts came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clockmesh.coordinator.secrets import Secrets
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.naming import secret_id
from clockmesh.protocol.node import Node
from clockmesh.protocol.secrets import KeysShared, Kind, Sealed, SecretFact, SecretRemoved, SecretSet
from tests.unit.protocol_builders import digest, lone_node

PEERS = [PeerId(digest(f"peer {number}")) for number in range(4)]
SETS = st.builds(
    SecretSet,
    kind=st.sampled_from(Kind),
    name=st.sampled_from(["A", "B"]),
    workflows=st.sampled_from([(), ("Scrape",)]),
    count=st.integers(1, 3),
    sealed=st.builds(Sealed, st.just(bytes(24)), st.binary(max_size=1), st.just(((PEERS[0], bytes(80)),))),
)
REMOVALS = st.builds(SecretRemoved, st.sampled_from(Kind), st.sampled_from(["A", "B"]), st.integers(1, 3))


@st.composite
def facts(draw: st.DrawFn) -> list[tuple[PeerId, SecretFact, Node]]:
    """Settings, removals, and keys shared of the settings, each by some peer, in some node."""
    said: list[SecretFact] = draw(st.lists(SETS | REMOVALS, min_size=1, max_size=6))
    for one in [one for one in said if isinstance(one, SecretSet)]:
        for peer in draw(st.lists(st.sampled_from(PEERS[1:]), max_size=2, unique=True)):
            said.append(KeysShared(secret_id(one), ((peer, bytes([len(said)]) * 80),)))
    nodes = [lone_node(wall_ms=number) for number in range(len(said))]
    authors = [PEERS[number % len(PEERS)] for number in range(len(said))]
    return list(zip(authors, said, nodes, strict=True))


def seen(told: list[tuple[PeerId, SecretFact, Node]]) -> list[object]:
    secrets = Secrets()
    for author, fact, node in told:
        secrets.add(author, fact, node)
    return [(key, known.rank, known.told, known.written, known.shared) for key, known in sorted(secrets.table.items())]


@given(facts(), st.randoms(use_true_random=False))
def test_any_order_of_the_same_facts_gives_the_same_secrets(told, rng) -> None:
    shuffled = list(told)
    rng.shuffle(shuffled)
    assert seen(shuffled) == seen(told)
    assert seen(told + shuffled) == seen(told)
