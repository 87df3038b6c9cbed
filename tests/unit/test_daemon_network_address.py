"""Multiaddresses and where this machine can be reached."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockmesh.daemon.network_address import address_of, announced, endpoint_of, free_port, interface_addresses


@pytest.mark.parametrize(("address", "endpoint"), [
    ("/ip4/127.0.0.1/tcp/4001", ("127.0.0.1", 4001)),
    ("/ip6/::1/tcp/4001", ("::1", 4001)),
    ("/dns4/box.example/tcp/1", ("box.example", 1)),
    ("/dns/box/tcp/65535", ("box", 65535)),
    ("/ip4/10.0.0.1/tcp/4001/p2p/12D3KooW", ("10.0.0.1", 4001)),
])
def test_a_tcp_address_says_where_to_dial(address: str, endpoint: tuple[str, int]) -> None:
    assert endpoint_of(address) == endpoint


@pytest.mark.parametrize("address", [
    "", "/", "junk", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/4001", "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/65536",
    "/ip4/127.0.0.1/tcp/x", "/ip4/::1/tcp/1", "/ip6/127.0.0.1/tcp/1", "/ip4/box/tcp/1", "/dns//tcp/1",
    "/ip4/1.2.3/tcp/1", "/ip4/127.0.0.1/tcp/1/ws", "/ip4/127.0.0.1/tcp/1/quic/x", "x/ip4/127.0.0.1/tcp/1",
    "/ip4/127.0.0.1/tcp/\u0661",
])
def test_anything_else_is_no_place_to_dial(address: str) -> None:
    assert endpoint_of(address) is None


_PARTS = st.sampled_from(["ip4", "ip6", "tcp", "dns", "p2p", "1.2.3.4", "::1", "box", "80", "9" * 5000, "", "\u0661"])


@given(st.text(max_size=300) | st.lists(_PARTS, max_size=8).map("/".join))
def test_any_text_is_a_place_to_dial_or_none(text: str) -> None:
    found = endpoint_of(text)
    assert found is None or 0 < found[1] < 65536


def test_a_peer_that_listens_everywhere_announces_each_address_with_loopback_last() -> None:
    addresses = announced("0.0.0.0", 4001)
    assert addresses[-1].startswith("/ip4/127.")
    assert "/ip4/127.0.0.1/tcp/4001" in addresses
    assert len(addresses) == len(set(addresses)) == len(interface_addresses())
    assert all(endpoint_of(each) is not None for each in addresses)


def test_a_peer_that_listens_in_one_place_announces_that() -> None:
    assert announced("192.168.1.5", 7) == ("/ip4/192.168.1.5/tcp/7",)
    assert address_of("::1", 7) == "/ip6/::1/tcp/7"
    assert address_of("box.example", 7) == "/dns/box.example/tcp/7"


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port("127.0.0.1")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()
