"""The mesh's secrets at this peer: what there is, opened for the jobs that may have it, and the keys that it can open
given to members that came later.

In clear a value exists in the request that sets it, on its way to the runner host, and in the job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import structlog
import trio

from clockmesh.coordinator.inputs import Input, ShareWanted
from clockmesh.coordinator.machine import Machine
from clockmesh.coordinator.secret_requests import lacking
from clockmesh.coordinator.secrets import SecretState
from clockmesh.daemon.errors import DaemonError
from clockmesh.daemon.sealing import boxes, key_in, value_in
from clockmesh.protocol.ids import PeerId, SecretId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.plan import Plan, Remote
from clockmesh.protocol.secrets import Kind, SecretSet
from clockmesh.runner.named_secrets import NamedSecrets
from clockmesh.runner.remotes import covers, read_credential
from clockmesh.runner.spec import Given

log = structlog.get_logger()
_SHARE_PAUSE = 2.0
"""Seconds that each further member leaves those before it to give a newcomer the keys."""
_PATIENCE = 30.0
"""Seconds that a job waits for a key; then all members that could give it are away."""


class Sealed(DaemonError):
    """A secret that a job needs cannot be opened here."""


@dataclass(frozen=True, slots=True)
class SecretView:
    """One secret or remote, as it may be shown."""

    kind: Kind
    name: str
    workflows: tuple[str, ...]
    set_ms: int
    set_by: PeerId
    openers: tuple[PeerId, ...]
    """Members that can open it."""


class Vault:
    """One peer's."""

    def __init__(self, key: SigningKey, machine: Machine, take: Callable[[Input], None], now: Callable[[], float]):
        """`take` feeds the loop; `now` is the machine's."""
        self._key = key
        self._machine = machine
        self._take = take
        self._now = now
        self._changed = trio.Event()
        self._noticed: dict[tuple[SecretId, PeerId], float] = {}
        """Since when a member is known to lack a key; inf once this peer gave it."""

    # ---- what there is ----

    def views(self, kind: Kind) -> list[SecretView]:
        """By name."""
        return [self._view(known, told) for known, told in self._machine.state.secrets.standing(kind)]

    def _view(self, known: SecretState, told: SecretSet) -> SecretView:
        openers = tuple(peer for peer in self._machine.members if known.can_open(peer))
        written = known.written
        return SecretView(told.kind, told.name, told.workflows, written.wall_ms, written.author, openers)

    @property
    def holds_any(self) -> bool:
        return any(True for kind in Kind for _ in self._machine.state.secrets.standing(kind))

    def missing(self, plan: Plan, named: NamedSecrets) -> list[str]:
        """Names of secrets that a workflow uses and that it cannot have, sorted."""
        there = {told.name for _, told in self._allowed(plan)}
        return sorted(name for name in named.names if name not in there and not name.startswith("GITHUB_"))

    def _allowed(self, plan: Plan) -> Iterator[tuple[SecretState, SecretSet]]:
        for known, told in self._machine.state.secrets.standing(Kind.SECRET):
            if not told.workflows or any(_means(workflow, plan) for workflow in told.workflows):
                yield known, told

    # ---- for a job ----

    async def given(self, plan: Plan, named: NamedSecrets, passed: Callable[[], bool]) -> Given:
        """What a job of this plan may have. Sealed when one that it names, or the credentials of its repository, cannot
        be opened here although other members were waited for. Gives up quietly once `passed`."""
        until = self._now() + _PATIENCE
        while True:
            given, closed = self._open(plan, named)
            if not closed or passed():
                return given
            if self._now() >= until:
                raise Sealed(f"{closed} cannot be opened on this peer, and no member that can open it was here to give "
                             "it the key; set it again on any peer")
            with trio.move_on_after(max(0.0, min(1.0, until - self._now()))):
                await self._changed.wait()

    def _open(self, plan: Plan, named: NamedSecrets) -> tuple[Given, str]:
        """What can be opened, and what the job cannot do without and is closed; '' for nothing."""
        secrets: dict[str, str] = {}
        closed = ""
        resolving = plan.workflow is None  # it needs its repository's credentials alone
        for known, told in () if resolving else self._allowed(plan):
            value = self._value(known, told)
            if value is not None:
                secrets[told.name] = value
            elif named.any or told.name in named.names:
                closed = f"the secret {told.name}"
        found = self._remote(plan.source.url if isinstance(plan.source, Remote) else plan.source.origin)
        if found is None:
            return Given(secrets), closed
        login = self._value(*found)
        if login is None:
            return Given(secrets), f"the credentials of {found[1].name}"
        credential = read_credential(login)
        return Given(secrets | {"GITHUB_TOKEN": credential.password}, credential=credential), closed

    def credential(self, url: str) -> str:
        """`user:password` for this repository; '' where the mesh has none that can be opened here."""
        found = self._remote(url)
        return (self._value(*found) or "") if found else ""

    def _remote(self, url: str) -> tuple[SecretState, SecretSet] | None:
        """The one nearest to this URL."""
        there = [found for found in self._machine.state.secrets.standing(Kind.REMOTE) if covers(found[1].name, url)]
        return max(there, key=lambda found: len(found[1].name), default=None)

    def _value(self, known: SecretState, told: SecretSet) -> str | None:
        data = value_in(self._key, told, known.boxes(self._machine.me))
        return None if data is None else data.decode(errors="replace")

    # ---- for newcomers ----

    def look(self) -> None:
        """Members or secrets may have changed."""
        self._changed.set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Give keys to members that lack them, until cancelled."""
        while True:
            changed = self._changed
            with trio.move_on_after(max(0.0, self._share() - self._now())):
                await changed.wait()

    def _share(self) -> float:
        """Give what is due; when to look again."""
        now, next_at = self._now(), math.inf
        for known, peers in list(lacking(self._machine)):
            if not known.can_open(self._machine.me):
                continue
            noticed = {peer: self._noticed.setdefault((known.secret, peer), now) for peer in peers}
            pause = self._place(known, now) * _SHARE_PAUSE
            due = [peer for peer, since in noticed.items() if since + pause <= now]
            if due:
                self._give(known, due)
            next_at = min([next_at, *(since + pause for peer, since in noticed.items() if peer not in due)])
        return next_at

    def _place(self, known: SecretState, now: float) -> int:
        """How many live members that can open it come before this one."""
        able = [peer for peer in self._machine.members if known.can_open(peer) and self._machine.live(peer, now)]
        order = sorted(able, key=lambda peer: sha256(known.secret + peer).digest())
        return order.index(self._machine.me) if self._machine.me in order else len(order)

    def _give(self, known: SecretState, peers: list[PeerId]) -> None:
        assert known.told is not None
        self._noticed.update(((known.secret, peer), math.inf) for peer in peers)
        key = key_in(self._key, known.told, known.boxes(self._machine.me))
        keys = boxes(key, peers) if key is not None else ()
        if keys:
            self._take(ShareWanted(known.secret, keys))
            names = ", ".join(self._machine.name_of(peer) for peer, _ in keys)
            log.info("secret_shared", name=known.told.name, peers=names)


def _means(workflow: str, plan: Plan) -> bool:
    """By the workflow's name, its path, or its file's name."""
    wanted = workflow.casefold()
    return wanted in (plan.name.casefold(), plan.path.casefold(), plan.path.rpartition("/")[2].casefold())
