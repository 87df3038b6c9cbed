"""External jobs in real daemons' parts, the programs played by the test: claims, takeover, needs, cancel."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from clockmesh.daemon import external
from clockmesh.daemon.errors import Conflict
from clockmesh.protocol.ids import AttemptRef
from clockmesh.protocol.result import Conclusion
from tests.integration.daemon_support import Bench, Peer, bench, ended, until

ONE = b"name: t\nlabels: [p2p-workflow, external]\non: push\njobs:\n  a: {runs-on: ubuntu-latest}\n"
TWO = ONE + b"  b: {runs-on: ubuntu-latest, needs: a}\n"


def offers(*peers: Peer) -> bool:
    """All of these see all of these offer the label."""
    names = {peer.name for peer in peers}
    return all("external" in other.labels for peer in peers for other in peer.service.peers() if other.name in names)


async def at_work(made: Bench, peer: Peer, worker: str) -> None:
    """A program that lives beats at this peer for as long as the bench stands."""
    async def beat() -> None:
        while not peer.scope.cancel_called:
            peer.service.external.beat(worker)
            await trio.sleep(0.5)

    made._nursery.start_soon(beat)
    await until(lambda: offers(peer), f"{peer.name} offers the label")


async def taken(*workers: tuple[Peer, str]) -> tuple[Peer, str, AttemptRef]:
    """The first attempt that one of these programs gets."""
    found: list[tuple[Peer, str, AttemptRef]] = []

    def look() -> bool:
        for peer, worker in workers:
            found.extend((peer, worker, ref) for ref in peer.service.external.take(worker))
        return bool(found)

    await until(look, "a program got an attempt")
    return found[0]


async def follow_its_log(peer: Peer, ref: AttemptRef) -> None:
    """It has none; who follows it is let go when the run ends."""
    with trio.fail_after(20):
        assert [line async for line in peer.service.read_log(ref.run, follow=True)] == []


async def test_a_program_executes_a_run_that_its_peer_claimed(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        run = await alpha.service.submit(ONE, "t.yml")
        await trio.sleep(1)
        assert alpha.job(run).status == "pending", "no program, no claim"
        await at_work(made, alpha, "one")
        _, _, ref = await taken((alpha, "one"))
        assert ref.run == run
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow_its_log, alpha, ref)
            await trio.sleep(0.2)
            alpha.service.external.end("one", ref, Conclusion.SUCCESS, (("items", "100"),), "")
        view = await ended(alpha, run)
        assert (view.conclusion, view.jobs[0].outputs) == (Conclusion.SUCCESS, {"items": "100"})


async def test_what_a_silent_program_had_goes_to_another_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "SILENT_S", 3.0)
    async with bench(tmp_path) as made:
        alpha, beta, _ = await made.mesh("alpha", "beta", "gamma")
        for peer in (alpha, beta):
            peer.service.external.beat("first")
        await until(lambda: offers(alpha, beta), "both offer the label")
        run = await alpha.service.submit(ONE, "t.yml")
        first, _, ref = await taken((alpha, "first"), (beta, "first"))
        other = beta if first is alpha else alpha
        await at_work(made, other, "second")
        _, _, again = await taken((other, "second"))
        assert (again.run, again.key) == (run, ref.key)
        assert again.attempt > ref.attempt
        with pytest.raises(Conflict):
            first.service.external.end("first", ref, Conclusion.SUCCESS, (), "")
        other.service.external.end("second", again, Conclusion.SUCCESS, (), "")
        assert (await ended(first, run)).jobs[0].attempt == again.attempt


async def test_what_needs_a_failed_job_is_skipped_and_a_cancel_reaches_the_program(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        alpha = await made.start("alpha")
        await alpha.service.init("alpha")
        await at_work(made, alpha, "one")
        run = await alpha.service.submit(TWO, "t.yml")
        _, _, ref = await taken((alpha, "one"))
        alpha.service.external.end("one", ref, Conclusion.FAILURE, (), "no such site")
        view = await ended(alpha, run)
        assert [job.conclusion for job in view.jobs] == [Conclusion.FAILURE, Conclusion.SKIPPED]
        assert view.jobs[0].error == "no such site"
        run = await alpha.service.submit(ONE, "t.yml")
        _, _, ref = await taken((alpha, "one"))
        await alpha.service.cancel(run)
        await until(lambda: alpha.service.external.beat("one") == ([ref], [ref]), "the program is told")
        alpha.service.external.end("one", ref, Conclusion.CANCELLED, (), "")
        assert (await ended(alpha, run)).conclusion is Conclusion.CANCELLED
