"""The server behind the control socket, over a real Unix socket, with answers of our own."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from clockmesh.daemon import client, control_http, control_server
from clockmesh.daemon.client import Client
from clockmesh.daemon.control_http import Answer, Lines, Request, Send
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.socketpath import SOCKET_NAME

GET = b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n"


class Probe:
    """What the answers below saw."""

    def __init__(self) -> None:
        self.bytes_in = 0
        self.lines_sent = 0
        self.left = threading.Event()


@contextmanager
def served(home: Path) -> Iterator[Probe]:
    """A server of these answers on the home's socket, in a thread of its own."""
    probe = Probe()
    started = threading.Event()
    box: dict[str, object] = {}

    async def dispatch(request: Request) -> Answer:
        return await _dispatch(probe, request)

    async def main() -> None:
        listener = control_server.bind(str(home))
        box["token"] = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as box["scope"]:  # type: ignore[assignment]
            async with trio.open_nursery() as nursery:
                await nursery.start(control_server.serve, listener, dispatch)
                started.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert started.wait(5)
        yield probe
    finally:
        trio.from_thread.run_sync(box["scope"].cancel, trio_token=box["token"])  # type: ignore[attr-defined,arg-type]
        thread.join(5)
        assert not thread.is_alive()


async def _dispatch(probe: Probe, request: Request) -> Answer:
    async def two_lines(send: Send) -> None:
        await send(b'{"n":1}\n')
        await send(b'{"n":2}\n')

    async def endless(send: Send) -> None:
        while True:
            await send(b'{"text":"' + b"x" * 1000 + b'"}\n')
            probe.lines_sent += 1

    async def silent(send: Send) -> None:
        await send(b'{"n":1}\n')
        try:
            await trio.sleep_forever()
        finally:
            probe.left.set()

    async def broken(send: Send) -> None:
        await send(b'{"n":1}\n')
        async with trio.open_nursery():
            raise Trouble(Exit.NOT_FOUND, "not_found", "gone meanwhile")

    match request.path:
        case "/echo":
            return {"v": 1, "query": dict(request.query), "body": await request.json()}
        case "/count":
            async for part in request.body():
                probe.bytes_in += len(part)
            return {"v": 1, "bytes": probe.bytes_in}
        case "/lines":
            return Lines(two_lines)
        case "/endless":
            return Lines(endless)
        case "/silent":
            return Lines(silent)
        case "/broken":
            return Lines(broken)
        case "/surrogate":
            return {"text": "half \ud800 of a pair"}
        case "/defect":
            raise ZeroDivisionError("secret details")
        case "/wait":
            try:
                await trio.sleep_forever()
            finally:
                probe.left.set()
    raise Trouble(Exit.NOT_FOUND, "not_found", "nothing there", {"file": "a.yml", "line": 3})


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cm-") as folder:
        yield Path(folder)


@contextmanager
def raw(home: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(home / SOCKET_NAME))
        yield connection


def all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("not within 5 s")


def test_a_call_carries_query_and_body_and_brings_the_answer(home: Path) -> None:
    with served(home):
        told = Client(home).post("/echo?a=1&b=x%20y%C3%A9", {"text": "ü\n"})
    assert told == {"v": 1, "query": {"a": "1", "b": "x yé"}, "body": {"text": "ü\n"}}


def test_the_socket_is_its_owners_alone(home: Path) -> None:
    with served(home):
        assert stat.S_IMODE((home / SOCKET_NAME).stat().st_mode) == 0o600


def test_a_home_too_deep_for_a_socket_path_works(home: Path) -> None:
    deep = home / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    with served(deep):
        assert Client(deep).get("/echo")["v"] == 1
    assert (deep / SOCKET_NAME).exists()


def test_a_dead_daemons_socket_is_replaced(home: Path) -> None:
    with served(home):
        pass
    assert not Client(home).answers()
    with served(home):
        assert Client(home).answers()


def test_a_stream_brings_each_line_and_ends(home: Path) -> None:
    with served(home):
        assert list(Client(home).lines("/lines")) == [{"n": 1}, {"n": 2}]


def test_an_error_midway_through_a_stream_is_its_last_line(home: Path) -> None:
    with served(home):
        lines = Client(home).lines("/broken")
        assert next(lines) == {"n": 1}
        with pytest.raises(Trouble, match="gone meanwhile") as caught:
            next(lines)
    assert caught.value.exit is Exit.NOT_FOUND


def test_an_error_keeps_its_exit_status_code_and_place(home: Path) -> None:
    with served(home), pytest.raises(Trouble) as caught:
        Client(home).get("/nowhere")
    error = caught.value
    assert (error.exit, error.code, error.message) == (Exit.NOT_FOUND, "not_found", "nothing there")
    assert error.place == {"file": "a.yml", "line": 3}


def test_a_defect_is_one_requests_error_and_tells_no_secret(home: Path) -> None:
    with served(home):
        with pytest.raises(Trouble) as caught:
            Client(home).get("/defect")
        assert Client(home).get("/echo")["v"] == 1
    assert (caught.value.exit, "secret" in caught.value.message) == (Exit.INTERNAL, False)


def test_half_a_surrogate_pair_breaks_nothing(home: Path) -> None:
    with served(home):
        assert Client(home).get("/surrogate") == {"text": "half ? of a pair"}


