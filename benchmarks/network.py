"""What the network costs and how fast it is, on loopback: `python -m benchmarks.network [--seconds N]`.

- node: from `publish` to the last of two members' handlers, idle mesh of three; p50 and p99 in ms, and the ratio to one
  round trip of 256 bytes over a bare TCP connection in the same process.
- burst: nodes a second while one peer publishes as fast as it can (three peers share this process and its core).
- ask: a request with one answer, on a stream of its own.
- blob: answers of 128 KiB, MB/s, and the ratio to a bare TCP connection.
- idle: three processes that send a beacon each second; CPU (share of one core) and resident memory of each.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import trio

from clockmesh.daemon.network import Network, free_port
from clockmesh.protocol.ids import MeshId, PeerId
from clockmesh.protocol.keys import SigningKey
from clockmesh.protocol.messages import BlobChunk, BlobRequest, JoinRefused, JoinRequest, Message, SyncDone, SyncRequest

_HOST = "127.0.0.1"
_MESH = MeshId(bytes(32))
_CHUNK = os.urandom(128 * 1024)
_CHUNKS = 512
_NODE = 256
_BEACON = bytes(300)
_SETTLING_S = 1.0
"""Two peers that dialled together drop one of their connections."""
_PATIENCE_S = 10.0
"""A node that has not come by then is lost."""


class _Ends:
    """Handlers that count, and wake who waits."""

    def __init__(self) -> None:
        self.all: list[PeerId] = []
        """All members: each hears every other, so that nothing is passed on."""
        self.nodes = 0
        self.last = 0.0
        self.news = trio.Event()

    async def gossiped(self, _peer: PeerId, _data: bytes) -> frozenset[PeerId] | None:
        self.nodes += 1
        self.last = time.perf_counter()
        self.news.set()
        self.news = trio.Event()
        return frozenset(self.all)

    async def beaconed(self, _peer: PeerId, _data: bytes) -> None:
        return None

    async def asked(self, _peer: PeerId, message: Message) -> AsyncIterator[Message]:
        if isinstance(message, BlobRequest):
            for number in range(_CHUNKS):
                yield BlobChunk(number, _CHUNK)
        else:
            yield SyncDone({})

    async def joined(self, _peer: PeerId, _request: JoinRequest) -> AsyncIterator[Message]:
        yield JoinRefused("a benchmark")

    def connected(self, _peer: PeerId) -> None:
        return None

    def disconnected(self, _peer: PeerId) -> None:
        return None

    async def until(self, count: int) -> bool:
        """False after a while: gossip may lose a node where a connection is replaced, and here nobody syncs."""
        with trio.move_on_after(_PATIENCE_S):
            while self.nodes < count:
                await self.news.wait()
        return self.nodes >= count


def _networks(keys: list[SigningKey], ports: list[int], own: range) -> tuple[list[Network], list[_Ends]]:
    ends = [_Ends() for _ in own]
    networks = [Network(keys[each], (_HOST, ports[each]), end) for each, end in zip(own, ends, strict=True)]
    peers = {key.peer: (f"/ip4/{_HOST}/tcp/{port}",) for key, port in zip(keys, ports, strict=True)}
    for network, end in zip(networks, ends, strict=True):
        network.set_mesh(_MESH, peers)
        end.all = list(peers)
    return networks, ends


async def _run(network: Network, task_status: trio.TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
    await network.run(task_status=task_status)


async def _measure() -> None:
    keys = [SigningKey(os.urandom(32)) for _ in range(3)]
    networks, ends = _networks(keys, [free_port(_HOST) for _ in keys], range(3))
    async with trio.open_nursery() as nursery:
        for network in networks:
            await nursery.start(_run, network)
        while not all(len(network.connected) == 2 for network in networks):  # noqa: ASYNC110
            await trio.sleep(0.01)
        await trio.sleep(_SETTLING_S)
        bare_trip, bare_rate = await _bare()
        latencies = await _latencies(networks[0], ends[1:])
        p50, p99 = statistics.median(latencies), sorted(latencies)[int(len(latencies) * 0.99)]
        print(f"node    p50 {p50 * 1e3:6.2f} ms   p99 {p99 * 1e3:6.2f} ms   {p50 / bare_trip:5.1f} x a bare round trip")
        print(f"burst   {await _burst(networks[0], ends[1:]):6.0f} nodes/s to each of two")
        print(f"ask     {await _asks(networks[0], keys[1].peer):6.0f} requests/s one after another")
        rate = await _blob(networks[0], keys[1].peer)
        print(f"blob    {rate / 1e6:6.0f} MB/s   {rate / bare_rate:5.2f} x a bare connection")
        nursery.cancel_scope.cancel()


async def _latencies(network: Network, ends: list[_Ends]) -> list[float]:
    found = []
    for _ in range(300):
        counts = [end.nodes + 1 for end in ends]
        begun = time.perf_counter()
        await network.publish(os.urandom(_NODE))
        if all([await end.until(count) for end, count in zip(ends, counts, strict=True)]):
            found.append(max(end.last for end in ends) - begun)
        await trio.sleep(0.01)
    return found


async def _burst(network: Network, ends: list[_Ends]) -> float:
    before, begun = [end.nodes for end in ends], time.perf_counter()
    for _ in range(800):
        await network.publish(os.urandom(_NODE))
    for end, count in zip(ends, before, strict=True):
        await end.until(count + 800)
    came = min(end.nodes - count for end, count in zip(ends, before, strict=True))
    return came / (max(end.last for end in ends) - begun)


async def _asks(network: Network, peer: PeerId) -> float:
    begun = time.perf_counter()
    for _ in range(300):
        async with network.ask(peer, SyncRequest({})) as answers:
            async for _each in answers:
                pass
    return 300 / (time.perf_counter() - begun)


async def _blob(network: Network, peer: PeerId) -> float:
    begun = time.perf_counter()
    async with network.ask(peer, BlobRequest(bytes(32), 0)) as answers:
        async for _each in answers:
            pass
    return _CHUNKS * len(_CHUNK) / (time.perf_counter() - begun)


async def _bare() -> tuple[float, float]:
    """Seconds of one round trip of a node's size, and bytes a second, over TCP alone."""
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            for _ in range(1000):
                await stream.send_all(await _exactly(stream, _NODE))
            for _ in range(_CHUNKS):
                await stream.send_all(_CHUNK)

        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        stream = await trio.open_tcp_stream(_HOST, listeners[0].socket.getsockname()[1])
        begun = time.perf_counter()
        for _ in range(1000):
            await stream.send_all(bytes(_NODE))
            await _exactly(stream, _NODE)
        trip = (time.perf_counter() - begun) / 1000
        begun = time.perf_counter()
        left = _CHUNKS * len(_CHUNK)
        while left:
            left -= len(await stream.receive_some(65536))
        nursery.cancel_scope.cancel()
        return trip, _CHUNKS * len(_CHUNK) / (time.perf_counter() - begun)


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    """So many bytes in however many pieces: counted by pieces, the two ends would part."""
    data = b""
    while len(data) < size:
        data += await stream.receive_some(size - len(data))
    return data


