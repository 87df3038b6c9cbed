"""Secrets sealed to members, opened by them, and given to those that came later."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from clockmesh.coordinator.effects import Append
from clockmesh.coordinator.inputs import BeaconHeard, Input, NodeAdded, SecretWanted, Started
from clockmesh.coordinator.machine import Machine, step
from clockmesh.daemon.sealing import boxes, key_in, seal, value_in
from clockmesh.daemon.vault import Sealed as CannotOpen
from clockmesh.daemon.vault import Vault
from clockmesh.protocol.beacon import Beacon
from clockmesh.protocol.clock import append
from clockmesh.protocol.codec import encode_event
from clockmesh.protocol.events import Event, PeerAdmitted
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.node import Node
from clockmesh.protocol.plan import Remote, Snapshot
from clockmesh.protocol.secrets import KeysShared, Kind, SecretSet
from clockmesh.runner.named_secrets import NO_SECRETS, NamedSecrets
from tests.unit.protocol_builders import MESH, WALL_MS, description, founded_clock, key, plan

VALUE = b"hunter2 and more"
NAMED = NamedSecrets(frozenset({"TOKEN"}))


def secret_set(*peers: PeerId, name: str = "TOKEN", workflows: tuple[str, ...] = ()) -> SecretSet:
    return SecretSet(Kind.SECRET, name, workflows, 1, seal(VALUE, Kind.SECRET, name, workflows, peers))


def opened(number: int, told: SecretSet) -> bytes | None:
    mine = [box for peer, box in told.sealed.keys if peer == key(number).peer]
    return value_in(key(number), told, mine)


def test_each_member_opens_what_was_sealed_to_it_and_nobody_else() -> None:
    told = secret_set(key(1).peer, key(2).peer)
    assert (opened(1, told), opened(2, told), opened(3, told)) == (VALUE, VALUE, None)
    others = [box for _, box in told.sealed.keys]
    assert value_in(key(3), told, others) is None


def test_neither_value_nor_key_stands_in_the_event() -> None:
    told = secret_set(key(1).peer)
    data = encode_event(told)
    found = key_in(key(1), told, [told.sealed.keys[0][1]])
    assert found is not None
    assert VALUE not in data
    assert found not in data


def test_a_value_cannot_be_passed_off_under_another_name_or_for_other_workflows() -> None:
    told = secret_set(key(1).peer, workflows=("Scrape",))
    box = [told.sealed.keys[0][1]]
    renamed = SecretSet(Kind.SECRET, "OTHER", ("Scrape",), 1, told.sealed)
    widened = SecretSet(Kind.SECRET, "TOKEN", (), 1, told.sealed)
    assert value_in(key(1), told, box) == VALUE
    assert (value_in(key(1), renamed, box), value_in(key(1), widened, box)) == (None, None)


def test_boxes_that_hold_nothing_are_passed_over_and_keys_that_are_none_left_out() -> None:
    told = secret_set(key(1).peer)
    good = told.sealed.keys[0][1]
    wrong = boxes(bytes(32), [key(1).peer])[0][1]
    assert value_in(key(1), told, [bytes(80), wrong, good]) == VALUE
    assert boxes(bytes(32), [PeerId(bytes(32))]) == ()


@dataclass
class Bench:
    """Some peers' machines and vaults on one clock, that of the test; a node reaches all at once."""

    numbers: tuple[int, ...] = (0, 1, 2)
    said: list[tuple[int, Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = founded_clock(*self.numbers[1:])
        self.machines = {number: Machine(key(number).peer, MESH) for number in self.numbers}
        self.vaults = {number: Vault(key(number), machine, lambda wanted, by=number: self.take(by, wanted), self.now)
                       for number, machine in self.machines.items()}  # fmt: skip
        for number, machine in self.machines.items():
            for node in self.nodes.missing_for({}):
                step(machine, NodeAdded(node), self.now())
            step(machine, Started(1), self.now())
            self.machines[number] = machine

    def now(self) -> float:
        return trio.current_time()

    def take(self, number: int, wanted: Input) -> None:
        for effect in step(self.machines[number], wanted, self.now()):
            if isinstance(effect, Append):
                self.said.append((number, effect.event))
                self.spread(append(self.nodes, key(number), wall_ms=WALL_MS, events=[effect.event]))

    def spread(self, node: Node) -> None:
        for number, machine in self.machines.items():
            step(machine, NodeAdded(node), self.now())
            self.vaults[number].look()

    def admit(self, number: int) -> None:
        self.spread(append(self.nodes, key(0), wall_ms=WALL_MS,
                           events=[PeerAdmitted(key(number).peer, description(f"peer{number}"))]))  # fmt: skip

    def put(self, number: int, *sealed_to: int, kind: Kind = Kind.SECRET, name: str = "TOKEN", value: bytes = VALUE,
            workflows: tuple[str, ...] = ()) -> None:
        to = [key(other).peer for other in sealed_to]
        self.take(number, SecretWanted(1, kind, name, workflows, seal(value, kind, name, workflows, to)))

    def beat(self, *numbers: int) -> None:
        """These are heard by all."""
        for number in numbers:
            beacon = Beacon(key(number).peer, 1, int(self.now() * 1000) + 1, bytes(32), 1, 0.0, (), ())
            for machine in self.machines.values():
                if machine.me != key(number).peer:
                    step(machine, BeaconHeard(beacon), self.now())

    def shares(self) -> list[int]:
        """Who gave keys."""
        return [number for number, event in self.said if isinstance(event, KeysShared)]

    async def given(self, number: int, named: NamedSecrets = NAMED, **source: object) -> dict[str, str]:
        given = await self.vaults[number].given(plan(**source), named, lambda: False)
        return dict(given.secrets)


async def test_a_job_gets_the_secrets_of_all_workflows_and_of_its_own(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1, 2)
    only = {"BY_NAME": "scrape", "BY_FILE": "scrape.yml", "BY_PATH": ".github/workflows/scrape.yml", "FOREIGN": "Other"}
    for name, workflow in only.items():
        bench.put(1, 0, 1, 2, name=name, workflows=(workflow,))
    assert sorted(await bench.given(2)) == ["BY_FILE", "BY_NAME", "BY_PATH", "TOKEN"]
    assert bench.vaults[0].missing(plan(), NamedSecrets(frozenset({"TOKEN", "FOREIGN", "NONE", "GITHUB_TOKEN"}))) == [
        "FOREIGN", "NONE"]  # fmt: skip


async def test_the_credentials_nearest_to_the_repository_are_its_token(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1, 2, kind=Kind.REMOTE, name="https://example.org", value=b"far")
    bench.put(0, 0, 1, 2, kind=Kind.REMOTE, name="https://example.org/me/prices", value=b"ann:near")
    source = Remote("https://example.org/me/prices.git", "main")
    given = await bench.vaults[1].given(plan(source=source), NO_SECRETS, lambda: False)
    assert given.secrets == {"GITHUB_TOKEN": "near"}
    assert given.credential is not None
    assert (given.credential.user, given.credential.password) == ("ann", "near")
    assert "near" not in repr(given.credential)
    origin = Snapshot(origin="https://example.org/me/other")
    assert await bench.given(1, NO_SECRETS, source=origin) == {"GITHUB_TOKEN": "far"}
    assert bench.vaults[1].credential("https://example.com/me/prices") == ""


async def test_the_step_that_finds_a_workflow_gets_the_credentials_alone(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1, 2)
    bench.put(0, 0, 1, 2, kind=Kind.REMOTE, name="https://example.org", value=b"t")
    source = Remote("https://example.org/x.git")
    assert await bench.given(1, NO_SECRETS, source=source, workflow=None) == {"GITHUB_TOKEN": "t"}
    assert sorted(await bench.given(1, source=source)) == ["GITHUB_TOKEN", "TOKEN"]


async def test_one_member_gives_a_newcomer_the_key(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1)
    bench.beat(0, 1, 2)
    async with trio.open_nursery() as nursery:
        for vault in bench.vaults.values():
            nursery.start_soon(vault.run)
        assert await bench.given(2) == {"TOKEN": VALUE.decode()}
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert len(bench.shares()) == 1
    assert bench.vaults[0].views(Kind.SECRET)[0].openers == tuple(sorted(key(number).peer for number in (0, 1, 2)))


async def test_who_is_admitted_later_gets_the_keys_of_what_stands(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.vaults[0].run)
        await trio.sleep(1)
        assert bench.shares() == []
        bench.admit(3)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    [(known, told)] = bench.machines[1].state.secrets.standing(Kind.SECRET)
    assert value_in(key(3), told, known.boxes(key(3).peer)) == VALUE


async def test_the_next_member_gives_the_key_where_the_first_does_not(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1)
    bench.beat(0, 1, 2)
    for silent in (0, 1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.vaults[silent].run)
            with trio.move_on_after(10):
                await bench.given(2)
            nursery.cancel_scope.cancel()
        if bench.shares():
            break
    assert bench.shares()


async def test_a_job_that_needs_a_closed_secret_waits_and_then_fails_by_its_name(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.put(0, 0, 1)
    began = bench.now()
    with pytest.raises(CannotOpen, match="the secret TOKEN cannot be opened on this peer"):
        await bench.given(2)
    assert bench.now() - began == pytest.approx(30, abs=1)
    assert await bench.given(2, NO_SECRETS) == {}
    bench.put(0, 0, kind=Kind.REMOTE, name="https://example.org", value=b"t")
    with pytest.raises(CannotOpen, match=r"credentials of https://example\.org"):
        await bench.given(2, NO_SECRETS, source=Remote("https://example.org/x"))


@pytest.mark.parametrize("step_s", [0.3, 0.7, 1.1])
async def test_time_that_passes_between_two_looks_at_the_clock_is_no_trouble(
    autojump_clock: MockClock, step_s: float
) -> None:
    bench = Bench()
    bench.put(0, 0, 1)
    bench.beat(0, 1, 2)
    seen = itertools.count()
    vault = Vault(key(1), bench.machines[1], lambda wanted: bench.take(1, wanted), lambda: next(seen) * step_s)
    bench.vaults[1] = vault
    slow = Vault(key(2), bench.machines[2], lambda _: None, lambda: next(seen) * step_s)
    with pytest.raises(CannotOpen):
        await slow.given(plan(), NAMED, lambda: False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.run)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert bench.shares() == [1]
