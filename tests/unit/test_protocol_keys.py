from __future__ import annotations

import pytest

from clockmesh.protocol.errors import LocalError
from clockmesh.protocol.ids import PeerId, peer_from_text, peer_text
from clockmesh.protocol.keys import SigningKey, verify
from clockmesh.protocol.vector import decode_vector, encode_vector, lacks
from clockmesh.protocol.wire import clean_line, line
from tests.unit.protocol_builders import key


def test_a_signature_of_the_rfc_8032_key_is_the_rfcs():
    secret = SigningKey.from_seed(bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"))
    assert secret.peer.hex() == "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    assert secret.sign(b"\xaf\x82").hex() == (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )


def test_a_signature_counts_for_its_peer_and_its_bytes_only():
    signature = key(0).sign(b"data")
    assert verify(key(0).peer, b"data", signature)
    assert not verify(key(1).peer, b"data", signature)
    assert not verify(key(0).peer, b"other", signature)
    assert not verify(key(0).peer, b"data", signature[:-1])
    assert not verify(key(0).peer, b"data", signature + b"\0")


def test_keys_that_are_no_points_or_of_small_order_verify_nothing():
    for peer in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"short", b""):
        assert not verify(PeerId(peer), b"", bytes(64))


def test_a_signature_with_an_s_beyond_the_group_order_is_refused():
    signature = key(0).sign(b"data")
    order = 2**252 + 27742317777372353535851937790883648493
    twin = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not verify(key(0).peer, b"data", twin)


def test_a_seed_of_another_length_is_refused_and_none_is_shown():
    with pytest.raises(LocalError):
        SigningKey.from_seed(bytes(31))
    assert key(0).seed.hex()[:8] not in repr(key(0))


def test_a_peers_text_reads_back_and_looks_like_libp2p():
    for number in range(20):
        peer = key(number).peer
        assert peer_text(peer).startswith("12D3KooW")
        assert peer_from_text(peer_text(peer)) == peer


def test_a_vector_comes_back_and_knows_what_another_has_more():
    one, two = key(0).peer, key(1).peer
    assert decode_vector(encode_vector({one: 3, two: 1})) == {one: 3, two: 1}
    assert lacks({one: 1}, {one: 2})
    assert lacks({}, {two: 1})
    assert not lacks({one: 2, two: 1}, {one: 2})


def test_a_line_made_clean_is_accepted_as_a_line():
    assert clean_line("two\nlines\x1b[0m ", 100) == "two lines [0m"
    assert clean_line("a" * 9, 5) == "aaaa…"
    assert clean_line("bad \ud800 half", 20) == "bad ? half"
    for text in ("\u202eevil", "x\u2028y", "é ☃ 日本", "\x00"):
        assert line(clean_line(text, 50), "text", 50) == clean_line(text, 50)
