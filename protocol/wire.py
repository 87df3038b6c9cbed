"""Canonical msgpack, and checks on every field that a peer sends.

Canonical means: the shortest form of each number, float64 for reals, str for text, bin for bytes, no extension types.
Decoding and encoding again then gives the same bytes, and `unpack_canonical` refuses what does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import AnyStr, cast

import msgpack

from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.limits import MAX_ARRAY, MAX_DEPTH, MAX_INTEGER, MAX_MAP

_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Controls, line separators and marks that turn the direction of text: they could forge what a terminal shows. A fixed
list, not a Unicode category, because categories differ between versions of Python and peers must agree."""


def pack(value: object) -> bytes:
    """Canonical msgpack; LocalError for what it cannot hold."""
    try:
        return cast(bytes, msgpack.packb(value, use_bin_type=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise LocalError(f"cannot be packed: {error}") from error


def _no_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}")


def unpack(data: bytes) -> object:
    """The one msgpack value in `data`; RemoteError if it is anything else. Arrays come as lists."""
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            ext_hook=_no_extension,
            timestamp=1,  # the one extension that is not given to ext_hook: as a float it fails every check
            max_array_len=MAX_ARRAY,
            max_map_len=MAX_MAP,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise RemoteError(f"not msgpack: {error}") from error


def unpack_canonical(data: bytes) -> object:
    """Like `unpack`; RemoteError also if the bytes are not the canonical ones of their value."""
    value = unpack(data)
    try:
        same = msgpack.packb(value, use_bin_type=True) == data
    except (ValueError, TypeError, OverflowError) as error:
        raise RemoteError(f"not canonical: {error}") from error
    if not same:
        raise RemoteError("not canonical: encoding it again gives other bytes")
    return value


def integer(value: object, what: str, low: int = 0, high: int = MAX_INTEGER) -> int:
    """A whole number from `low` to `high`; a boolean is none."""
    if type(value) is not int or not low <= value <= high:
        raise RemoteError(f"{what} must be a whole number from {low} to {high}")
    return value


def real(value: object, what: str) -> float:
    """A finite float64."""
    if type(value) is not float or not math.isfinite(value):
        raise RemoteError(f"{what} must be a finite float")
    return value


def flag(value: object, what: str) -> bool:
    if type(value) is not bool:
        raise RemoteError(f"{what} must be true or false")
    return value


def raw(value: object, what: str, length: int) -> bytes:
    """Exactly `length` bytes."""
    if type(value) is not bytes or len(value) != length:
        raise RemoteError(f"{what} must be {length} bytes")
    return value


def raw_or_none(value: object, what: str, length: int) -> bytes | None:
    return None if value is None else raw(value, what, length)


def raw_upto(value: object, what: str, high: int) -> bytes:
    """At most `high` bytes."""
    if type(value) is not bytes or len(value) > high:
        raise RemoteError(f"{what} must be at most {high} bytes")
    return value


def text(value: object, what: str, high: int) -> str:
    """Any text of at most `high` code points; line ends and controls are allowed."""
    if type(value) is not str or len(value) > high:
        raise RemoteError(f"{what} must be text of at most {high} characters")
    return value


def line(value: object, what: str, high: int, low: int = 0) -> str:
    """Text of `low` to `high` code points that is safe to show in one line."""
    if type(value) is not str or not low <= len(value) <= high:
        raise RemoteError(f"{what} must be text of {low} to {high} characters")
    if not (value.isascii() and value.isprintable()) and _NOT_IN_A_LINE.search(value):
        raise RemoteError(f"{what} must be one line without control characters")
    return value


def array(value: object, what: str, high: int, low: int = 0) -> list[object]:
    """A list of `low` to `high` elements, not checked themselves."""
    if type(value) is not list or not low <= len(value) <= high:
        raise RemoteError(f"{what} must be a list of {low} to {high} elements")
    return value


def fields(value: object, what: str, count: int) -> list[object]:
    """A list of exactly `count` elements."""
    if type(value) is not list or len(value) != count:
        raise RemoteError(f"{what} must be a list of {count} fields")
    return value


def ascending(values: tuple[AnyStr, ...], what: str) -> None:
    """RemoteError unless sorted without a double (text by code points)."""
    if any(first >= second for first, second in pairwise(values)):
        raise RemoteError(f"{what} must be sorted, each once")


def shallow(value: object, what: str) -> None:
    """RemoteError if lists and maps stand in one another deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RemoteError(f"{what} are nested deeper than {MAX_DEPTH}")


def _inside(value: object) -> Iterable[object]:
    if type(value) is list:
        return value
    return value.values() if type(value) is dict else ()


def clean_line(value: str, high: int) -> str:
    """`value` made fit for `line`: what may not stand in it becomes a space, what is too long ends in an ellipsis."""
    flat = _NOT_IN_A_LINE.sub(" ", value.encode("utf-8", "replace").decode("utf-8")).strip()
    return flat if len(flat) <= high else flat[: high - 1] + "…"
