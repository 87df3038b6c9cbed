"""A snapshot: the submitter's work tree in one file, so that any peer can check out exactly what was submitted.

The file is a plain tar: `meta.json`; in a git work tree with a commit a `pack` with that commit (its trees and blobs)
and those between it and what `origin` is known to have, so that a job can push; and under `files/` what differs from
the commit, or without git everything. Equal trees make equal bytes.
"""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clockmesh.protocol.plan import Snapshot
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.worktree import ask, first_line, head, origin_url, work_tree

FILES = "files/"
"""Where in the tar the changed files are."""
_IDENTITY = "identity.key"
"""A folder that holds it is a clockmesh home: never part of a snapshot."""
_MAX_UNPUSHED = 1000
"""So many commits that `origin` lacks are taken along; of more HEAD alone is, and `origin` refuses a push."""


class SnapshotError(RunnerError):
    """The work tree cannot be taken, or the snapshot's bytes are bad. One line."""


@dataclass(frozen=True, slots=True)
class Made:
    file: BinaryIO
    """At its start; unnamed, gone when closed."""
    snapshot: Snapshot
    """Its blob is None: whoever stores the file names it."""
    root: Path
    """The folder that was taken; the workflow's path in the plan is relative to it."""


def make_snapshot(start: Path, *, limit: int) -> Made:
    """The work tree around the workflow file `start`: its git work tree, else the folder that holds its `.github`,
    else its folder. SnapshotError when it is above `limit` bytes or git fails."""
    start = start.resolve()
    root = _git_root(start)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller
    try:
        if root is None:
            root = _plain_root(start)
            snapshot = _take_plain(root, file, limit)
        else:
            snapshot = _take_git(root, file, limit)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return Made(file, snapshot, root)


@dataclass(frozen=True, slots=True)
class _History:
    """The commits of a pack."""

    commits: tuple[str, ...]
    """HEAD first; then what `origin` lacks, then the newest that it has."""
    shallow: tuple[str, ...]
    """Those of them whose parents are not there."""
    upstream: str = ""
    """Where `origin` is known to have the branch, if that commit is here and is not HEAD."""


def describe_tree(start: Path) -> Snapshot:
    """At which commit and ref the work tree around `start` is, without its content; nothing of it outside of git."""
    root = _git_root(start.resolve())
    if root is None:
        return Snapshot()
    sha, ref = head(str(root))
    return Snapshot(sha=sha, ref=ref, origin=origin_url(str(root)))


def _take_git(root: Path, file: BinaryIO, limit: int) -> Snapshot:
    sha, ref = head(str(root))
    origin = origin_url(str(root))
    names = set(_names(root, "ls-files", "--others", "--exclude-standard", "-z"))
    if sha:
        names |= set(_names(root, "diff", "--name-only", "--no-renames", "--ignore-submodules=all", "-z", "HEAD"))
    else:
        names |= set(_names(root, "ls-files", "--cached", "-z"))
    here = sorted(name for name in names if _wanted(root, name))
    deleted = sorted(name for name in names if sha and not name.endswith("/") and _is_gone(root / name))
    history = _history(root, sha, ref) if sha else _History((), ())
    with _Writer(root, file, limit) as writer:
        fields = {"shallow": history.shallow, "upstream": history.upstream}
        writer.meta({"deleted": deleted, "ref": ref, "sha": sha, "v": 2, **fields})
        if sha:
            writer.pack(history.commits)
        for name in here:
            writer.file(name)
    return Snapshot(size=file.seek(0, io.SEEK_END), sha=sha, ref=ref, origin=origin)


def _history(root: Path, sha: str, ref: str) -> _History:
    """HEAD alone where `origin` has it, or where nothing is known of `origin`."""
    commits, edge = [sha], [sha]
    if _git(root, "for-each-ref", "--count=1", "refs/remotes/origin").strip():
        listed = _git(root, "rev-list", "--topo-order", "--boundary", f"--max-count={_MAX_UNPUSHED + 1}", sha,
                      "--not", "--remotes=origin").decode().split()
        missing = [commit for commit in listed if not commit.startswith("-")]
        if 0 < len(missing) <= _MAX_UNPUSHED:
            edge = [commit[1:] for commit in listed if commit.startswith("-")]
            commits = [*missing, *edge]
    tracked = ref.replace("refs/heads/", "refs/remotes/origin/", 1)
    known = _git(root, "rev-parse", "--verify", "--quiet", tracked, may_fail=True).decode().strip() if ref else ""
    shallow = (commit for commit in edge if b"\nparent " in _header(root, commit))
    return _History(tuple(commits), tuple(shallow), known if known in commits[1:] else "")


