"""Logs and changes of runs as JSON lines, as they come, for as long as a run goes on.

Whoever is slow to read is waited for: nothing is buffered here, so a reader that stops stops the reading of logs too,
and nothing else.
"""

from __future__ import annotations

import codecs
import json
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from clockmesh.coordinator.view import JobView, run_view
from clockmesh.daemon import surface
from clockmesh.daemon.control_http import Send, json_line
from clockmesh.daemon.errors import NotFound
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import JobKey, RunId

_LAST_LINES_S = 5.0
"""After a job's end its last log lines may still be on their way from the peer that ran it."""


async def log_lines(service: Service, run: RunId, key: JobKey | None, follow: bool, send: Send) -> None:
    """The log of one job or of all, in the plan's order. `follow`: as the lines come, until the job (or run) has
    ended. What cannot be had is a line with `missing` instead of `text`."""
    async with aclosing(service.read_log(run, key, follow=follow)) as lines:
        async for line in lines:
            if line.missing:
                await send(json_line({"job": line.key, "missing": line.missing}))
            else:
                await send(json_line(surface.log_json(line.key, _record(line.line))))


async def summary_lines(service: Service, run: RunId, send: Send) -> None:
    """The step summaries, each piece one line; the pieces of a job joined are its text."""
    decoders: dict[JobKey, codecs.IncrementalDecoder] = {}
    async with aclosing(service.read_summaries(run)) as parts:
        async for part in parts:
            decoder = decoders.setdefault(part.key, codecs.getincrementaldecoder("utf-8")("replace"))
            await send(json_line({"job": part.key, "text": decoder.decode(part.text)}))


async def follow(service: Service, run: RunId, logs: bool, send: Send) -> None:
    """Each change of the run and its jobs, with `logs` their log lines too; the last line is the event `end`."""
    teller = _Teller(service, run, logs, send)
    await teller.tell()
    await teller.end()


@dataclass(slots=True)
class _Teller:
    service: Service
    run: RunId
    logs: bool
    send: Send
    _one_line: trio.Lock = field(default_factory=trio.Lock)
    _told: dict[JobKey, surface.Json] = field(default_factory=dict)
    _begun: set[JobKey] = field(default_factory=set)
    _reading: dict[JobKey, trio.Event] = field(default_factory=dict)
    """Jobs whose log is being read, and what tells its end."""

    async def tell(self) -> None:
        """Until the run has ended and its logs are read."""
        async with trio.open_nursery() as nursery:
            while True:
                view = run_view(self.service.machine, self.run)
                await self.service.settled(self.run)
                for job in view.jobs:
                    if self.logs and job.peer and job.key not in self._begun:
                        self._begun.add(job.key)
                        self._reading[job.key] = trio.Event()
                        nursery.start_soon(self._read_log, job.key)
                    await self._tell_change(job)
                if view.conclusion:
                    break
                if view == run_view(self.service.machine, self.run):
                    await self.service.wait_changed(self.run)
            nursery.cancel_scope.deadline = trio.current_time() + _LAST_LINES_S

    async def end(self) -> None:
        view = run_view(self.service.machine, self.run)
        await self.service.settled(self.run)
        for job in view.jobs:
            await self._tell_change(job)
        shown = surface.run_json(view, self.service.machine.name_of)
        shown.pop("jobs")
        await self._line({"event": "end", **shown})

    async def _read_log(self, key: JobKey) -> None:
        try:
            async with aclosing(self.service.read_log(self.run, key, follow=True)) as lines:
                async for line in lines:
                    if not line.missing:
                        await self._line({"event": "log", **surface.log_json(line.key, _record(line.line))})
        except NotFound:
            return
        finally:
            self._reading.pop(key).set()

    async def _tell_change(self, job: JobView) -> None:
        """A job's end after its last log line: nobody wants to read them in the other order."""
        now = surface.job_json(job, self.service.machine.name_of)
        if self._told.get(job.key) == now:
            return
        if job.conclusion and (log := self._reading.get(job.key)) is not None:
            with trio.move_on_after(_LAST_LINES_S):
                await log.wait()
        self._told[job.key] = now
        await self._line({"event": "job", **now})

    async def _line(self, value: surface.Json) -> None:
        async with self._one_line:
            await self.send(json_line(value))


def _record(line: bytes) -> dict[str, object]:
    """A line of a log file; one that a peer has damaged is shown as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    return record if isinstance(record, dict) else {"text": line.decode(errors="replace")}
