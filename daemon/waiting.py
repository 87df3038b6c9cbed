"""Those who wait: for a request to become durable, and for something to see to change."""

from __future__ import annotations

import trio

from clockmesh.protocol.ids import RunId


class Answers:
    """Requests on their way through the machine and the commit, each with a token that comes back."""

    def __init__(self) -> None:
        self._last = 0
        self._waiting: dict[int, trio.Event] = {}
        self._runs: dict[int, RunId | None] = {}

    def token(self) -> int:
        """A new request's; wait for it or `forget` it."""
        self._last += 1
        self._waiting[self._last] = trio.Event()
        return self._last

    def forget(self, token: int) -> None:
        """The request was refused: nobody will answer."""
        self._waiting.pop(token, None)
        self._runs.pop(token, None)

    def give(self, token: int, run: RunId | None) -> None:
        if (event := self._waiting.get(token)) is not None:
            self._runs[token] = run
            event.set()

    async def wait(self, token: int) -> RunId | None:
        """Until what was asked for is durable. A waiter that is cancelled gives up the answer, not the request."""
        try:
            await self._waiting[token].wait()
            return self._runs[token]
        finally:
            self.forget(token)


class Changes:
    """Wakes those who look at runs."""

    def __init__(self) -> None:
        self._of_run: dict[RunId, trio.Event] = {}
        self._of_any = trio.Event()

    def next(self, run: RunId | None = None) -> trio.Event:
        """Set at the next change of `run`, or of any run."""
        return self._of_any if run is None else self._of_run.setdefault(run, trio.Event())

    async def wait(self, run: RunId | None = None) -> None:
        """Until the next change of `run`, or of any run. What changed before the call does not count."""
        await self.next(run).wait()

    def tell(self, run: RunId) -> None:
        if (event := self._of_run.pop(run, None)) is not None:
            event.set()
        self._of_any.set()
        self._of_any = trio.Event()
