"""hashFiles over a workspace."""

from __future__ import annotations

from hashlib import sha256

import pytest

from clockmesh.runner.hashfiles import hash_files_in


@pytest.fixture
def hashed(tmp_path):
    for name in ("a.lock", "b.txt", "sub/a.lock", "sub/deep/x.lock", ".git/a.lock", "c[1].txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    def names(*patterns):
        """Which files an answer is about: the sorted names whose hash it is."""
        got = hash_files_in(tmp_path)(patterns)
        for size in range(7):
            for chosen in combinations(size):
                if got == expected(chosen):
                    return list(chosen)
        return got

    return names


def combinations(size):
    from itertools import combinations

    return combinations(["a.lock", "b.txt", "c[1].txt", "sub/a.lock", "sub/deep/x.lock"], size)


def expected(names):
    return sha256(b"".join(sha256(name.encode()).digest() for name in names)).hexdigest() if names else ""


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["a.lock"], ["a.lock"]),
        (["*.lock"], ["a.lock"]),
        (["**/*.lock"], ["a.lock", "sub/a.lock", "sub/deep/x.lock"]),
        (["**/*.lock", "!sub/deep/**"], ["a.lock", "sub/a.lock"]),
        (["!a.lock", "*.lock"], ["a.lock"]),
        (["a.lock\n# a comment\nb.txt"], ["a.lock", "b.txt"]),
        (["sub"], ["sub/a.lock", "sub/deep/x.lock"]),
        (["sub/?.lock"], ["sub/a.lock"]),
        (["[ab].*"], ["a.lock", "b.txt"]),
        (["c[[]1].txt"], ["c[1].txt"]),
        (["none*"], []),
        ([".git/a.lock"], []),
    ],
)
def test_patterns_choose_files_as_the_official_runner_does(hashed, patterns, names):
    assert hashed(*patterns) == names
