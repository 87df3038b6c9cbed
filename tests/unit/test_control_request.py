"""The body of a request to the control socket, before anything is made of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from clockmesh.daemon.control_http import Request
from clockmesh.daemon.exits import Exit, Trouble


def read(content: bytes) -> object:
    async def body() -> AsyncIterator[bytes]:
        yield content

    return trio.run(Request("POST", "/v1/external/end", {}, body).json)


def test_a_text_that_no_peer_could_be_told_is_refused_at_the_border() -> None:
    """Half of a surrogate pair fits no node: further in it would leave an attempt without an end."""
    with pytest.raises(Trouble, match="not JSON") as refused:
        read(b'{"result": {"text": "half \\ud800"}}')
    assert refused.value.exit is Exit.USAGE
    assert read(b'{"text": "whole \\ud83d\\ude00"}') == {"text": "whole \U0001f600"}
