"""The first node of a mesh."""

from __future__ import annotations

import os
import time

import structlog
import trio

from clockmesh.daemon.setup import Setup
from clockmesh.daemon.store import META_MESH
from clockmesh.protocol.codec import encode_node, mesh_id
from clockmesh.protocol.events import Description, MeshFounded
from clockmesh.protocol.ids import MeshId

log = structlog.get_logger()
_NONCE_BYTES = 16


async def found(setup: Setup, founder: Description) -> MeshId:
    """Found a mesh with this peer as its only member; durable before it returns. The store must hold no mesh."""
    nonce = os.urandom(_NONCE_BYTES)
    mesh = mesh_id(setup.key.peer, nonce)
    node = encode_node(setup.key, mesh, seq=1, parents=(), previous=None, height=1,
                       wall_ms=int(time.time() * 1000), events=(MeshFounded(nonce, founder),))
    with trio.CancelScope(shield=True):  # who has founded it must go on to enter
        await trio.to_thread.run_sync(setup.store.commit, (node,), {META_MESH: mesh})
    log.info("mesh_founded", mesh=mesh.hex(), peer=founder.name)
    return mesh
