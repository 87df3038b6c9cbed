"""One request to a verb of the control API, as the functions that answer it get it."""

from __future__ import annotations

from dataclasses import dataclass

from clockmesh.daemon.control_http import Request
from clockmesh.daemon.service import Service
from clockmesh.protocol.ids import RunId, ScheduleId


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a verb."""

    service: Service
    request: Request
    named: str
    """What stands for {run} or {schedule} in the path."""

    @property
    def run(self) -> RunId:
        """The run that is meant; see `Service.find_run`."""
        return self.service.find_run(self.named)

    @property
    def schedule(self) -> ScheduleId:
        """The schedule that is meant; see `Service.find_schedule`."""
        return self.service.find_schedule(self.named)

    def flag(self, name: str) -> bool:
        return self.request.query.get(name, "0") not in ("", "0", "false")
