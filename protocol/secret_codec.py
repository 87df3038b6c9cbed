"""The fields of the events about secrets as msgpack values; `event_codec` gives them their codes."""

from __future__ import annotations

from clockmesh.protocol import limits
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.ids import PeerId, SecretId
from clockmesh.protocol.secrets import SECRET_NAME, KeyBox, KeysShared, Kind, Sealed, SecretRemoved, SecretSet
from clockmesh.protocol.wire import array, ascending, fields, integer, line, pack, raw, raw_upto

NONCE_BYTES = 24
TAG_BYTES = 16
BOX_BYTES = 80
"""A key of 32 bytes in a sealed box: an ephemeral public key of 32, a tag of 16."""

_KINDS = {kind.value: kind for kind in Kind}


def bound_to(kind: Kind, name: str, workflows: tuple[str, ...]) -> bytes:
    """What the encryption authenticates beside the value, so that nobody passes it off as another's."""
    return b"clockmesh/secret-value/1\0" + pack([kind.value, name, list(workflows)])


def write_secret_set(event: SecretSet) -> list[object]:
    sealed = event.sealed
    return [event.kind.value, event.name, list(event.workflows), event.count, sealed.nonce, sealed.data,
            _write_keys(sealed.keys)]  # fmt: skip


def read_secret_set(rest: list[object]) -> SecretSet:
    kind, name, workflows, count, nonce, data, keys = rest
    known = _read_kind(kind)
    allowed = tuple(
        line(each, "workflow", limits.MAX_SECRET_WORKFLOW, 1)
        for each in array(workflows, "workflows", limits.MAX_SECRET_WORKFLOWS)
    )
    ascending(allowed, "workflows")
    return SecretSet(
        kind=known,
        name=_read_name(known, name),
        workflows=allowed,
        count=integer(count, "count", 1),
        sealed=Sealed(
            nonce=raw(nonce, "nonce", NONCE_BYTES),
            data=raw_upto(data, "sealed value", limits.MAX_SECRET_BYTES + TAG_BYTES),
            keys=_read_keys(keys),
        ),
    )


def write_secret_removed(event: SecretRemoved) -> list[object]:
    return [event.kind.value, event.name, event.count]


def read_secret_removed(rest: list[object]) -> SecretRemoved:
    kind, name, count = rest
    known = _read_kind(kind)
    return SecretRemoved(known, _read_name(known, name), integer(count, "count", 1))


def write_keys_shared(event: KeysShared) -> list[object]:
    return [event.secret, _write_keys(event.keys)]


def read_keys_shared(rest: list[object]) -> KeysShared:
    secret, keys = rest
    return KeysShared(SecretId(raw(secret, "secret", 32)), _read_keys(keys))


def _read_kind(value: object) -> Kind:
    if type(value) is not str or value not in _KINDS:
        raise RemoteError("kind is not one of " + ", ".join(_KINDS))
    return _KINDS[value]


def _read_name(kind: Kind, value: object) -> str:
    name = line(value, "name", limits.MAX_URL, 1)
    if kind is Kind.SECRET and not SECRET_NAME.fullmatch(name):
        raise RemoteError("a secret's name is of A-Z, 0-9 and _, begins with no digit and not with GITHUB_")
    return name


def _write_keys(keys: tuple[KeyBox, ...]) -> list[object]:
    return [[peer, box] for peer, box in keys]


def _read_keys(value: object) -> tuple[KeyBox, ...]:
    keys = []
    for each in array(value, "keys", limits.MAX_HEARD):
        peer, box = fields(each, "key", 2)
        keys.append((PeerId(raw(peer, "peer", 32)), raw(box, "sealed key", BOX_BYTES)))
    ascending(tuple(peer for peer, _ in keys), "keys")
    return tuple(keys)
