"""Founding and joining with the daemon stopped: the same as through it, in the process of the command."""

from __future__ import annotations

from functools import partial

import trio

from clockmesh.daemon.config import check_slots
from clockmesh.daemon.errors import Conflict, DaemonError, DiskLow
from clockmesh.daemon.founding import found
from clockmesh.daemon.handlers import PeerHandlers
from clockmesh.daemon.home import Home
from clockmesh.daemon.join import join
from clockmesh.daemon.network import Network
from clockmesh.daemon.setup import Setup, prepare
from clockmesh.protocol.events import Description
from clockmesh.protocol.ids import MeshId
from clockmesh.protocol.invitation import Invitation


def init_alone(home: Home, name: str | None = None, slots: int | None = None) -> tuple[MeshId, str]:
    """Found a mesh; its id and this peer's name. HomeLocked while a daemon runs; else as `Service.init`."""
    with home.locked():
        return trio.run(_init, home, name, slots)


def join_alone(home: Home, line: str, name: str | None = None, slots: int | None = None) -> tuple[MeshId, str]:
    """Join a mesh; its id and this peer's name. HomeLocked while a daemon runs; else as `Service.join`."""
    invitation = Invitation.from_line(line)
    with home.locked():
        try:
            return trio.run(_join, home, invitation, name, slots)
        except BaseExceptionGroup as group:
            raise _only(group) from None


async def _init(home: Home, name: str | None, slots: int | None) -> tuple[MeshId, str]:
    setup = _fresh(home)
    try:
        network = _network(setup)
        description = _describe(setup, network, name, slots)
        return await found(setup, description), description.name
    finally:
        setup.store.close()


async def _join(home: Home, invitation: Invitation, name: str | None, slots: int | None) -> tuple[MeshId, str]:
    setup = _fresh(home)
    try:
        network = _network(setup)
        description = _describe(setup, network, name, slots)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(network.run))
            mesh = await join(setup, network, invitation, description)
            nursery.cancel_scope.cancel()
        return mesh, description.name
    finally:
        setup.store.close()


def _fresh(home: Home) -> Setup:
    setup = prepare(home)
    if mesh := setup.store.mesh:
        setup.store.close()
        raise Conflict(f"this peer belongs to mesh {mesh.hex()[:12]} already; another one needs another home "
                       "(--home DIR)")
    try:
        setup.reserve.refuse_when_low()
    except DiskLow:
        setup.store.close()
        raise
    return setup


def _network(setup: Setup) -> Network:
    return Network(setup.key, (setup.listen.host, setup.listen.port), PeerHandlers())


def _describe(setup: Setup, network: Network, name: str | None, slots: int | None) -> Description:
    return setup.describe(name, None if slots is None else check_slots(slots), tuple(network.addresses))


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that a nursery wrapped."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if not isinstance(error, BaseExceptionGroup) else DaemonError(str(error))
