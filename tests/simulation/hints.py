"""Peers that do what no sane one would but every one may: claim out of turn, vote for whoever asks first.

Ranks, delays, patience and sessions are hints; the rules of DESIGN 5 must hold whatever becomes of them. In some
schedules each hint is ignored now and then, so that claims collide far more often than they ever would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from clockmesh.coordinator import claims, jobs, take, votes
from tests.simulation.world import World


@contextmanager
def ignored(world: World, rate: float) -> Iterator[None]:
    """While this lasts each look at a hint is skipped with this chance."""
    if not rate:
        yield
        return
    blocked, nearer, backoff = take._blocked_until, take._nearer, take._backoff
    lives, worth_it, by_hope = take._electorate_lives, votes._worth_it, votes._by_hope

    def _blocked_until(machine, job, attempt, sight, now):
        if world.chance(rate) and claims.may_claim(job, attempt, machine.leases, now, machine.run_of(job).lease):
            return now
        return blocked(machine, job, attempt, sight, now)

    def _nearer(machine, job, sight, now):
        return [] if world.chance(rate) else nearer(machine, job, sight, now)

    def _backoff(machine, job, attempt):
        return 0.0 if world.chance(rate) else backoff(machine, job, attempt)

    def _electorate_lives(machine, job, now):
        return world.chance(rate) or lives(machine, job, now)

    def _worth_it(machine, job, key, now):
        return world.chance(rate) or worth_it(machine, job, key, now)

    def _by_hope(machine, job, now):
        if not world.chance(rate):
            return by_hope(machine, job, now)
        order = jobs.open_claims(job)
        world.rng.shuffle(order)
        return order

    with ExitStack() as stack:
        for module, function in (
            (take, _blocked_until),
            (take, _nearer),
            (take, _backoff),
            (take, _electorate_lives),
            (votes, _worth_it),
            (votes, _by_hope),
        ):
            stack.enter_context(mock.patch.object(module, function.__name__, function))
        yield
