"""A peer in a process of its own: stopped, continued, killed; what it prints and what it weighs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import trio

from clockmesh.protocol.ids import MeshId
from tests.integration.network_support import HOST, LONG, NOISE, QUICK, Peer

WATCHFUL = replace(QUICK, silence=1.5, reprieve=1.5)
"""Two processes share a busy machine unevenly: one that only waits for its turn must not be taken for frozen."""

_CHILD = """
import sys, trio
from pathlib import Path
from clockmesh.daemon.network import Network
from clockmesh.protocol.ids import MeshId
from clockmesh.protocol.keys import SigningKey
from tests.integration.network_support import Recorder
from tests.integration.test_network_process import WATCHFUL

seed, port, other, address = sys.argv[1:]
key = SigningKey(bytes.fromhex(seed))

async def main():
    network = Network(key, ("127.0.0.1", int(port)), Recorder(), timing=WATCHFUL)
    network.set_mesh(MeshId(bytes(32)), {bytes.fromhex(other): (address,)})
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: network.run(task_status=task_status))
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_000_000
        print("up", resident, "libp2p.bitswap" in sys.modules, flush=True)
        await trio.lowlevel.wait_readable(0)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def _child(child: Peer, other: Peer) -> subprocess.Popen[bytes]:
    words = [child.key.seed.hex(), str(child.listen[1]), other.id.hex(), other.network.addresses[0]]
    return subprocess.Popen([sys.executable, "-W", "default", "-c", _CHILD, *words], cwd=Path(__file__).parents[2],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def test_a_process_that_is_stopped_is_given_up_and_found_again_when_it_goes_on(nursery: trio.Nursery) -> None:
    here, there = Peer(WATCHFUL), Peer(WATCHFUL)
    here.network.set_mesh(MeshId(bytes(32)), {there.id: there.network.addresses})
    await here.start(nursery)
    process = _child(there, here)
    try:
        await here.recorder.until(lambda: there.id in here.network.connected)
        process.send_signal(signal.SIGSTOP)
        stopped = trio.current_time()
        await here.recorder.until(lambda: there.id not in here.network.connected)
        assert trio.current_time() - stopped < WATCHFUL.silence + WATCHFUL.reprieve + NOISE
        process.send_signal(signal.SIGCONT)
        await here.recorder.until(lambda: there.id in here.network.connected)
        process.kill()
        await here.recorder.until(lambda: there.id not in here.network.connected)
    finally:
        process.kill()
        process.communicate()
    nursery.cancel_scope.cancel()


async def test_a_peer_says_nothing_on_stderr_and_loads_no_more_of_libp2p_than_it_needs(nursery: trio.Nursery) -> None:
    here, there = Peer(WATCHFUL), Peer(WATCHFUL)
    here.network.set_mesh(MeshId(bytes(32)), {there.id: there.network.addresses})
    await here.start(nursery)
    process = _child(there, here)
    try:
        await here.recorder.until(lambda: there.id in here.network.connected)
        async with await trio.open_tcp_stream(HOST, there.listen[1]) as stream:
            await stream.send_all(b"\x13/multistream/1.0.0\n\x07/noise\n" + os.urandom(1000))
        await here.lose(there)
        await here.recorder.until(lambda: there.id in here.network.connected)
        process.stdin.close()
        await here.recorder.until(lambda: there.id not in here.network.connected)
        with trio.move_on_after(LONG):
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        assert process.returncode == 0
    finally:
        process.kill()
        with process.stdout, process.stderr:
            out, said = process.stdout.read(), process.stderr.read()
    word, resident, more = out.splitlines()[0].split()
    assert (word, more) == (b"up", b"False")
    assert int(resident) < 90
    ours = [line for line in said.splitlines() if b"DeprecationWarning" not in line and not line.startswith(b"  ")]
    assert ours == []
    nursery.cancel_scope.cancel()
