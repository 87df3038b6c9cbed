"""Owners computed in bulk are the owners the plain loop finds, ties and weights included."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmesh.coordinator.bulk import BLOCK, owners
from clockmesh.coordinator.ownership import rank
from clockmesh.protocol.ids import PeerId, RunId


def make(seed: int, jobs: int, weights: list[int]) -> tuple[list, list]:
    rng = random.Random(seed)
    members = [(PeerId(rng.randbytes(32)), weight) for weight in weights]
    return [(RunId(rng.randbytes(32)), rng.randbytes(32)) for _ in range(jobs)], members


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2 * BLOCK), st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_bulk_owners_are_the_loops_owners(seed, jobs, weights):
    tasks, members = make(seed, jobs, [*weights, 1])
    assert owners(tasks, members) == [rank(run, task, members)[0] for run, task in tasks]


def test_many_peers_with_many_ties_agree_on_a_sample():
    tasks, members = make(7, 2000, [1] * 1000)
    found = owners(tasks, members)
    for index in range(0, 2000, 100):
        assert found[index] == rank(*tasks[index], members)[0]


def test_without_a_member_that_runs_jobs_nobody_owns():
    tasks, members = make(1, 1, [0, 0])
    with pytest.raises(ValueError, match="no member"):
        owners(tasks, members)
