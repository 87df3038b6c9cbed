"""Each rule of DESIGN 5 taken away, to show that the simulator sees what it held back.

Rules are functions that the coordinator calls through their module, so a substitute in their place is all it takes;
what the runner host must do is taken away from the simulated one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

from clockmesh.coordinator import claims, holding, jobs, leases
from tests.simulation.host import Host


class Rule(NamedTuple):
    """What takes a rule away: each (module or class, name) is replaced."""

    text: str
    substitutes: tuple[tuple[object, str, Callable[..., object]], ...]


FOREVER = 1e9
"""Seconds: a deadline that never comes."""


def _always(*_: object, **__: object) -> bool:
    return True


def _never(*_: object, **__: object) -> bool:
    return False


def _nothing(*_: object, **__: object) -> None:
    return None


def _only_one_below(job, attempt, known, now, lease):
    """Rule 3 looking at the attempt just below alone."""
    claimant = job.votes.get(known.me, {}).get(attempt - 1)
    return (
        claimant is None
        or jobs.is_over(job, attempt - 1, claimant)
        or leases.silent(known, job, attempt - 1, claimant, now, lease)
    )


def _endless(known, job, attempt, claimed_at, lease):
    return FOREVER


def _of_any_voter(known, job, attempt, claimed_at, lease):
    """Rule 5 resting on what any voter has heard, whomever it granted the attempt."""
    granted = job.grants.get((attempt, known.me), {})
    if len(granted) < job.electorate.quorum:
        return leases.NEVER
    voters = job.electorate.voters_of(known.me)
    heard = sorted((_heard_by(known, job, attempt, voter, claimed_at, granted) for voter in voters), reverse=True)
    return heard[job.electorate.quorum - 1] + leases.RUN_SHARE * lease


def _heard_by(known, job, attempt, voter, claimed_at, granted):
    return leases.acknowledged(known, job, attempt, voter, claimed_at if voter in granted else leases.NEVER)


def _silent_since_beacon(known, job, attempt, claimant):
    """Rule 3 forgetting that a voter that was away, or has just granted, could not have heard anything."""
    session = known.sessions.get(claimant)
    return session.heard_at if session else leases.NEVER


def _any_grant(job, attempt, claimant):
    return len(job.grants.get((attempt, claimant), ())) >= 1


def _thaw_stopping_the_clock(host, slept):
    for job in host.jobs.values():
        job.deadline += slept * host.peer.rate
    _THAW(host, slept)


_THAW = Host.thaw


def _resume_declaring_nothing(machine, there):
    """Rule 8 leaving open what the host does not know."""
    with mock.patch.object(machine, "decide", _nothing):
        _RESUME(machine, there)


_RESUME = holding.resume

RULES = {
    "one-claimant": Rule(
        "2: a voter grants an attempt to one claimant only",
        ((claims, "one_claimant", _always),),
    ),
    "not-below": Rule("2: never below an attempt that it granted", ((claims, "not_below", _always),)),
    "no-final": Rule(
        "2 and 4: nothing is granted or started once a final result is known",
        ((claims, "no_final", _always),),
    ),
    "lower-over": Rule(
        "3: every lower attempt that it granted is over, or its claimant silent",
        ((claims, "lower_attempts_over", _always),),
    ),
    "all-lower": Rule("3: every lower attempt, not only the next", ((claims, "lower_attempts_over", _only_one_below),)),
    "settled": Rule(
        "3: silence counts from the voter's own grant, restart and pause",
        ((leases, "silent_from", _silent_since_beacon),),
    ),
    "quorum": Rule("4: q grants", ((jobs, "has_quorum", _any_grant),)),
    "deadline": Rule("5: the holder runs on only until D", ((leases, "deadline", _endless),)),
    "granters": Rule("5: what voters heard who granted this attempt", ((leases, "deadline", _of_any_voter),)),
    "over": Rule("5: who granted a higher attempt is not counted", ((leases, "granted_above", _never),)),
    "incarnation": Rule("5: `heard` names the incarnation", ((leases, "names_this_incarnation", _always),)),
    "boottime": Rule("5: D counts suspended time", ((Host, "thaw", _thaw_stopping_the_clock),)),
    "accept-check": Rule(
        "6: not accepted by who granted a higher attempt",
        ((claims, "may_accept", _always),),
    ),
    "adoption": Rule("6: an accepted result is proposed again, not run", ((claims, "adopted", _nothing),)),
    "host-fence": Rule("8: the host drops the commands of earlier daemons", ((Host, "drops", _never),)),
    "restart": Rule(
        "8: what the host does not know after a restart is declared lost",
        ((holding, "resume", _resume_declaring_nothing),),
    ),
    "release": Rule("1: what has not started after L/2 is released", ((claims, "unstarted_too_long", _never),)),
}
"""By the name that `--without` takes."""


@contextmanager
def without(name: str | None) -> Iterator[None]:
    """While this lasts the rule is not there."""
    with ExitStack() as stack:
        for where, function, substitute in RULES[name].substitutes if name else ():
            stack.enter_context(mock.patch.object(where, function, substitute))
        yield
