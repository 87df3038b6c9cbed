"""A snapshot comes from a stranger: whatever its bytes, it is put back or refused, and nothing outside is touched."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from clockmesh.runner.snapshot import SnapshotError
from clockmesh.runner.unpack import extract_files, extract_pack, read_meta

NAMES = st.lists(
    st.sampled_from(["a", "b", "..", ".", "", ".git", ".GIT", "hooks", "\0", "é", "x" * 300]), min_size=1, max_size=4
).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
MEMBERS = st.lists(st.tuples(NAMES, KINDS, NAMES, st.binary(max_size=20)), max_size=8)


def tar_of(members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        meta = b'{"deleted": [], "ref": "", "sha": "", "shallow": false, "v": 1}'
        info = tarfile.TarInfo("meta.json")
        info.size = len(meta)
        tar.addfile(info, io.BytesIO(meta))
        for name, kind, link, data in members:
            info = tarfile.TarInfo("files/" + name)
            info.type, info.linkname = kind, link
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def put_back(data, deleted=()):
    """True when it was taken, False when it was refused; everything outside of the target as it was."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        blob, target, outside = base / "blob", base / "in" / "target", base / "in" / "outside"
        blob.write_bytes(data)
        target.mkdir(parents=True)
        outside.write_text("as it was")
        try:
            read_meta(blob)
            extract_files(blob, target, deleted)
            return True
        except SnapshotError:
            return False
        finally:
            assert outside.read_text() == "as it was"
            assert sorted(path.name for path in base.iterdir()) == ["blob", "in"]
            assert sorted(path.name for path in (base / "in").iterdir()) == ["outside", "target"]
            assert not (target / ".git").exists()


@given(MEMBERS, st.lists(NAMES, max_size=3))
@settings(max_examples=150, deadline=None)
def test_no_member_of_a_snapshot_reaches_outside(members, deleted):
    put_back(tar_of(members), deleted)


def test_nothing_is_removed_behind_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "link").symlink_to("../outside")
    (tmp_path / "blob").write_bytes(tar_of([]))
    extract_files(tmp_path / "blob", tmp_path / "target", ["link/kept"])
    assert (tmp_path / "outside" / "kept").exists()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_snapshot_is_put_back_or_refused(data):
    whole = bytearray(tar_of([("a", tarfile.REGTYPE, "", b"text"), ("b/c", tarfile.SYMTYPE, "a", b"")]))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, 3 * 1024))] = data.draw(st.integers(0, 255))
    put_back(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@given(st.binary(max_size=2000))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_one_kind_of_error(data):
    with tempfile.TemporaryDirectory() as name:
        blob = Path(name) / "blob"
        blob.write_bytes(data)
        for use in (read_meta, lambda path: extract_pack(path, Path(name) / "pack")):
            try:
                use(blob)
            except SnapshotError:
                continue
            raise AssertionError("bytes that are no snapshot were taken")
