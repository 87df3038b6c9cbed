"""Submitting to a daemon as a program would: over its socket, on connections that are kept."""

from __future__ import annotations

import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clockmesh.daemon.client import Client
from clockmesh.daemon.demo.peers import DemoError
from clockmesh.daemon.socketpath import short_path

KEPT = 16
"""Connections that submit at a time."""


def submit(client: Client, text: str) -> str:
    """The run."""
    run: str = client.post("/v1/runs", _body(text))["run"]
    return run


def submit_kept(home: Path, texts: list[str]) -> list[tuple[str, int]]:
    """Over KEPT connections: each run and when its submit was answered (ns)."""

    def work(share: list[str]) -> list[tuple[str, int]]:
        with socket.socket(socket.AF_UNIX) as connection:
            with short_path(str(home)) as path:
                connection.connect(path)
            return [(_post_kept(connection, text), time.time_ns()) for text in share]

    with ThreadPoolExecutor(KEPT) as pool:
        shares = list(pool.map(work, [texts[first::KEPT] for first in range(KEPT)]))
    return [shares[place % KEPT][place // KEPT] for place in range(len(texts))]


def open_to_all(path: Path) -> Path:
    """A file that jobs of any user may append to: in a sandbox each slot has its own."""
    path.touch()
    path.chmod(0o666)
    return path


def wait_all(client: Client, runs: list[str]) -> None:
    for run in runs:
        client.get(f"/v1/runs/{run}/wait?timeout=60", timeout=70)


def _post_kept(connection: socket.socket, text: str) -> str:
    content = json.dumps(_body(text)).encode()
    head = f"POST /v1/runs HTTP/1.1\r\nhost: clockmesh\r\ncontent-length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    answer = connection.recv(65536)
    while not answer.endswith(b"}\n"):
        answer += connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise DemoError(f"a submit was refused: {answer!r}")
    run: str = json.loads(answer.partition(b"\r\n\r\n")[2])["run"]
    return run


def _body(text: str) -> dict[str, object]:
    workflow = base64.b64encode(text.encode()).decode()
    return {"workflow_b64": workflow, "path": "bench.yml", "inputs": {}, "priority": 5.0}