def _header(root: Path, commit: str) -> bytes:
    return _git(root, "cat-file", "commit", commit).split(b"\n\n")[0]


def _take_plain(root: Path, file: BinaryIO, limit: int) -> Snapshot:
    with _Writer(root, file, limit) as writer:
        writer.meta({"deleted": [], "ref": "", "sha": "", "shallow": (), "upstream": "", "v": 2})
        for name in _walk(root):
            writer.file(name)
    return Snapshot(size=file.seek(0, io.SEEK_END))


class _Writer:
    """Writes the tar, refusing to grow above the limit."""

    def __init__(self, root: Path, file: BinaryIO, limit: int) -> None:
        self._root = root
        self._file = file
        self._limit = limit
        self._tar = tarfile.open(  # noqa: SIM115 - closed by __exit__
            fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        )

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def meta(self, fields: dict[str, object]) -> None:
        data = json.dumps(fields, sort_keys=True).encode()
        self._add("meta.json", len(data), io.BytesIO(data))

    def pack(self, commits: Sequence[str]) -> None:
        """The commits, their trees and their blobs; not their parents."""
        objects = _git(self._root, "rev-list", "--objects", "--no-walk=unsorted", *commits)
        ids = b"".join(line.split(b" ")[0] + b"\n" for line in objects.splitlines())
        with tempfile.TemporaryFile() as packed:
            done = subprocess.run(
                ["git", "-c", "pack.threads=1", "pack-objects", "--stdout", "-q", "--delta-base-offset"],
                cwd=self._root,
                input=ids,
                stdout=packed,
                stderr=subprocess.PIPE,
                check=False,
            )
            if done.returncode:
                raise SnapshotError(f"git pack-objects failed in {self._root}: {first_line(done.stderr)}")
            size = packed.seek(0, io.SEEK_END)
            packed.seek(0)
            self._add("pack", size, packed)

    def file(self, name: str) -> None:
        path = self._root / name
        try:
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                info = tarfile.TarInfo(FILES + name)
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
                self._tar.addfile(info)
            elif stat.S_ISREG(found.st_mode):
                with path.open("rb") as source:
                    self._add(FILES + name, found.st_size, source, found.st_mode & 0o111)
        except FileNotFoundError:
            pass  # removed since it was listed
        except OSError as error:
            raise SnapshotError(f"{path} cannot be read: {error.strerror}") from error

    def _add(self, name: str, size: int, source: BinaryIO, executable: int = 0) -> None:
        if self._file.tell() + size > self._limit:
            raise SnapshotError(
                f"{self._root} is larger than {self._limit // (1024 * 1024)} MiB, the most that a snapshot may hold; "
                "ignore what the workflow does not need in .gitignore, or use --remote"
            )
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o755 if executable else 0o644
        self._tar.addfile(info, source)


def _git_root(start: Path) -> Path | None:
    """The git work tree that holds the file; None outside of one. SnapshotError when git refuses one that is there."""
    try:
        root = work_tree(str(start.parent))
    except OSError as error:
        raise SnapshotError(str(error)) from error
    return None if root is None else Path(root)


def _plain_root(start: Path) -> Path:
    return next((above.parent for above in start.parents if above.name == ".github"), start.parent)


def _names(root: Path, *arguments: str) -> Iterator[str]:
    return (os.fsdecode(name) for name in _git(root, *arguments).split(b"\0") if name)


def _wanted(root: Path, name: str) -> bool:
    """A file or link that is there, outside of any clockmesh home."""
    if name.endswith("/") or not ((root / name).is_symlink() or (root / name).is_file()):
        return False
    return not any((root / folder / _IDENTITY).exists() for folder in Path(name).parents)


def _is_gone(path: Path) -> bool:
    return not path.is_symlink() and not path.is_file()


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [] if _IDENTITY in files else sorted(name for name in folders if name != ".git")
        if _IDENTITY in files:
            continue
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *linked]):
            yield (Path(folder) / name).relative_to(root).as_posix()


def _git(root: Path, *arguments: str, may_fail: bool = False) -> bytes:
    try:
        return ask(str(root), *arguments, may_fail=may_fail)
    except OSError as error:
        raise SnapshotError(str(error)) from error
