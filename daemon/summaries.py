"""A run's step summaries, from whichever peer has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from clockmesh.coordinator.view import run_view
from clockmesh.daemon.logfiles import follow_file
from clockmesh.daemon.logs import have_blob
from clockmesh.daemon.member import Member
from clockmesh.protocol.ids import JobKey, RunId


@dataclass(frozen=True, slots=True)
class SummaryPart:
    key: JobKey
    text: bytes
    """A piece of at most limits.MAX_LOG_DATA bytes, which may end within a character."""


async def read(member: Member, run: RunId) -> AsyncGenerator[SummaryPart, None]:
    """See `Service.read_summaries`."""
    for job in run_view(member.machine, run).jobs:
        blob = job.report.summary
        if blob is not None and await have_blob(member, blob, job.peer):
            async for data in follow_file(member.blobs.path(blob), 0, None):
                yield SummaryPart(job.key, data)
