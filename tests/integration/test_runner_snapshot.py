"""The submitter's work tree, taken and put back: real git on both sides."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile

import pytest

from clockmesh.runner.checkout import Options, check_out_snapshot
from clockmesh.runner.git import Git
from clockmesh.runner.process import Processes
from clockmesh.runner.snapshot import SnapshotError, make_snapshot
from clockmesh.runner.unpack import extract_files, read_meta
from tests.integration.runner_support import GIT_ENV, git, in_child, repository, write

LIMIT = 1 << 24


def take(start, blob, limit=LIMIT):
    made = make_snapshot(start, limit=limit)
    with made.file:
        blob.write_bytes(made.file.read())
    return made


def put_back(blob, target, origin="", **options):
    """Check out in a process of its own; the lines that it said."""

    def run():
        said = []
        own = Git(Processes(), said.append, {**os.environ, **GIT_ENV})
        check_out_snapshot(blob, origin, Options(**options), target, own, said.append)
        return said

    return in_child(run)


def files_of(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if ".git" not in path.relative_to(folder).parts and not (path.is_dir() and not path.is_symlink()):
            executable = bool(path.lstat().st_mode & 0o100)
            found[name] = os.readlink(path) if path.is_symlink() else (path.read_text(), executable)
    return found


@pytest.fixture
def tree(tmp_path):
    """A repository of two commits with an origin, and every kind of change on top."""
    root = tmp_path / "tree"
    repository(root, {"a.txt": "a1", "gone.txt": "g", "dir/deep.txt": "d", "was-file": "f", "run.sh": "#!/bin/sh\n"})
    write(root, {".gitignore": "*.log\n", ".github/workflows/w.yml": "name: w\n"})
    (root / "link").symlink_to("a.txt")
    (root / "run.sh").chmod(0o755)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "second")
    git(root, "remote", "add", "origin", "https://ann:secret@example.invalid/x.git")
    write(root, {"a.txt": "a2", "new dir/new\nfile ü": "n", "out.log": "ignored"})
    (root / "gone.txt").unlink()
    (root / "dir/deep.txt").unlink()
    (root / "was-file").unlink()
    write(root, {"was-file/now-folder": "x"})
    (root / "new-link").symlink_to("/nowhere")
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    return root


def test_a_snapshot_comes_back_with_commit_branch_and_every_change(tree, tmp_path):
    made = take(tree / ".github/workflows/w.yml", tmp_path / "blob")
    head = git(tree, "rev-parse", "HEAD")
    assert made.root == tree
    assert (made.snapshot.sha, made.snapshot.ref) == (head, "refs/heads/main")
    assert made.snapshot.origin == "https://example.invalid/x.git", "no password leaves the machine, and no token"
    assert made.snapshot.size == (tmp_path / "blob").stat().st_size
    target = tmp_path / "work"
    put_back(tmp_path / "blob", target, made.snapshot.origin)
    expected = files_of(tree)
    del expected["out.log"]
    assert files_of(target) == expected
    assert git(target, "rev-parse", "HEAD", "--abbrev-ref", "HEAD").split() == [head, "main"]
    assert git(target, "status", "--porcelain") == git(tree, "status", "--porcelain")
    assert git(target, "rev-list", "--count", "HEAD") == "1"
    assert git(target, "fsck", "--no-dangling") == ""
    assert git(target, "rev-parse", "--abbrev-ref", "main@{upstream}") == "origin/main"


@pytest.mark.parametrize("merged", [False, True], ids=["in a line", "with a merge"])
def test_commits_that_origin_lacks_come_along_so_that_a_job_can_push(tmp_path, merged):
    bare, tree, job = tmp_path / "bare", tmp_path / "tree", tmp_path / "job"
    repository(tree, {"w.yml": "w", "old": "o"})
    write(tree, {"old": "oo"})
    git(tree, "commit", "-q", "-a", "-m", "pushed")
    git(tree, "clone", "-q", "--bare", ".", str(bare))
    git(tree, "remote", "add", "origin", str(bare))
    git(tree, "fetch", "-q", "origin")
    if merged:
        git(tree, "checkout", "-q", "-b", "side", "HEAD^")
        write(tree, {"side": "s"})
        git(tree, "add", "-A")
        git(tree, "commit", "-q", "-m", "aside")
        git(tree, "checkout", "-q", "main")
        git(tree, "merge", "-q", "--no-ff", "-m", "merged", "side")
    write(tree, {"new": "n"})
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "not pushed")

    made = take(tree / "w.yml", tmp_path / "blob")
    put_back(tmp_path / "blob", job, made.snapshot.origin)
    write(job, {"result": "r"})
    git(job, "add", "-A")
    git(job, "commit", "-q", "-m", "by the job")
    git(job, "push", "-q")
    assert git(bare, "log", "-2", "--format=%s", "main").splitlines() == ["by the job", "not pushed"]
    assert git(bare, "show", "main:result") == "r"
    assert git(bare, "fsck", "--no-dangling") == ""


def test_equal_trees_make_equal_bytes(tree, tmp_path):
    take(tree / "a.txt", tmp_path / "one")
    os.utime(tree / "a.txt", (1, 1))
    take(tree / ".github/workflows/w.yml", tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_checkout_empties_the_folder_first_unless_told_otherwise(tree, tmp_path):
    take(tree / "a.txt", tmp_path / "blob")
    target = tmp_path / "work"
    write(target, {"old": "x"})
    put_back(tmp_path / "blob", target, clean=False)
    assert (target / "old").exists()
    put_back(tmp_path / "blob", target)
    assert not (target / "old").exists()


def test_a_detached_head_stays_detached(tree, tmp_path):
    git(tree, "stash", "-q", "-u")
    git(tree, "checkout", "-q", "--detach")
    made = take(tree / "a.txt", tmp_path / "blob")
    put_back(tmp_path / "blob", tmp_path / "work")
    assert made.snapshot.ref == ""
    assert git(tmp_path / "work", "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert git(tmp_path / "work", "rev-parse", "HEAD") == made.snapshot.sha


def test_a_repository_without_a_commit_is_taken_as_files(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    write(root, {"w.yml": "x", "sub/y": "y"})
    git(root, "add", "w.yml")
    made = take(root / "w.yml", tmp_path / "blob")
    put_back(tmp_path / "blob", tmp_path / "work")
    assert made.snapshot.sha == ""
    assert set(files_of(tmp_path / "work")) == {"w.yml", "sub/y"}


def test_without_git_the_folder_above_dot_github_is_taken(tmp_path):
    root = tmp_path / "tree"
    write(root, {".github/workflows/w.yml": "x", "src/m.py": "m"})
    made = take(root / ".github/workflows/w.yml", tmp_path / "blob")
    put_back(tmp_path / "blob", tmp_path / "work")
    assert made.root == root
    assert files_of(tmp_path / "work") == files_of(root)


def test_homes_sockets_and_pipes_are_never_taken(tmp_path):
    root = tmp_path / "tree"
    repository(root, {"w.yml": "x"})
    write(root, {"home/identity.key": "secret", "home/data/clock.db": "d"})
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "sock"))
        for kind in ("git", "plain"):
            if kind == "plain":
                (root / ".git").rename(tmp_path / "away")
            take(root / "w.yml", tmp_path / "blob")
            put_back(tmp_path / "blob", tmp_path / "work")
            assert set(files_of(tmp_path / "work")) == {"w.yml"}


def test_a_tree_above_the_limit_is_refused_with_what_to_do(tmp_path):
    write(tmp_path / "tree", {"w.yml": "x", "big": "b" * 3_000_000})
    with pytest.raises(SnapshotError, match=r"larger than 2 MiB.*\.gitignore.*--remote"):
        take(tmp_path / "tree/w.yml", tmp_path / "blob", limit=2 << 20)


def test_a_work_tree_that_git_cannot_read_is_an_error_not_a_plain_folder(tmp_path):
    write(tmp_path / "tree", {"w.yml": "x", ".git": "gitdir: /nowhere\n"})
    with pytest.raises(SnapshotError, match="git rev-parse failed"):
        take(tmp_path / "tree/w.yml", tmp_path / "blob")


def hostile(path, name, kind=tarfile.REGTYPE, link=""):
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("files/" + name)
        info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"x"))


@pytest.mark.parametrize(
    "name", ["../out", "/etc/x", "a/../../out", ".git/hooks/pre-push", "a/.GIT/config", "a//b", "."]
)
def test_a_path_that_leaves_the_folder_or_reaches_into_git_is_refused(tmp_path, name):
    hostile(tmp_path / "blob", name)
    (tmp_path / "work").mkdir()
    with pytest.raises(SnapshotError, match="refused"):
        extract_files(tmp_path / "blob", tmp_path / "work")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_only_files_and_links_come_out_of_a_snapshot(tmp_path, kind):
    hostile(tmp_path / "blob", "x", kind, "/etc/passwd")
    (tmp_path / "work").mkdir()
    with pytest.raises(SnapshotError):
        extract_files(tmp_path / "blob", tmp_path / "work")


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "blob", "w") as tar:
        link = tarfile.TarInfo("files/sub")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
        tar.addfile(link)
        inner = tarfile.TarInfo("files/sub/x")
        inner.size = 1
        tar.addfile(inner, io.BytesIO(b"x"))
    (tmp_path / "work").mkdir()
    extract_files(tmp_path / "blob", tmp_path / "work")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_snapshot_that_is_cut_off_is_damaged(tree, tmp_path):
    write(tree, {"large": "x" * 100_000})
    take(tree / "a.txt", tmp_path / "blob")
    (tmp_path / "blob").write_bytes((tmp_path / "blob").read_bytes()[:60_000])
    with pytest.raises(SnapshotError, match="damaged"):
        put_back(tmp_path / "blob", tmp_path / "work")


def test_a_commit_that_is_none_is_damage_and_no_path(tree, tmp_path):
    blob = tmp_path / "blob"
    take(tree / "a.txt", blob)
    for name in ("sha", "upstream", "shallow"):
        with tarfile.open(blob) as old, tarfile.open(tmp_path / "bad", "w") as bad:
            meta = json.loads(old.extractfile("meta.json").read())
            meta[name] = ["../../out"] if name == "shallow" else "../../out"
            data = json.dumps(meta).encode()
            info = tarfile.TarInfo("meta.json")
            info.size = len(data)
            bad.addfile(info, io.BytesIO(data))
        with pytest.raises(SnapshotError, match="damaged"):
            read_meta(tmp_path / "bad")


@pytest.mark.parametrize("data", [b"", b"junk" * 1000, json.dumps({}).encode()])
def test_bytes_that_are_no_snapshot_are_one_kind_of_error(tmp_path, data):
    (tmp_path / "blob").write_bytes(data)
    with pytest.raises(SnapshotError, match="damaged"):
        put_back(tmp_path / "blob", tmp_path / "work")
