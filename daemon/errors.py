"""What the daemon refuses or cannot do, each with the word the control API sends and the status a command ends with.

Every message says what happened, to what, and what to do. Errors of the other rooms (`RunnerError`, the coordinator's,
`ProtocolError`) pass through `service` unchanged; the control API gives them their status.
"""

from __future__ import annotations

from typing import ClassVar


class DaemonError(Exception):
    """Something the daemon could not do."""

    code: ClassVar[str] = "internal"
    """One word for programs; stable."""
    exit: ClassVar[int] = 70
    """The exit status of a command that ends so (DESIGN 8)."""


class UsageError(DaemonError):
    """What was asked makes no sense as it stands."""

    code = "usage"
    exit = 2


class NeedsSnapshot(DaemonError):
    """The workflow checks out its own repository, and the submission carries none: send a snapshot and ask again."""

    code = "needs_snapshot"
    exit = 2


class NotFound(DaemonError):
    code = "not_found"
    exit = 3


class Unreachable(DaemonError):
    """Another peer, or the runner host, could not be reached."""

    code = "unreachable"
    exit = 4


class NotAllowed(DaemonError):
    code = "not_allowed"
    exit = 5


class Conflict(DaemonError):
    code = "conflict"
    exit = 6


class HomeLocked(Conflict):
    """Another daemon, or a command that changes the home, holds it."""

    code = "home_locked"


class DiskLow(DaemonError):
    """The home's disk has no room for new work: what is left is kept for votes and results."""

    code = "disk_low"
    exit = 7


class TooLarge(DaemonError):
    """More content than a limit allows."""

    code = "too_large"
    exit = 2


class ConfigurationError(DaemonError):
    """The home, its files or its configuration are not usable; a restart would not help."""

    code = "configuration"
    exit = 78


class NoMesh(ConfigurationError):
    """This daemon belongs to no mesh yet."""

    code = "no_mesh"

    def __init__(self) -> None:
        super().__init__("this peer belongs to no mesh yet: found one with `clockmesh init`, or join one with "
                         "`clockmesh join LINE` (a peer of the mesh prints the line with `clockmesh invite`)")


class HostError(DaemonError):
    """No runner host can be started: this peer cannot know what it runs, so it must not vote."""

    code = "runner_host"
    exit = 70


class StoreError(DaemonError):
    """The store failed: nothing can be promised any more, so the daemon stops."""

    code = "store"
    exit = 70
