"""What people ask of secrets, and what members do for those that came later. Refusals come before anything changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clockmesh.coordinator import requests
from clockmesh.coordinator.effects import Answer
from clockmesh.coordinator.errors import NotFound, Refused
from clockmesh.coordinator.inputs import SecretRemoveWanted, SecretWanted, ShareWanted
from clockmesh.coordinator.secrets import SecretState
from clockmesh.protocol.ids import PeerId
from clockmesh.protocol.limits import MAX_INTEGER, MAX_SECRETS
from clockmesh.protocol.secrets import KeysShared, Kind, SecretRemoved, SecretSet

if TYPE_CHECKING:
    from clockmesh.coordinator.machine import Machine

_WORDS = {Kind.SECRET: ("secret", "secret"), Kind.REMOTE: ("remote", "remote with credentials")}


def set_secret(machine: Machine, wanted: SecretWanted) -> None:
    """Set it, or set it anew. Refused when there are too many."""
    requests.check_member(machine)
    known = machine.state.secrets.table.get((wanted.kind, wanted.name))
    standing = sum(1 for _ in machine.state.secrets.standing(wanted.kind))
    if standing >= MAX_SECRETS and (known is None or known.told is None):
        verb, words = _WORDS[wanted.kind]
        raise Refused(f"the mesh has {standing} of {MAX_SECRETS} {words}s already; clockmesh {verb} remove makes room")
    count = _next_count(known)
    event = SecretSet(wanted.kind, wanted.name, wanted.workflows, count, wanted.sealed)
    machine.decide(event, Answer(wanted.token))


def remove(machine: Machine, wanted: SecretRemoveWanted) -> None:
    """NotFound where none stands. Its sealed value stays in the clock: what it opens must be changed there."""
    known = machine.state.secrets.table.get((wanted.kind, wanted.name))
    if known is None or known.told is None:
        verb, words = _WORDS[wanted.kind]
        raise NotFound(f"there is no {words} {wanted.name}; clockmesh {verb} list shows those there are")
    machine.decide(SecretRemoved(wanted.kind, wanted.name, _next_count(known)), Answer(wanted.token))


def _next_count(known: SecretState | None) -> int:
    """Refused where a member has used the counts up: an event beyond them fits no node."""
    count = known.rank[0] + 1 if known else 1
    if count > MAX_INTEGER:
        raise Refused("a member has used up the counts of this name, so what stands is for ever; take another name")
    return count


def share(machine: Machine, wanted: ShareWanted) -> None:
    """Give keys to members that lack them; nothing where another value stands by now."""
    known = machine.state.secrets.find(wanted.secret)
    if known is None:
        return
    keys = tuple(box for box in wanted.keys if box[0] in machine.members and not known.can_open(box[0]))
    if keys:
        machine.decide(KeysShared(wanted.secret, keys))


def lacking(machine: Machine) -> Iterator[tuple[SecretState, list[PeerId]]]:
    """Secrets that some members cannot open, and these members, sorted."""
    for kind in Kind:
        for known, _ in machine.state.secrets.standing(kind):
            peers = [peer for peer in machine.members if not known.can_open(peer)]
            if peers:
                yield known, peers