def test_one_connection_serves_request_after_request(home: Path) -> None:
    with served(home), raw(home) as connection:
        for _ in range(3):
            connection.sendall(GET % b"/echo")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(GET % b"/echo" + GET % b"/nowhere")
        connection.shutdown(socket.SHUT_WR)
        assert all_of(connection).count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nhost: x\r\nhost: y\r\ncontent-length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzzzz\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\n{a}",
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 20_000,
        b"GET /echo?" + b"a&" * 100 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_junk_is_refused_and_hurts_nobody(home: Path, junk: bytes) -> None:
    with served(home):
        with raw(home) as connection:
            try:
                connection.sendall(junk)
                answer = all_of(connection)
            except ConnectionError:
                answer = b"HTTP/1.1 4xx"
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert Client(home).get("/echo")["v"] == 1


def test_a_json_body_above_the_limit_is_refused(home: Path) -> None:
    with served(home), pytest.raises(Trouble, match="limited") as caught:
        Client(home).post("/echo", {"text": "x" * control_http.MAX_JSON_BYTES})
    assert caught.value.exit is Exit.USAGE


def test_an_upload_is_streamed_in_parts_of_any_size(home: Path) -> None:
    with served(home):
        assert Client(home).upload("/count", (b"x" * n for n in range(0, 3000, 7))) == {
            "v": 1,
            "bytes": sum(range(0, 3000, 7)),
        }


def test_an_upload_that_is_refused_early_still_tells_why(home: Path) -> None:
    with served(home), pytest.raises(Trouble, match="nothing there"):
        Client(home).upload("/nowhere", (b"x" * 65536 for _ in range(200)))


def test_a_client_that_waits_for_100_continue_is_told_to(home: Path) -> None:
    with served(home), raw(home) as connection:
        connection.sendall(b"PUT /count HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert b'"bytes":3' in connection.recv(1000)


def test_a_slow_reader_is_waited_for_and_not_buffered(home: Path) -> None:
    with served(home) as probe, raw(home) as connection:
        connection.sendall(GET % b"/endless")
        connection.recv(100)
        sent = -1

        def stands_still() -> bool:
            nonlocal sent
            before, sent = sent, probe.lines_sent
            return before == sent > 0

        until(stands_still)
        assert sent < 1000


@pytest.mark.parametrize("path", [b"/silent", b"/wait"])
def test_a_client_that_leaves_ends_its_wait_although_nothing_happens(home: Path, path: bytes) -> None:
    with served(home) as probe:
        with raw(home) as connection:
            connection.sendall(GET % path)
            threading.Event().wait(0.05)
        assert probe.left.wait(5)


def test_a_request_that_never_ends_is_cut(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "HEAD_S", 0.1)
    with served(home), raw(home) as connection:
        connection.sendall(b"GET /echo HTT")
        assert all_of(connection) == b""


def test_a_body_that_stalls_is_cut_with_a_reason(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "STALLED_S", 0.1)
    with served(home), raw(home) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        assert b"no byte of the request" in all_of(connection)


def test_an_idle_connection_is_closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "IDLE_S", 0.1)
    with served(home), raw(home) as connection:
        assert all_of(connection) == b""


def test_too_many_connections_are_told_to_come_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "MAX_CONNECTIONS", 1)
    with served(home):
        with raw(home) as first:
            first.sendall(GET % b"/wait")
            threading.Event().wait(0.05)
            with pytest.raises(Trouble) as caught:
                Client(home).get("/echo")
            assert caught.value.exit is Exit.BUSY

        def free() -> bool:
            try:
                return Client(home).get("/echo")["v"] == 1
            except Trouble:
                return False

        until(free)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_even_where_the_socket_lets_him(home: Path) -> None:
    """The socket's mode keeps others out; if that is ever undone, the kernel's word on who asks still does."""
    with served(home):
        assert _as_nobody(home) == (Exit.NOT_ALLOWED, "not_allowed")
        home.chmod(0o755)
        (home / SOCKET_NAME).chmod(0o666)
        assert _as_nobody(home) == (Exit.NOT_ALLOWED, "not_allowed")
        assert Client(home).get("/echo")["v"] == 1


def _as_nobody(home: Path) -> tuple[int, str]:
    """What a client of another user is told, asked in a process of his."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            Client(home).get("/echo")
        except Trouble as trouble:
            os.write(write, json.dumps([trouble.exit, trouble.code]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        exit_, code = json.loads(told.read() or b"[0, null]")
    os.waitpid(child, 0)
    return exit_, code


@pytest.mark.parametrize(
    ("answer", "exit_", "code"),
    [
        (b"", Exit.UNREACHABLE, "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", Exit.UNREACHABLE, "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", Exit.UNREACHABLE, "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}", Exit.UNREACHABLE, "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{}", Exit.UNREACHABLE, "connection_lost"),
        (b"SSH-2.0-whatever\r\n", Exit.UNREACHABLE, "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", Exit.INTERNAL, "bad_answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{a", Exit.INTERNAL, "bad_answer"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}", Exit.INTERNAL, "bad_answer"),
    ],
)
def test_whatever_answers_a_client_gets_one_kind_of_error(home: Path, answer: bytes, exit_: Exit, code: str) -> None:
    def once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with control_server.bind(str(home)) as listener:
        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(Trouble) as caught:
            Client(home).post("/echo")
        thread.join(5)
    assert (caught.value.exit, caught.value.code) == (exit_, code)


def test_who_waits_for_a_silent_daemon_is_told_so_early_and_given_up_in_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped daemon's kernel still takes connections."""
    monkeypatch.setattr(client, "_WORD_AFTER", 0.2)
    monkeypatch.setattr(client, "READ_WITHIN", 0.6)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / SOCKET_NAME))
        listener.listen()
        began = time.monotonic()
        with pytest.raises(Trouble, match="does not answer") as caught:
            Client(home).get("/v1/status", timeout=0.6)
    assert caught.value.exit == Exit.UNREACHABLE
    assert 0.5 < time.monotonic() - began < 5
    assert "has not answered for 0 s; still waiting" in capsys.readouterr().err
