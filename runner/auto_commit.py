"""The built-in stefanzweifel/git-auto-commit-action: what the job changed, as one commit, pushed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.runner.errors import RunnerError
from clockmesh.runner.expressions import to_text
from clockmesh.runner.git import Git
from clockmesh.runner.process import Ended, How

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

class CommitError(RunnerError):
    """The changes cannot be committed as asked; one line."""


def commit(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    folder = _folder(run, given.get("repository", "").strip() or ".")
    git = Git(run.around.processes, run.say, run.environment(env), timeout=run.timeout(),
              survives_cancel=run.survives_cancel)  # fmt: skip
    patterns = shlex.split(given.get("file_pattern", "")) or ["."]
    status = ["status", "-s", *shlex.split(given.get("status_options", "")), "--", *patterns]
    if not git.lines(folder, *status) and not _flag(given, "skip_dirty_check"):
        run.say("Working tree clean. Nothing to commit.")
        run.outputs = {"changes_detected": "false"}
        return Ended(0, How.ITSELF)
    branch = given.get("branch", "").strip() or _branch(run)
    if not _flag(given, "skip_checkout"):
        if _flag(given, "create_branch"):
            git.run(folder, "checkout", "--quiet", "-B", branch)
        elif git.lines(folder, "branch", "--show-current") != [branch]:
            git.run(folder, "checkout", "--quiet", branch)
    git.run(folder, "add", *shlex.split(given.get("add_options", "")), "--", *patterns)
    if not git.lines(folder, "diff", "--staged", "--name-only"):
        run.say("Nothing to commit: all that has changed is ignored.")
        run.outputs = {"changes_detected": "false"}
        return Ended(0, How.ITSELF)
    _commit(run, git, folder, given)
    (commit_hash,) = git.lines(folder, "rev-parse", "HEAD")
    _push(git, folder, given, branch)
    run.outputs = {"changes_detected": "true", "commit_hash": commit_hash}
    return Ended(0, How.ITSELF)


def _commit(run: StepRun, git: Git, folder: Path, given: Mapping[str, str]) -> None:
    name = given.get("commit_user_name", "").strip() or "github-actions[bot]"
    email = given.get("commit_user_email", "").strip() or "41898282+github-actions[bot]@users.noreply.github.com"
    author = given.get("commit_author", "").strip() or f"{_actor(run)} <{_actor(run)}@users.noreply.github.com>"
    message = given.get("commit_message", "").strip() or "Apply automatic changes"
    git.run(folder, "-c", f"user.name={name}", "-c", f"user.email={email}", "commit", "--quiet", "-m", message,
            f"--author={author}", *shlex.split(given.get("commit_options", "")))  # fmt: skip
    if tag := given.get("tagging_message", "").strip():
        git.run(folder, "-c", f"user.name={name}", "-c", f"user.email={email}", "tag", "-a",
                given.get("tag_name", "").strip() or tag, "-m", tag)  # fmt: skip


def _push(git: Git, folder: Path, given: Mapping[str, str], branch: str) -> None:
    if _flag(given, "skip_push"):
        return
    tags = ["--tags"] if given.get("tagging_message", "").strip() else []
    options = shlex.split(given.get("push_options", ""))
    git.run(folder, "push", "--quiet", "--set-upstream", "origin", f"HEAD:refs/heads/{branch}", *tags, *options)


def _folder(run: StepRun, path: str) -> Path:
    workspace = run.around.places.workspace.resolve()
    folder = (workspace / path).resolve()
    if not folder.is_relative_to(workspace):
        raise CommitError(f"repository {path!r} is outside of the workspace")
    return folder


def _branch(run: StepRun) -> str:
    github = run.contexts["github"]
    branch = to_text(github.get("ref_name")) if isinstance(github, dict) else ""
    if not branch:
        raise CommitError("the run is on no branch; name one: `branch`")
    return branch


def _actor(run: StepRun) -> str:
    github = run.contexts["github"]
    return (to_text(github.get("actor")) if isinstance(github, dict) else "") or "clockmesh"


def _flag(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").strip().lower() == "true"
