"""Versions that are asked for, and paths of artifacts and caches: decided before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmesh.runner.artifacts import root_of
from clockmesh.runner.pack import absolute, paths_of
from clockmesh.runner.toolchains import Version, fits


@pytest.mark.parametrize(
    ("wanted", "version", "fit"),
    [
        ("", (3, 11, 2), True), ("3", (3, 11, 2), True), ("3.x", (3, 11, 2), True), ("3.11", (3, 11, 2), True),
        ("3.1", (3, 11, 2), False), ("3.11.2", (3, 11, 2), True), ("3.11.3", (3, 11, 2), False),
        (">=3.9", (3, 11, 2), True), (">=3.9 <3.11", (3, 11, 2), False), (">= 3.9, < 3.12", (3, 11, 2), True),
        ("<=3.11", (3, 11, 2), True), (">3.11", (3, 11, 2), False), ("^20.1", (20, 20, 2), True),
        ("^20.1", (21, 0, 0), False), ("~20.20.1", (20, 20, 2), True), ("~20.19", (20, 20, 2), False),
        ("18 || 20", (20, 1, 0), True), ("3.9 - 3.12", (3, 11, 0), True), ("v20.20.2", (20, 20, 2), True),
        ("lts/*", (20, 20, 2), True), ("latest", (20, 20, 2), True), ("20.x", (18, 0, 0), False),
        ("pypy3.9", (3, 9, 0), False), ("lts/iron", (20, 0, 0), False), ("3.14-dev", (3, 14, 0), True),
    ],
)  # fmt: skip
def test_a_version_fits_what_npm_and_the_setup_actions_mean(wanted: str, version: Version, fit: bool) -> None:
    assert fits(wanted, version) is fit


def test_an_artifact_begins_where_its_patterns_part(tmp_path: Path) -> None:
    (tmp_path / "dist" / "sub").mkdir(parents=True)
    (tmp_path / "dist" / "one.txt").write_text("1")

    def root(*patterns: str) -> str:
        return str(root_of([absolute(pattern, tmp_path, "/home/ann") for pattern in patterns]).relative_to(tmp_path))

    assert root("dist") == "dist"
    assert root("dist/one.txt") == "dist"
    assert root("dist/*.txt", "!dist/x/*") == "dist"
    assert root("dist/sub/**", "dist/one.txt") == "dist"
    assert root("**/*.py") == "."


def test_paths_are_lines_and_home_is_the_jobs_own() -> None:
    assert paths_of("a b\n\n # no\n!c\n") == ["a b", "!c"]
    assert absolute("~/x", Path("/w"), "/home/ann") == "/home/ann/x"
    assert absolute("!./a/../b", Path("/w"), "/home/ann") == "!/w/b"
