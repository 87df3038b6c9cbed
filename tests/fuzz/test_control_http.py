"""Whatever bytes come over the control socket: the server answers or closes, and no error gets out."""

from __future__ import annotations

import json

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmesh.daemon.control_http import Answer, Gone, Http, Request
from clockmesh.daemon.control_server import _converse

TOKENS = st.sampled_from([
    b"GET ", b"POST ", b"PUT ", b"/v1/runs", b"/x?job=%ff&a", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"host: x\r\n",
    b"\r\n", b"content-length: 2\r\n", b"content-length: 99999999999\r\n", b"transfer-encoding: chunked\r\n",
    b"expect: 100-continue\r\n", b"connection: close\r\n", b"{}", b"[[[[",
    b"2\r\n{}\r\n0\r\n\r\n", b"\x00\xff", b"0\r\n\r\n",
])


async def answer(request: Request) -> Answer:
    return {"path": request.path, "body": await request.json()}


async def converse(data: bytes) -> bytes:
    ours, theirs = trio.testing.memory_stream_pair()
    got = bytearray()

    async def client() -> None:
        await theirs.send_all(data)
        await theirs.send_eof()
        async for part in theirs:
            got.extend(part)

    async def server() -> None:
        try:
            await _converse(Http(ours), answer)
        except Gone:
            pass
        finally:
            await ours.aclose()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            nursery.start_soon(server)
    return bytes(got)


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS | st.binary(max_size=30), max_size=25).map(b"".join))
def test_any_bytes_get_a_good_answer_an_error_or_nothing(data: bytes) -> None:
    got = trio.run(converse, data)
    assert got == b"" or got.startswith(b"HTTP/1.1 ")
    for head in got.split(b"HTTP/1.1 ")[1:]:
        assert head[:3] in {b"100", b"200", b"400", b"413", b"431", b"500", b"501"}
        assert head[:3] != b"500", data


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20) | st.integers() | st.none(), max_size=5))
def test_a_json_body_arrives_as_it_was_sent(body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    got = trio.run(converse, b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
    assert json.loads(got.partition(b"\r\n\r\n")[2])["body"] == json.loads(content)
