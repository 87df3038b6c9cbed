"""The home: one folder that holds all a peer keeps. Where each thing lies, and the lock that makes it one daemon's.

    identity.key   the peer's secret seed, 0600
    config.yml     what its owner set (optional)
    clockmesh.lock held by the daemon, or by a command that changes a stopped peer's home
    state.db       nodes, invitations and small facts (SQLite)
    blobs/         content named by its hash
    reserve        room kept on the disk for votes and results
    jobs/          the runner host's working folders
    host.sock      the runner host's socket
    control.sock   the daemon's socket
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clockmesh.daemon.errors import ConfigurationError, HomeLocked


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one peer's home."""

    path: Path

    @property
    def identity(self) -> Path:
        return self.path / "identity.key"

    @property
    def config(self) -> Path:
        return self.path / "config.yml"

    @property
    def lock(self) -> Path:
        return self.path / "clockmesh.lock"

    @property
    def store(self) -> Path:
        return self.path / "state.db"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def reserve(self) -> Path:
        return self.path / "reserve"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def host_socket(self) -> Path:
        return self.path / "host.sock"

    @property
    def host_log(self) -> Path:
        return self.path / "host.log"

    @property
    def control_socket(self) -> Path:
        return self.path / "control.sock"

    def make(self) -> None:
        """Create the folder, for its owner alone. ConfigurationError when it cannot be, or is another user's or open
        to others."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.path.stat()
        except OSError as error:
            raise ConfigurationError(f"cannot use the home {self.path}: {error.strerror}; name another with "
                                     "--home DIR or CLOCKMESH_HOME") from error
        if status.st_uid != os.geteuid():
            raise ConfigurationError(f"the home {self.path} belongs to uid {status.st_uid}, not to you (uid "
                                     f"{os.geteuid()}); run as its owner, or name another with --home DIR")
        if stat.S_IMODE(status.st_mode) & 0o077:
            self._close_to_others()

    def _close_to_others(self) -> None:
        """A folder that was made by hand (`mkdir`) and is still empty becomes private; a used one is refused."""
        if any(self.path.iterdir()):
            raise ConfigurationError(f"the home {self.path} is open to other users; close it with "
                                     f"`chmod 700 {self.path}`")
        self.path.chmod(0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home. HomeLocked when someone else does; the lock ends with the process, however it ends."""
        self.make()
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "another process"
            os.close(descriptor)
            raise HomeLocked(f"the home {self.path} is in use by process {holder}; stop it first, or name another "
                             "home with --home DIR") from error
        try:
            with suppress(OSError):  # only for people to read: a full disk must not keep the daemon from starting
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def default_home(environment: Mapping[str, str]) -> Path:
    """$CLOCKMESH_HOME, else $XDG_STATE_HOME/clockmesh, else ~/.local/state/clockmesh. Absolute."""
    if chosen := environment.get("CLOCKMESH_HOME"):
        return Path(chosen).expanduser().absolute()
    state = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".local/state")
    return Path(state).absolute() / "clockmesh"
