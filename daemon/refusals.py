"""Every room's errors in the one form that a user meets: a code for programs, an exit status, one line.

What is not in this table is a defect, and none of the user's doing.
"""

from __future__ import annotations

from clockmesh.coordinator import errors as coordinator
from clockmesh.daemon.errors import DaemonError
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.network_types import JoinDenied
from clockmesh.protocol.errors import RemoteError
from clockmesh.runner.errors import RunnerError, WorkflowError

HTTP_STATUS = {
    Exit.USAGE: 400,
    Exit.NOT_FOUND: 404,
    Exit.UNREACHABLE: 502,
    Exit.NOT_ALLOWED: 403,
    Exit.CONFLICT: 409,
    Exit.BUSY: 503,
    Exit.INTERNAL: 500,
    Exit.CONFIGURATION: 409,
    Exit.TIMED_OUT: 504,
}
"""What an HTTP client sees of each exit status."""

_COORDINATOR: tuple[tuple[type[Exception], Exit, str], ...] = (
    (coordinator.NotFound, Exit.NOT_FOUND, "not_found"),
    (coordinator.Conflict, Exit.CONFLICT, "conflict"),
    (coordinator.Refused, Exit.NOT_ALLOWED, "refused"),
)


def trouble_of(error: BaseException) -> Trouble | None:
    """The error as its user meets it; None when it is a defect."""
    match error:
        case Trouble():
            return error
        case WorkflowError():
            place: dict[str, str | int] = {"file": error.file, "line": error.line, "column": error.column}
            return Trouble(Exit.USAGE, "bad_workflow", str(error), place)
        case RunnerError():
            return Trouble(Exit.USAGE, "bad_input", str(error))
        case RemoteError():
            return Trouble(Exit.USAGE, "bad_bytes", str(error))
        case JoinDenied() if "another --name" in error.reason:  # All that an inviter says is its reason, in words.
            return Trouble(Exit.CONFLICT, "conflict", str(error))
        case DaemonError():
            return Trouble(Exit(error.exit), error.code, str(error))
    for kind, exit_, code in _COORDINATOR:
        if isinstance(error, kind):
            return Trouble(exit_, code, str(error))
    return None


def error_json(trouble: Trouble) -> dict[str, object]:
    said = {"code": trouble.code, "message": trouble.message, "exit": int(trouble.exit), **trouble.place}
    return {"v": 1, "error": said}


def http_status(trouble: Trouble) -> int:
    return 409 if trouble.code == "needs_snapshot" else HTTP_STATUS.get(trouble.exit, 500)
