"""A booted systemd to install into: an overlay of this machine's root in systemd-nspawn, with no network but its own
loopback. What happens in it leaves nothing outside."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clockmesh.daemon.demo.peers import wait_until

SOURCE = Path(__file__).parents[2]
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                "SYSTEMD_PAGER=")
_BOOT_LIMIT_S = 60.0
_HALT_LIMIT_S = 30.0
_PROPAGATE = Path("/run/systemd/nspawn/propagate")
_NSPAWN_LEFT = (_PROPAGATE, _PROPAGATE.parent)


@dataclass(frozen=True, slots=True)
class Booted:
    """A running system. `root` is its root folder as seen from outside, without what it has mounted itself."""

    root: Path
    leader: int

    def run(self, *words: str, good: Sequence[int] = (0,), folder: str = "/root", limit: float = 120.0) -> str:
        """What a command prints that root types in there, standard error with it."""
        enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", f"--wdns={folder}"]
        done = subprocess.run([*enter, "env", "-i", *_ENVIRONMENT, *words], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit)
        assert done.returncode in good, f"`{' '.join(words)}` exited {done.returncode}: {done.stdout}"
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()


def why_not() -> str:
    """Why no systemd can be booted here, with what to type; '' where one can."""
    if os.geteuid() != 0:
        return "booting a systemd needs root; type: sudo ./dev accept tests/acceptance/test_systemd.py"
    if not shutil.which("systemd-nspawn") or not Path("/lib/systemd/systemd").exists():
        return "no systemd to boot; type: apt-get install systemd systemd-container"
    with _mounted(Path(tempfile.mkdtemp(prefix="cm-try-"))) as merged:
        return "" if merged else "the root cannot be overlaid here"


@contextmanager
def booted(*copies: tuple[Path, str]) -> Iterator[Booted]:
    """Boot, with each (folder here, path there) copied in before; halt it and leave nothing when the block ends."""
    with _mounted(Path(tempfile.mkdtemp(prefix="cm-boot-"))) as merged:
        assert merged is not None
        for folder, there in copies:
            shutil.copytree(folder, merged / there.lstrip("/"))
        (merged / "etc/machine-id").write_text("")
        name = f"clockmesh-{secrets.token_hex(4)}"
        command = ["systemd-nspawn", "-D", str(merged), f"--machine={name}", "--register=no", "--keep-unit",
                   "--private-network", "--boot", "--console=read-only"]
        console = merged.parent / "console"
        with console.open("wb") as output:
            nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                      start_new_session=True)
        try:
            yield _wait_booted(nspawn, merged, console)
        finally:
            _halt(nspawn)
            for folder in (_PROPAGATE / name, *_NSPAWN_LEFT):
                with suppress(OSError):  # another machine's, or never made
                    folder.rmdir()


def _wait_booted(nspawn: subprocess.Popen[bytes], merged: Path, console: Path) -> Booted:
    def up() -> bool:
        assert nspawn.poll() is None, f"systemd does not boot: {console.read_text(errors='replace')[-2000:]}"
        leader = _leader(nspawn.pid)
        states = ("running", "degraded")
        return bool(leader) and Booted(merged, leader).run(
            "systemctl", "is-system-running", good=range(256)).strip() in states

    wait_until(up, "systemd has booted", _BOOT_LIMIT_S)
    return Booted(merged, _leader(nspawn.pid))


def _leader(nspawn: int) -> int:
    """The machine's process 1, as it is numbered here; 0 while there is none."""
    with suppress(OSError):
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return 0


def _halt(nspawn: subprocess.Popen[bytes]) -> None:
    """SIGTERM makes systemd-nspawn halt its machine in order."""
    leader = _leader(nspawn.pid)
    nspawn.terminate()
    try:
        nspawn.wait(_HALT_LIMIT_S)
    except subprocess.TimeoutExpired:
        if leader:
            os.kill(leader, 9)
        nspawn.kill()
        nspawn.wait()


@contextmanager
def _mounted(folder: Path) -> Iterator[Path | None]:
    """An overlay over /, its changes in memory; None where that cannot be mounted."""
    merged = folder / "merged"
    mounted: list[Path] = []
    try:
        if _mount("-t", "tmpfs", "-o", "size=2g", "clockmesh-test", str(folder)):
            mounted.append(folder)
            for name in ("upper", "work", "merged"):
                (folder / name).mkdir()
            layers = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
            if _mount("-t", "overlay", "-o", layers, "clockmesh-test", str(merged)):
                mounted.append(merged)
        yield merged if merged in mounted else None
    finally:
        for place in reversed(mounted):
            subprocess.run(["umount", str(place)], check=True)
        folder.rmdir()


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], stderr=subprocess.DEVNULL).returncode == 0


def wheels(folder: Path) -> str:
    """Fill `folder` as docs/systemd.md says; what went wrong, or ''."""
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder), str(SOURCE)],
                          capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr[-500:]
