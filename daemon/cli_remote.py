"""What `schedule add` asks git for, in this process: a workflow out of a remote, and where a work tree came from."""

from __future__ import annotations

import os
import subprocess
import tempfile

from clockmesh.daemon.cli_submit import MAX_WORKFLOW_BYTES
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.runner.bundle import bundle
from clockmesh.runner.git import Login, advice
from clockmesh.runner.worktree import head, origin_url, work_tree

PATIENCE_S = 120
"""For one commit of a remote, as its ticks have for it."""
_PROTOCOLS = "file:git:http:https:ssh"
"""Not `ext`, which runs a command that the URL names."""


def read_remote_file(url: str, ref: str, path: str, login: Login | None = None) -> bytes:
    """The file at `ref` ('' is the default branch) of the repository, with the workflows that it calls. Trouble (USAGE)
    where it is not there, RunnerError for what is wrong with how they call one another."""
    if url.startswith("-") or "::" in url.split("/")[0] or ref.startswith("-"):
        raise _trouble(f"{url!r} with the ref {ref!r} is not a git repository")
    with tempfile.TemporaryDirectory(prefix="clockmesh-") as folder:
        _git(folder, "init", "--quiet", "--bare")
        fetched = _git(folder, "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, ref or "HEAD", login=login)
        if fetched.returncode:
            reason = _reason(fetched)
            raise _trouble(f"{url}: {reason}" + (advice(reason, url, known=login is not None)
                                                 or "; check --remote and --ref"))  # fmt: skip
        shown = _git(folder, "cat-file", "blob", f"FETCH_HEAD:{path}")
        if shown.returncode:
            raise _trouble(f"{path} is not a file of {url} at {ref or 'its default branch'}")
        if len(shown.stdout) > MAX_WORKFLOW_BYTES:
            raise _trouble(f"{path} of {url} is larger than {MAX_WORKFLOW_BYTES >> 20} MiB, so hardly a workflow")
        return bundle(shown.stdout, path, lambda name: _called(folder, name))


def _called(folder: str, path: str) -> bytes | None:
    shown = _git(folder, "cat-file", "blob", f"FETCH_HEAD:{path}")
    return None if shown.returncode or len(shown.stdout) > MAX_WORKFLOW_BYTES else shown.stdout


def origin_of(file: str) -> tuple[str, str] | None:
    """URL and branch from which others can have the work tree that holds `file`; None where it has no `origin`, or
    stands on no branch."""
    try:
        root = work_tree(os.path.dirname(os.path.realpath(file)))
    except OSError:
        return None
    url, branch = (origin_url(root), head(root)[1]) if root else ("", "")
    return (url, branch) if url and branch else None


def _git(folder: str, *words: str, login: Login | None = None) -> subprocess.CompletedProcess[bytes]:
    env = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "LC_ALL": "C.UTF-8"}
    env |= login.environment if login else {}
    try:
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, env=env, timeout=PATIENCE_S,
                              stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        raise _trouble("git is not installed here; it is needed to read the repository") from None
    except subprocess.TimeoutExpired:
        raise _trouble(f"git did not end within {PATIENCE_S} s: {' '.join(words[:1])}") from None


def _reason(ended: subprocess.CompletedProcess[bytes]) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else "git failed"


def _trouble(message: str) -> Trouble:
    return Trouble(Exit.USAGE, "bad_remote", message)
