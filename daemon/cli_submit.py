"""The verb `run submit`: reads the file, sends it, sends the work tree too where the workflow checks it out."""

from __future__ import annotations

import base64
import os
import re

from clockmesh.daemon.cli_follow import follow
from clockmesh.daemon.cli_output import note, print_json, say
from clockmesh.daemon.client import Client
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import RUN_DIGITS, clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked

MAX_WORKFLOW_BYTES = 1 << 20


def submit_verb(asked: Asked) -> int:
    body = order_of(asked)
    client = Client(asked.home)
    told = _send(client, asked, body)
    run = str(told["run"])
    short = run[:RUN_DIGITS]
    say_unset(asked, told)
    if asked.json:
        print_json(told)
    elif asked.options.follow:
        say(f"run {short} submitted")
    else:
        say(f"run {short} submitted; to see it run: {asked.command(f'run logs {short} -f')}")
    return follow(client, run, asked) if asked.options.follow else Exit.OK


def say_unset(asked: Asked, told: dict[str, Any]) -> None:
    """A word, beside the output, on each secret that the workflow will look for in vain."""
    for name in told.get("unset_secrets", ()):
        again = asked.command(f"secret set {clean(name)}")
        note(f"secrets.{clean(name)} is not set for this workflow: it is '' in its runs; {again}")


def order_of(asked: Asked) -> dict[str, Any]:
    """The request's body; everything that can be wrong on this side is found before the daemon is asked."""
    options = asked.options
    _check_texts(options.file, options.remote, options.ref, *(value for pair in options.inputs for value in pair))
    order: dict[str, Any] = {
        "inputs": _inputs(options.inputs),
        "priority": options.priority,
        "guard": options.guard,
        "force": options.force,
    }
    if options.remote is None:
        if options.ref is not None:
            raise Trouble(Exit.USAGE, "usage", "--ref names a branch of --remote URL, which is missing")
        content = read_whole_workflow(options.file)
        order["workflow_b64"] = base64.b64encode(content).decode("ascii")
        order["path"] = path_in_repository(options.file)
        order["snapshot"] = _standing_of(options.file)
    else:
        if not options.remote.strip():
            raise Trouble(Exit.USAGE, "usage", "--remote: the URL is empty")
        if "@" in options.remote:
            _refuse_credentials(options.remote)
        order["path"] = _path_in_remote(options.file)
        order["remote"] = {"url": options.remote, "ref": options.ref or ""}
    return order


def _refuse_credentials(url: str) -> None:
    """Before git is asked anything; the daemon says the same."""
    from clockmesh.runner.remotes import CREDENTIALS_IN_URL, bare, holds_credentials

    if holds_credentials(url):
        raise Trouble(Exit.USAGE, "usage", CREDENTIALS_IN_URL.format(url=bare(url)))


def _check_texts(*texts: str | None) -> None:
    """What other peers read is UTF-8; of bytes that are none a command line makes surrogates."""
    for text in texts:
        if text and not text.isascii() and text != text.encode(errors="replace").decode():
            raise Trouble(Exit.USAGE, "usage", f"'{text.encode(errors='replace').decode()}' is not UTF-8")


def _inputs(pairs: list[tuple[str, str]]) -> dict[str, str]:
    inputs: dict[str, str] = {}
    for key, value in pairs:
        if key in inputs:
            raise Trouble(Exit.USAGE, "usage", f"--input {key} is given twice")
        inputs[key] = value
    return inputs


def read_workflow_file(file: str) -> bytes:
    """The file's bytes; Trouble (USAGE), beginning with the file as it was typed, where there are none to send."""
    if not file:
        raise Trouble(Exit.USAGE, "bad_file", "FILE is empty; name the workflow file")
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_WORKFLOW_BYTES + 1)
    except FileNotFoundError:
        raise _bad_file(file, "no such file") from None
    except IsADirectoryError:
        raise _bad_file(file, "a directory; name the workflow file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _bad_file(file, f"cannot be read: {reason}") from None
    if len(content) > MAX_WORKFLOW_BYTES:
        raise _bad_file(file, f"larger than {MAX_WORKFLOW_BYTES >> 20} MiB, so hardly a workflow")
    return content


def read_whole_workflow(file: str) -> bytes:
    """The file's bytes, with those of the workflows of its repository that it calls. As `read_workflow_file`, and
    RunnerError for what is wrong with how they call one another."""
    content = read_workflow_file(file)
    if not re.search(rb"""uses["']?:\s*["']?\./""", content):
        return content
    from clockmesh.runner.bundle import bundle

    path = path_in_repository(file)
    root = os.path.realpath(file).removesuffix(path)

    def load(name: str) -> bytes | None:
        called = os.path.join(root, name)
        return read_workflow_file(called) if os.path.isfile(called) else None

    return bundle(content, path, load)


def _bad_file(file: str, what: str) -> Trouble:
    return Trouble(Exit.USAGE, "bad_file", f"{file}: {what}", {"file": file})


def path_in_repository(file: str) -> str:
    """How the workflow's repository knows the file: below its git work tree, else beside `.github`, else its name."""
    whole = os.path.realpath(file)
    root = os.path.dirname(whole)
    beside_github = root
    found = False
    while not os.path.exists(os.path.join(root, ".git")):
        if os.path.basename(root) == ".github" and not found:
            beside_github, found = os.path.dirname(root), True
        if root == os.path.dirname(root):
            return os.path.relpath(whole, beside_github)
        root = os.path.dirname(root)
    return os.path.relpath(whole, root)


def _standing_of(file: str) -> dict[str, str] | None:
    """Commit, branch and origin of the work tree that holds the file, for `github.sha` and its like; no content."""
    from clockmesh.runner.worktree import head, origin_url, work_tree

    try:
        root = work_tree(os.path.dirname(os.path.realpath(file)))
    except OSError:
        return None  # git refuses this tree; if the workflow needs it, making the snapshot says why
    if root is None:
        return None
    sha, ref = head(root)
    return {"sha": sha, "ref": ref, "origin": origin_url(root)}


def _path_in_remote(path: str) -> str:
    normal = os.path.normpath(path)
    if not path:
        raise Trouble(Exit.USAGE, "bad_file", "FILE is empty; name the workflow's path in that repository")
    if os.path.isabs(normal) or normal.split("/")[0] in ("..", "."):
        raise _bad_file(path, "with --remote, FILE is the workflow's path inside that repository")
    return normal


def _send(client: Client, asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
    """Submit; where the daemon wants the work tree, make its snapshot, upload that and submit again."""
    try:
        return posted(client, "/v1/runs", asked, body)
    except Trouble as trouble:
        if trouble.code != "needs_snapshot":
            raise
    from clockmesh.daemon.cli_snapshot import upload_snapshot

    body["path"], body["snapshot"] = upload_snapshot(client, asked.options.file)
    return posted(client, "/v1/runs", asked, body)


def posted(client: Client, where: str, asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
    """The daemon's answer to this order; what is wrong with the file is told of it as it was typed."""
    try:
        return client.post(where, body)
    except Trouble as trouble:
        if asked.options.remote is None and trouble.message.startswith((f"{body['path']}:", f"{body['path']} ")):
            message = asked.options.file + trouble.message.removeprefix(body["path"])
            raise Trouble(trouble.exit, trouble.code, message, trouble.place) from None
        raise
