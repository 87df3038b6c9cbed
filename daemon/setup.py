"""What a peer starts from: its home read once, each part checked, nothing running yet."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass

from clockmesh.daemon.blobs import BlobStore
from clockmesh.daemon.config import Config, Listen, check_name, parse_listen, read_config
from clockmesh.daemon.errors import ConfigurationError
from clockmesh.daemon.home import Home
from clockmesh.daemon.identity import load_or_create
from clockmesh.daemon.network_address import free_port
from clockmesh.daemon.reserve import Reserve
from clockmesh.daemon.store import META_LISTEN, META_RETIRED, Store
from clockmesh.protocol.events import Description
from clockmesh.protocol.keys import SigningKey
from clockmesh.runner.sandbox import NETWORK_OFF

_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
"""What GitHub calls them in runs-on."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One peer, as its home describes it."""

    home: Home
    key: SigningKey
    config: Config
    listen: Listen
    """The port chosen."""
    store: Store
    blobs: BlobStore
    reserve: Reserve

    def describe(self, name: str | None, slots: int | None, addresses: tuple[str, ...],
                 known: Description | None = None) -> Description:
        """How this peer introduces itself: what is asked for now, then config.yml, then what the mesh knows already,
        then the machine's own. UsageError for a name that no peer may have."""
        chosen = self.config.name or (known.name if known else host_name()) if name is None else name
        return Description(check_name(chosen), self._slots(slots, known), labels(self.config), addresses)

    def _slots(self, slots: int | None, known: Description | None) -> int:
        for choice in (slots, self.config.slots, known.slots if known else None):
            if choice is not None:
                return choice
        return max(2, os.cpu_count() or 1)


def prepare(home: Home, listen: Listen | None = None) -> Setup:
    """Read the home (its lock held), making what is not there. `listen` overrides the configured address and is kept.

    ConfigurationError where a part is damaged, another peer's, or unknown."""
    home.make()
    config = read_config(home.config)
    key = load_or_create(home.identity)
    blobs = BlobStore(home.blobs)
    reserve = Reserve(home.reserve, config.reserve)
    store = Store.open(home.store, key.peer, reserve)
    if reason := store.get(META_RETIRED):
        raise ConfigurationError(reason.decode())
    return Setup(home, key, config, _settle_listen(store, listen or config.listen), store, blobs, reserve)


def _settle_listen(store: Store, wanted: Listen | None) -> Listen:
    """The address that this peer keeps: a port once chosen stays, since the other peers know it."""
    kept = store.get(META_LISTEN)
    known = parse_listen(kept.decode()) if kept else Listen(parse_listen(":0").host, 0)
    listen = wanted or known
    if listen.port == 0:
        same = known.port and known.host == listen.host
        listen = known if same else Listen(listen.host, _free_port(listen.host))
    if kept is None or str(listen) != kept.decode():
        store.commit((), {META_LISTEN: str(listen).encode()})
    return listen


def _free_port(host: str) -> int:
    try:
        return free_port(host)
    except OSError as error:
        raise ConfigurationError(f"cannot listen at {host}: {error.strerror}; set `listen` in config.yml or give "
                                 "--listen HOST:PORT") from error


def host_name() -> str:
    """This machine's name as a peer may have it."""
    name = socket.gethostname().split(".")[0]
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in name)
    return kept.strip("-_")[:63] or "peer"


def labels(config: Config) -> tuple[str, ...]:
    """What this peer offers jobs, lower case and sorted: system, architecture, host name, and its owner's labels."""
    machine = platform.machine().lower()
    own = {platform.system().lower(), _ARCHITECTURES.get(machine, machine), host_name().lower()}
    if config.jobs_sandbox.on:
        own.add(NETWORK_OFF)
    return tuple(sorted(own | set(config.labels)))
