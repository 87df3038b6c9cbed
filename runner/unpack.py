"""The other half of `snapshot`: putting a submitted work tree back. The bytes come from a stranger."""

from __future__ import annotations

import json
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clockmesh.runner.snapshot import FILES, SnapshotError


@dataclass(frozen=True, slots=True)
class Meta:
    """What a snapshot says of itself."""

    sha: str
    ref: str
    shallow: tuple[str, ...]
    """Commits whose parents are not there."""
    upstream: str
    """Where `origin` was known to have the branch; '' if at `sha`."""
    deleted: tuple[str, ...]
    """Files of the commit that the work tree does not have."""


def read_meta(blob: Path) -> Meta:
    """SnapshotError when `blob` is no snapshot."""
    try:
        with tarfile.open(blob, "r:") as tar:
            first = tar.next()
            source = tar.extractfile(first) if first is not None and first.name == "meta.json" else None
            fields = json.loads(source.read(64 * 1024 * 1024)) if source is not None else {}
        commits = [fields["sha"], fields["upstream"], *fields["shallow"]]
        if not all(re.fullmatch("|[0-9a-f]{40}|[0-9a-f]{64}", commit) for commit in commits):
            raise ValueError("it names a commit that is none")
        sha, upstream, *shallow = commits
        return Meta(sha, str(fields["ref"]), tuple(shallow), upstream, tuple(map(str, fields["deleted"])))
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from error


def extract_pack(blob: Path, target: Path) -> None:
    """Write the snapshot's git pack to the file `target`."""
    with _opened(blob) as tar:
        try:
            source = tar.extractfile("pack")
        except KeyError:
            source = None
        if source is None:
            raise SnapshotError("the snapshot is damaged: it has no pack")
        with target.open("wb") as out:
            shutil.copyfileobj(source, out)


def extract_files(blob: Path, target: Path, deleted: Sequence[str] = ()) -> None:
    """Put the snapshot's files over what is in `target`, and remove `deleted`. SnapshotError for a path that leaves
    `target` or reaches into `.git`."""
    for name in deleted:
        with _about(name):
            _remove(_inside(target, name), target)
    with _opened(blob) as tar:
        for member in tar:
            if member.name.startswith(FILES):
                with _about(member.name):
                    _extract(tar, member, target)


@contextmanager
def _about(name: str) -> Iterator[None]:
    """A path that this machine cannot have (too long, not encodable), or a full disk."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name here"
        raise SnapshotError(f"{name[:200]!r} of the snapshot cannot be put back: {reason}") from error


def _remove(place: Path, target: Path) -> None:
    """A file or link; nothing behind a link, which may lead anywhere."""
    if any(above.is_symlink() for above in place.parents if above.is_relative_to(target) and above != target):
        return
    if place.is_symlink() or place.is_file():
        place.unlink()
        _prune(place.parent, target)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    member = member.replace(name=member.name.removeprefix(FILES), deep=False)
    place = _inside(target, member.name)
    if not (member.isfile() or member.issym()):
        raise SnapshotError(f"the snapshot holds {member.name!r}, which is no file")
    for folder in reversed(place.relative_to(target).parents):
        above = target / folder
        if above.is_symlink() or (above.exists() and not above.is_dir()):
            above.unlink()  # in the commit it was a file or a link, in the work tree it is a folder
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        place.unlink()
    if member.issym():
        place.symlink_to(member.linkname)  # a link may point anywhere, as in git; nothing is written through it
        return
    source = tar.extractfile(member)
    with place.open("xb") as out:
        if source is not None:
            shutil.copyfileobj(source, out)
    place.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def _inside(target: Path, name: str) -> Path:
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\0" in name:
        raise SnapshotError(f"the snapshot names the path {name!r}, which is refused")
    return target.joinpath(*parts)


def _prune(folder: Path, stop: Path) -> None:
    """Remove folders that became empty, as git does."""
    while folder != stop and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


@contextmanager
def _opened(blob: Path) -> Iterator[tarfile.TarFile]:
    """SnapshotError for a tar that is not whole, wherever that shows."""
    try:
        with tarfile.open(blob, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            yield tar
    except tarfile.TarError as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from error
