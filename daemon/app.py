"""`clockmeshd`: one peer as a process. Its lock, its log, its signals, and how it tells whoever started it."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
import trio

from clockmesh.daemon.config import Listen, parse_listen
from clockmesh.daemon.control import serve_control
from clockmesh.daemon.errors import ConfigurationError, DaemonError, UsageError
from clockmesh.daemon.home import Home, default_home
from clockmesh.daemon.logsetup import set_up_logs
from clockmesh.daemon.member import Timing
from clockmesh.daemon.service import Service
from clockmesh.runner.faults import FaultError, Faults
from clockmesh.runner.notify import Notifier

log = structlog.get_logger()
_UNSANDBOXED = "jobs run without a sandbox, as this user: submit only workflows that you would run yourself"
_EXAMPLE = "example:\n  clockmeshd --home ~/beta --listen 0.0.0.0:4001"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as `clockmesh` says it."""
        self.exit(UsageError.exit, f"clockmeshd: {message}; see `clockmeshd --help`\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; the exit status of DESIGN 8."""
    try:
        options = _parse(arguments)
        set_up_logs(sys.stderr)
        home = Home(options.home)
        faults = _faults(os.environ)
        with home.locked():
            trio.run(_live, home, options.listen, options.host == "unit", Timing(wall=options.schedule_clock), faults)
    except DaemonError as error:
        return _fail(error)
    except BaseExceptionGroup as group:
        known, rest = group.split(DaemonError)
        if rest is not None:
            raise
        return _fail(_first(known))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="clockmeshd", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EXAMPLE,
                     description="A clockmesh peer. Stop it with SIGTERM; jobs that it runs go on, and the next\n"
                                 "start finds them.")
    parser.add_argument("--home", type=_absolute, default=default_home(os.environ), metavar="DIR",
                        help="where the peer keeps all it has (default: $CLOCKMESH_HOME, else "
                             "$XDG_STATE_HOME/clockmesh)")
    parser.add_argument("--listen", type=_listen, metavar="HOST:PORT",
                        help="where other peers reach it; kept for later starts (default: every address, a free port "
                             "chosen once)")
    parser.add_argument("--host", choices=("own", "unit"), default="own",
                        help="who starts the runner host: this daemon when none answers (own, the default), or a "
                             "service manager (unit, as in clockmeshd.service)")
    parser.add_argument("--schedule-clock", type=fast_clock, default=time.time, metavar="N@E",
                        help="for tests and demonstrations: schedules go by a clock that shows the unix time E at E "
                             "and runs N times as fast; give it to all peers of the mesh alike")
    return parser.parse_args(arguments)


def fast_clock(text: str) -> Callable[[], float]:
    """`60@1800000000`: seconds since 1970, from then on sixty times as fast."""
    match = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)@([0-9]{1,11})", text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed and a unix time, such as 60@1800000000")
    speed, epoch = float(match[1]), int(match[2])
    return lambda: epoch + (time.time() - epoch) * speed


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _listen(text: str) -> Listen:
    try:
        return parse_listen(text)
    except DaemonError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _first(group: BaseExceptionGroup[DaemonError] | None) -> DaemonError:
    """The error that began it; the others are its company."""
    error: BaseException | None = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, DaemonError) else DaemonError("the daemon failed")


def _fail(error: DaemonError) -> int:
    log.error("daemon_failed", error=str(error), exit=error.exit)
    return error.exit


def _faults(environment: Mapping[str, str]) -> Faults:
    try:
        return Faults.from_environment(environment)
    except FaultError as error:
        raise ConfigurationError(str(error)) from error


async def _live(home: Home, listen: Listen | None, host_unit: bool, timing: Timing, faults: Faults) -> None:
    """Be a peer until a signal comes."""
    notifier = Notifier(os.environ)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        service = Service(home, listen=listen, host_unit=host_unit, timing=timing, faults=faults)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
            await nursery.start(service.run)
            await nursery.start(partial(serve_control, service, home))
            _say_ready(service, notifier)
            # What is here now stays. A full collection would look at 90,000 objects each time, in 0.05 to 0.2 s, and
            # at every stored node besides; no beacon leaves meanwhile.
            gc.freeze()
            if period := notifier.watchdog_period:
                nursery.start_soon(_feed_watchdog, service, notifier, period)
            try:
                await trio.sleep_forever()
            finally:
                notifier.stopping()
    log.info("daemon_stopped")


async def _stop_on_signal(signals: trio.abc.ReceiveChannel[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


def _say_ready(service: Service, notifier: Notifier) -> None:
    status = service.status()
    if status.sandbox == "none":
        log.warning("daemon_warned", text=_UNSANDBOXED)
    log.info("daemon_started", peer=status.peer, mesh=status.mesh.hex() if status.mesh else None,
             listen=str(service.listen), socket=str(service.home.control_socket), pid=os.getpid())
    if status.mesh is None:
        log.info("daemon_warned", text="no mesh yet: `clockmesh init` founds one, `clockmesh join LINE` joins one")
    notifier.ready(f"peer {status.peer} at {service.listen}")


async def _feed_watchdog(service: Service, notifier: Notifier, period: float) -> None:
    """A real probe: the event loop turns and the store takes a write, else the watchdog's time runs out."""
    while True:
        await service.probe()
        notifier.alive()
        await trio.sleep(period)


if __name__ == "__main__":
    sys.exit(main())
