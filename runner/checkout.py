"""The built-in actions/checkout of the run's own repository: of the submitted snapshot, or of the remote at the commit
that the run was resolved to. After it the branch has its upstream, so a bare `git push` works."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from clockmesh.protocol.plan import Remote
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.git import Git, GitError, Say
from clockmesh.runner.unpack import extract_files, extract_pack, read_meta

_BRANCH = "refs/heads/"


class CheckoutError(RunnerError):
    """The checkout cannot be done as asked; one line."""


@dataclass(frozen=True, slots=True)
class Options:
    """The step's `with`."""

    path: str = ""
    """Below the workspace; '' is the workspace itself."""
    ref: str = ""
    """'' is the run's own commit; a remote may be asked for another."""
    depth: int = 1
    """0: all branches and tags with their history (of a snapshot there is the one commit)."""
    clean: bool = True
    """Empty the folder first."""
    token: str = ""
    """In place of the credentials that the mesh has for the repository."""
    keep: bool = True
    """Leave the credentials to later steps (`persist-credentials`)."""


def options_from(given: dict[str, str]) -> Options:
    """From `with`, names in lower case. CheckoutError for a value that makes no sense."""
    depth = given.get("fetch-depth", "1").strip() or "1"
    if not depth.isdecimal():
        raise CheckoutError(f"fetch-depth must be a number, not {depth!r}")
    return Options(
        path=given.get("path", ""),
        ref=given.get("ref", ""),
        depth=int(depth),
        clean=given.get("clean", "true").strip().lower() != "false",
        token=given.get("token", "").strip(),
        keep=given.get("persist-credentials", "true").strip().lower() != "false",
    )


def folder_of(options: Options, workspace: Path) -> Path:
    """Where to check out. CheckoutError when it is outside of the workspace."""
    folder = (workspace / options.path).resolve()
    if not folder.is_relative_to(workspace.resolve()):
        raise CheckoutError(f"path {options.path!r} is outside of the workspace")
    return folder


def check_out_snapshot(blob: Path, origin: str, options: Options, folder: Path, git: Git, say: Say) -> None:
    """The snapshot: a repository with the submitted commit, what was changed since on top; without git its files."""
    meta = read_meta(blob)
    if options.ref not in ("", meta.ref, meta.sha, meta.ref.removeprefix(_BRANCH)):
        raise CheckoutError(
            f"ref {options.ref!r} is not in the snapshot, which holds {meta.ref or meta.sha or 'no commit'} only; "
            "submit the run with --remote"
        )
    _prepare(folder, clean=options.clean)
    if meta.sha:
        branch = meta.ref.removeprefix(_BRANCH) if meta.ref.startswith(_BRANCH) else ""
        _begin(git, folder, origin)
        pack = folder / ".git" / "snapshot.pack"
        extract_pack(blob, pack)
        git.lines(folder, "index-pack", "-o", f".git/objects/pack/pack-{meta.sha}.idx", str(pack))
        pack.rename(folder / f".git/objects/pack/pack-{meta.sha}.pack")
        if meta.shallow:
            (folder / ".git" / "shallow").write_text("".join(f"{commit}\n" for commit in meta.shallow))
        _switch(git, folder, meta.sha, branch, upstream=(meta.upstream or meta.sha) if origin else "")
    extract_files(blob, folder, meta.deleted)
    say(f"The submitted work tree{f' at {meta.sha}' if meta.sha else ''}")


def check_out_remote(source: Remote, options: Options, folder: Path, git: Git) -> tuple[str, str]:
    """The run's commit from its remote, or the `ref` that the step asks for; the full name of the ref and the commit.
    GitError, CheckoutError."""
    if not source.sha:
        raise CheckoutError("the run has no commit yet")
    _prepare(folder, clean=options.clean)
    _begin(git, folder, source.url)
    wanted = options.ref or source.sha
    if wanted in (source.ref, source.sha, source.ref.removeprefix(_BRANCH)):
        ref, sha = source.ref, source.sha
    else:
        ref, sha = _look_up(git, folder, wanted)
    _fetch(git, folder, ref, sha, options.depth)
    branch = ref.removeprefix(_BRANCH) if ref.startswith(_BRANCH) else ""
    _switch(git, folder, sha, branch, upstream=sha)
    return ref, sha


def find_ref(listed: list[str], wanted: str) -> tuple[str, str]:
    """From the lines of `ls-remote --symref` the full name and commit of `wanted` (a full name, a branch, a tag), or
    of the default branch for ''. LookupError when there is none."""
    found: dict[str, str] = {}
    default = ""
    for line in listed:
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            default = value.removeprefix("ref: ")
        elif name:
            found[name] = value
    if not wanted:
        candidates = [default, "HEAD"]
    elif wanted.startswith("refs/"):
        candidates = [wanted]
    else:
        candidates = [_BRANCH + wanted, "refs/tags/" + wanted]
    for name in candidates:
        if name in found:
            return ("" if name == "HEAD" else name), found.get(name + "^{}", found[name])  # an annotated tag's commit
    raise LookupError(wanted)


def _look_up(git: Git, folder: Path, wanted: str) -> tuple[str, str]:
    if len(wanted) == 40 and all(digit in "0123456789abcdef" for digit in wanted):
        return "", wanted
    try:
        return find_ref(git.lines(folder, "ls-remote", "--symref", "origin"), wanted)
    except LookupError:
        raise CheckoutError(f"the remote has no branch or tag {wanted!r}") from None


def _prepare(folder: Path, *, clean: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir() if clean else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _begin(git: Git, folder: Path, origin: str) -> None:
    git.run(folder, "init", "--quiet", "--initial-branch=main")
    if origin:
        if "origin" in git.lines(folder, "remote"):
            git.run(folder, "remote", "remove", "origin")  # left by an earlier checkout that was not to be cleaned
        git.run(folder, "remote", "add", "origin", origin)
    git.lines(folder, "config", "gc.auto", "0")


def _fetch(git: Git, folder: Path, ref: str, sha: str, depth: int) -> None:
    if depth == 0:
        git.run(folder, "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    try:
        git.run(folder, "fetch", "--quiet", "--no-tags", *([f"--depth={depth}"] if depth else []), "origin", sha)
    except GitError:
        if not ref:
            raise
        # A server may refuse a commit by its id; the branch's own history has it, if it was not rewritten.
        git.run(folder, "fetch", "--quiet", "--no-tags", "origin", ref)


def _switch(git: Git, folder: Path, sha: str, branch: str, *, upstream: str) -> None:
    """Check out; the branch follows that of `origin`, which is at the commit `upstream`, if that is not ''."""
    if not branch:
        git.run(folder, "checkout", "--quiet", "--force", "--detach", sha)
        return
    if upstream:
        git.lines(folder, "update-ref", f"refs/remotes/origin/{branch}", upstream)
    git.run(folder, "checkout", "--quiet", "--force", "-B", branch, sha)
    if upstream:
        git.lines(folder, "config", f"branch.{branch}.remote", "origin")
        git.lines(folder, "config", f"branch.{branch}.merge", _BRANCH + branch)
