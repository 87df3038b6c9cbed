"""What the body of a request says: each field read with its type; what is malformed is told to whoever sent it."""

from __future__ import annotations

import base64
import binascii
import math
from enum import StrEnum
from typing import Any, TypeVar

from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.protocol.ids import BlobHash
from clockmesh.protocol.plan import Guard, Remote, Snapshot

LONGEST_WAIT_S = 366 * 86_400.0
_T = TypeVar("_T")
_Word = TypeVar("_Word", bound=StrEnum)


def bad(message: str) -> Trouble:
    return Trouble(Exit.USAGE, "bad_request", f"the request is malformed: {message}")


def optional(body: dict[str, Any], key: str, kind: type[_T]) -> _T | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise bad(f"{key} is not {'a text' if kind is str else 'a whole number'}")
    return value


def required(body: dict[str, Any], key: str, kind: type[_T]) -> _T:
    value = optional(body, key, kind)
    if value is None:
        raise bad(f"{key} is missing")
    return value


def number(body: dict[str, Any], key: str, default: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad(f"{key} is not a finite number")
    return float(value)


def seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= LONGEST_WAIT_S:
        raise bad("timeout is not a number of seconds up to a year")
    return found


def inputs(body: dict[str, Any]) -> dict[str, str]:
    given = body.get("inputs") or {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise bad("inputs is not an object of texts")
    return given


def texts(body: dict[str, Any], key: str) -> list[str]:
    told = body.get(key) or []
    if not isinstance(told, list) or not all(isinstance(text, str) for text in told):
        raise bad(f"{key} is not a list of texts")
    return told


def guard(body: dict[str, Any]) -> Guard | None:
    text = optional(body, "guard", str)
    try:
        return Guard(text) if text else None
    except ValueError:
        raise bad("guard is neither quorum nor lease") from None


def workflow(body: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(required(body, "workflow_b64", str), validate=True)
    except (binascii.Error, ValueError):
        raise bad("workflow_b64 is not base64") from None


def remote(body: dict[str, Any]) -> Remote | None:
    told = optional(body, "remote", dict)
    if told is None:
        return None
    return Remote(required(told, "url", str), optional(told, "ref", str) or "")


def snapshot(body: dict[str, Any]) -> Snapshot | None:
    told = optional(body, "snapshot", dict)
    if told is None:
        return None
    sha, ref, origin = (optional(told, key, str) or "" for key in ("sha", "ref", "origin"))
    name = optional(told, "blob", str)
    if name is None:  # where the work tree stands, without its content
        return Snapshot(sha=sha, ref=ref, origin=origin)
    try:
        blob = bytes.fromhex(name)
    except ValueError:
        blob = b""
    if len(blob) != 32:
        raise bad("snapshot.blob is not 64 hexadecimal digits")
    return Snapshot(BlobHash(blob), required(told, "size", int), sha, ref, origin)


def word(body: dict[str, Any], key: str, default: _Word) -> _Word:
    """One of the words of an enumeration."""
    text = optional(body, key, str)
    try:
        return type(default)(text) if text else default
    except ValueError:
        raise bad(f"{key} is none of {', '.join(type(default))}") from None
