"""What the Python API takes: each check gives the value to keep, a copy of its own, or refuses it in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clockmesh.coordinator.errors import WrongValue
from clockmesh.protocol.errors import RemoteError
from clockmesh.protocol.limits import MAX_NOTE_LABEL
from clockmesh.protocol.wire import line


def check_peer_id(value: object) -> str:
    """A peer's name: 1 to 256 characters of one line, not only spaces. WrongValue for anything else."""
    if not isinstance(value, str):
        raise WrongValue(f"a peer id must be text, not {value!r:.60}")
    try:
        line(value, "a peer id", MAX_NOTE_LABEL, 1)
        value.encode()
    except (RemoteError, UnicodeEncodeError) as error:
        raise WrongValue(f"{error}: {value!r:.60}") from None
    if not value.strip():
        raise WrongValue("a peer id must not be empty")
    return value


def json_text(value: object, what: str) -> str:
    """Canonical JSON in ASCII: keys sorted, no spaces. WrongValue for what JSON cannot hold, NaN among it."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongValue(f"{what} cannot be written as JSON: {error}") from None


def json_object(value: object, what: str) -> dict[str, Any]:
    """A copy of a JSON object that shares nothing with `value`. WrongValue for anything else."""
    if not isinstance(value, Mapping):
        raise WrongValue(f"{what} must be an object (a dict), not {value!r:.60}")
    copied = json.loads(json_text(dict(value), what))
    assert isinstance(copied, dict)
    return copied


def text_or_none(value: object, what: str) -> str | None:
    """WrongValue for what is neither text nor None."""
    if value is not None and not isinstance(value, str):
        raise WrongValue(f"{what} must be text, not {value!r:.60}")
    return value
