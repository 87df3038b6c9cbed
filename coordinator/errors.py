"""Why a request to this peer cannot be. Raised by `step` before anything has changed; never for a peer's facts."""

from __future__ import annotations


class CoordinatorError(Exception):
    """A request that cannot be; its text says what happened, to what, and what to do."""


class NotFound(CoordinatorError):
    """What the request names does not exist."""


class Conflict(CoordinatorError):
    """What the request wants contradicts what is."""


class Refused(CoordinatorError):
    """What the request wants can never be."""


class WrongValue(ValueError, TypeError):
    """An argument of the wrong kind in the Python API: the ValueError that this API gives for all it refuses, and the
    TypeError that the language gives for a wrong type, so that a caller may expect either."""
