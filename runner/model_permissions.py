"""`permissions`: checked, and then without effect, for there is no token here whose power it could limit."""

from __future__ import annotations

from clockmesh.runner.errors import quoted
from clockmesh.runner.model_sheet import Sheet, meant
from clockmesh.runner.reader import Mapping, Node

_ANY = ("read", "write", "none")
_LEVELS: dict[str, tuple[str, ...]] = {
    "actions": _ANY,
    "artifact-metadata": _ANY,
    "attestations": _ANY,
    "checks": _ANY,
    "contents": _ANY,
    "copilot-requests": ("write", "none"),
    "deployments": _ANY,
    "discussions": _ANY,
    "id-token": ("write", "none"),
    "issues": _ANY,
    "models": ("read", "none"),
    "packages": _ANY,
    "pages": _ANY,
    "pull-requests": _ANY,
    "repository-projects": _ANY,
    "security-events": _ANY,
    "statuses": _ANY,
    "vulnerability-alerts": ("read", "none"),
}
_ALL = ("read-all", "write-all")


def check_permissions(sheet: Sheet, node: Node) -> None:
    """Notes what is wrong with `permissions`, of the workflow or of a job."""
    if not isinstance(node, Mapping):
        text = sheet.plain(node, "`permissions`")
        if text is not None and text not in _ALL:
            sheet.note(node, f"`permissions` cannot be `{quoted(text)}`; {meant(text, _ALL)}")
        return
    for scope, value in sheet.keys(node, "`permissions`", _LEVELS).items():
        level = sheet.plain(value, f"the permission `{scope}`")
        if level is not None and level not in _LEVELS[scope]:
            sheet.note(value, f"the permission `{scope}` cannot be `{quoted(level)}`; {meant(level, _LEVELS[scope])}")
