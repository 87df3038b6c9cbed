"""The link to the runner host: asked before anything else, and what dies with it is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from clockmesh.daemon.errors import HostError
from clockmesh.daemon.home import Home
from clockmesh.daemon.hostlink import HostLink
from clockmesh.protocol.ids import AttemptRef, JobKey, RunId
from clockmesh.protocol.plan import Plan, PlannedJob, Snapshot
from clockmesh.runner.host_messages import (
    Command,
    CommandReader,
    Ended,
    Extend,
    Hello,
    Jobs,
    KnownJob,
    Report,
    Start,
    pack_report,
    socket_path,
)
from clockmesh.runner.spec import JobSpec

RUN = RunId(b"r" * 32)
KNOWN = AttemptRef(RUN, JobKey("known"), 1)
NEW = AttemptRef(RUN, JobKey("new"), 1)
PLAN = Plan("t", "t.yml", None, Snapshot(), "push", (PlannedJob(JobKey("new"), "new"),))


def start(ref: AttemptRef) -> Start:
    return Start(JobSpec(ref.run.hex(), ref.key, ref.attempt, PLAN), 100.0)


class FakeHost:
    """Answers `jobs` to each hello; keeps what it is told."""

    def __init__(self, home: Home, *jobs: KnownJob) -> None:
        self.home = home
        self.jobs = jobs
        self.told: list[Command] = []
        self.streams: list[trio.SocketStream] = []

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(str(socket_path(self.home.path)))
        sock.listen()
        await trio.serve_listeners(self._talk, [trio.SocketListener(sock)], task_status=task_status)

    async def _talk(self, stream: trio.SocketStream) -> None:
        reader = CommandReader()
        self.streams.append(stream)
        with suppress(trio.ClosedResourceError):
            while data := await stream.receive_some(65536):
                for command in reader.feed(data):
                    self.told.append(command)
                    if isinstance(command, Hello):
                        await stream.send_all(pack_report(Jobs(self.jobs)))

    async def report(self, *reports: Report) -> None:
        await self.streams[-1].send_all(b"".join(pack_report(report) for report in reports))

    async def heard(self, count: int) -> None:
        with trio.fail_after(5):
            while len(self.told) < count:  # noqa: ASYNC110
                await trio.sleep(0.005)


@asynccontextmanager
async def linked(tmp_path: Path, *jobs: KnownJob) -> AsyncIterator[tuple[FakeHost, HostLink, list[Report]]]:
    home = Home(tmp_path)
    host = FakeHost(home, *jobs)
    reports: list[Report] = []
    link = HostLink(home, 3, 15.0, reports.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(host.serve)
        yield host, link, reports
        nursery.cancel_scope.cancel()


async def test_the_host_is_greeted_with_the_incarnation_before_all_else(tmp_path: Path) -> None:
    async with linked(tmp_path, KnownJob(KNOWN, 50.0, False)) as (host, link, _):
        assert (await link.connect()).jobs == (KnownJob(KNOWN, 50.0, False),)
        assert host.told == [Hello(3, 15.0)]


async def test_commands_and_reports_keep_their_order(tmp_path: Path) -> None:
    async with linked(tmp_path) as (host, link, reports), trio.open_nursery() as nursery:
        await link.connect()
        nursery.start_soon(link.run)
        link.send(start(NEW))
        for deadline in range(5):
            link.send(Extend(NEW, float(deadline)))
        await host.heard(7)
        assert host.told[1:] == [start(NEW), *(Extend(NEW, float(deadline)) for deadline in range(5))]
        await host.report(Ended(NEW, b"x"), Ended(KNOWN, None, "deadline"))
        with trio.fail_after(5):
            while len(reports) < 2:  # noqa: ASYNC110
                await trio.sleep(0.005)
        assert reports == [Ended(NEW, b"x"), Ended(KNOWN, None, "deadline")]
        nursery.cancel_scope.cancel()


async def test_what_a_dead_host_had_is_reported_once_its_successor_answers(tmp_path: Path) -> None:
    async with linked(tmp_path, KnownJob(KNOWN, 50.0, False)) as (host, link, reports), trio.open_nursery() as nursery:
        await link.connect()
        nursery.start_soon(link.run)
        link.send(start(NEW))
        await host.heard(2)
        assert not reports
        await host.streams[-1].aclose()
        await host.heard(3)
        with trio.fail_after(5):
            while not reports:  # noqa: ASYNC110
                await trio.sleep(0.005)
        assert [(report.ref, report.result) for report in reports if isinstance(report, Ended)] == [(NEW, None)]
        nursery.cancel_scope.cancel()


async def test_a_start_that_no_host_was_sent_goes_to_the_next_host_and_is_not_called_lost(tmp_path: Path) -> None:
    async with linked(tmp_path, KnownJob(KNOWN, 50.0, False)) as (host, link, reports), trio.open_nursery() as nursery:
        await link.connect()
        nursery.start_soon(link.run)
        await trio.testing.wait_all_tasks_blocked()
        await host.streams[-1].aclose()
        host.jobs = ()
        while link._stream is not None:
            await trio.lowlevel.checkpoint()
        link.send(start(NEW))
        await host.heard(3)
        assert host.told[1:] == [Hello(3, 15.0), start(NEW)]
        assert [report.ref for report in reports if isinstance(report, Ended)] == [KNOWN]
        nursery.cancel_scope.cancel()


async def test_a_host_that_cannot_start_is_said_with_the_file_to_look_at(tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    monkeypatch.setattr("clockmesh.daemon.hostlink._GREET_PAUSES", ())
    with pytest.raises(HostError, match=r"host\.log"):
        await HostLink(Home(tmp_path), 1, 15.0, lambda report: None).connect()


async def test_a_link_to_a_unit_waits_for_it_and_starts_no_host_of_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path)
    host = FakeHost(home)
    link = HostLink(home, 3, 15.0, lambda report: None, unit=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.connect)
        await trio.testing.wait_all_tasks_blocked()  # it has dialled in vain
        assert not home.host_log.exists()
        await nursery.start(host.serve)
        await host.heard(1)
        nursery.cancel_scope.cancel()


async def test_a_unit_that_does_not_come_up_is_said_with_its_journal(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clockmesh.daemon.hostlink._GREET_PAUSES", ())
    monkeypatch.setattr("clockmesh.daemon.hostlink._START_SECONDS", 0.05)
    with pytest.raises(HostError, match="journalctl -u clockmesh-host"):
        await HostLink(Home(tmp_path), 1, 15.0, lambda report: None, unit=True).connect()