async def _idle_one(number: int, seconds: float, seeds: list[str], ports: list[int]) -> None:
    networks, _ = _networks([SigningKey(bytes.fromhex(each)) for each in seeds], ports, range(number, number + 1))
    async with trio.open_nursery() as nursery:
        await nursery.start(_run, networks[0])
        while len(networks[0].connected) < 2:  # noqa: ASYNC110
            await trio.sleep(0.05)
        await trio.sleep(1)
        begun, used = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            networks[0].send_beacon(_BEACON)
            await trio.sleep(1)
        share = (time.process_time() - used) / (time.perf_counter() - begun)
        print(f"idle    {share * 100:6.2f} % of a core   {_resident():6.1f} MB resident", flush=True)
        nursery.cancel_scope.cancel()


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _idle(seconds: float) -> None:
    seeds = [os.urandom(32).hex() for _ in range(3)]
    ports = [str(free_port(_HOST)) for _ in range(3)]
    command = [sys.executable, "-m", "benchmarks.network", "--seconds", str(seconds), "--idle"]
    children = [subprocess.Popen([*command, str(each), ",".join(seeds), ",".join(ports)]) for each in range(3)]
    for child in children:
        child.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="the network's speed and cost on loopback")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the idle measurement")
    parser.add_argument("--idle", nargs=3, metavar=("NUMBER", "SEEDS", "PORTS"), help="be one idle peer (for itself)")
    wanted = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if wanted.idle:
        number, seeds, ports = wanted.idle
        trio.run(_idle_one, int(number), wanted.seconds, seeds.split(","), [int(each) for each in ports.split(",")])
        return
    trio.run(_measure)
    _idle(wanted.seconds)


if __name__ == "__main__":
    main()
