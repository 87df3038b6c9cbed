from __future__ import annotations

import pytest

from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.framing import FrameReader, frame, pack, unpack
from clockmesh.protocol.limits import MAX_FRAME


def test_a_frame_is_its_length_in_four_bytes_and_its_payload():
    assert frame(b"abc") == b"\0\0\0\x03abc"
    assert frame(b"") == b"\0\0\0\0"
    assert pack({"do": "hello"}) == b"\0\0\0\x0a\x81\xa2do\xa5hello"


def test_frames_come_out_whole_however_the_bytes_are_cut():
    stream = frame(b"one") + frame(b"") + frame(b"three" * 1000)
    for size in (1, 2, 3, 7, 4999, len(stream)):
        reader = FrameReader()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        found = [payload for piece in pieces for payload in reader.feed(piece)]
        assert found == [b"one", b"", b"three" * 1000]
        assert reader.pending == 0


def test_a_frame_cut_off_is_seen_as_pending():
    reader = FrameReader()
    assert reader.feed(frame(b"abc")[:-1]) == []
    assert reader.pending == 6


def test_a_length_above_the_limit_is_refused_before_its_bytes_come():
    with pytest.raises(RemoteError, match="above"):
        FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(RemoteError, match="above"):
        FrameReader(limit=10).feed(b"\0\0\0\x0b")
    with pytest.raises(LocalError):
        frame(bytes(MAX_FRAME + 1))
    assert len(frame(bytes(MAX_FRAME))) == MAX_FRAME + 4


def test_a_value_comes_back_from_its_frame():
    value = {"is": "ended", "result": None, "deadline": 1.5, "n": [1, -2, True, b"\0", "é"]}
    [payload] = FrameReader().feed(pack(value))
    assert unpack(payload) == value


def test_what_msgpack_cannot_hold_is_our_own_mistake():
    for value in (object(), 2**64, "\ud800", {1, 2}):
        with pytest.raises(LocalError):
            pack(value)
