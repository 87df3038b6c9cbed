"""`uses` of a step: a local action, or one that is built in. All others are refused by name."""

from __future__ import annotations

import re

from clockmesh.runner.built_in import BUILT_IN, CHECKOUT, DOWNLOAD, UPLOAD
from clockmesh.runner.errors import quoted
from clockmesh.runner.model import Step, Text
from clockmesh.runner.model_sheet import Sheet, meant
from clockmesh.runner.reader import Mapping, Node

_REMOTE = re.compile(r"[^/@]+/[^@]+@\S+")


def is_local(uses: str) -> bool:
    """Whether it names a folder of the workspace."""
    return uses.startswith(("./", ".\\", "../")) or uses in (".", "..")


def built_in(uses: str) -> str:
    """The name of the built-in action that it names, lower case; '' for all others."""
    name = uses.partition("@")[0].lower().rstrip("/")
    return name if name in BUILT_IN else ""


def is_checkout(step: Step) -> bool:
    return step.uses is not None and built_in(step.uses.text) == CHECKOUT


def uses_artifacts(step: Step) -> bool:
    return step.uses is not None and built_in(step.uses.text) in (UPLOAD, DOWNLOAD)


def check_uses(sheet: Sheet, uses: Text, arguments: Node | None) -> None:
    """Notes what is wrong with the `uses` of a step, and with the inputs it gives to a built-in action."""
    text = uses.text
    if is_local(text):
        return
    name = built_in(text)
    if name and "@" not in text:
        sheet.note(uses.node, f"`uses: {quoted(text)}` names no version; write `{name}@v4`")
    elif name:
        _check_arguments(sheet, name, arguments)
    elif text.startswith("docker://") or _REMOTE.fullmatch(text):
        hint = "keep a copy of it in the repository and use `./folder`"
        if (close := meant(text.partition("@")[0], BUILT_IN)).startswith("did"):
            hint = close
        sheet.note(uses.node, f"`uses: {quoted(text)}` is not supported yet; {hint}")
    else:
        wanted = "write `owner/repository@version`, or `./folder` for an action of the repository"
        sheet.note(uses.node, f"`uses: {quoted(text)}` names no action; {wanted}")


def _check_arguments(sheet: Sheet, name: str, arguments: Node | None) -> None:
    known = BUILT_IN[name]
    for key, _ in arguments.pairs if isinstance(arguments, Mapping) else ():
        if key.text.lower() not in known:
            sheet.note(key, f"`{quoted(key.text)}` of {name} is not supported yet; {meant(key.text, known)}")
