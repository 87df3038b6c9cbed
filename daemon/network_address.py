"""Addresses: what `/ip4/127.0.0.1/tcp/4001` means, where this machine can be reached, and the listening socket."""

from __future__ import annotations

import array
import errno
import fcntl
import ipaddress
import socket
import struct

import trio

from clockmesh.daemon.network_types import NetworkError, PortTaken

Endpoint = tuple[str, int]
"""A host (address or name) and a TCP port."""

_NAMED = ("dns", "dns4", "dns6")
_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40
"""`struct ifreq` on 64-bit Linux: 16 bytes of name, then a sockaddr."""
_BACKLOG = 128


def endpoint_of(address: str) -> Endpoint | None:
    """Where to dial for the multiaddress `address`; None if it is not TCP over an IP address or a DNS name."""
    parts = address.split("/")
    if len(parts) not in (5, 7) or parts[0] or parts[3] != "tcp" or (len(parts) == 7 and parts[5] != "p2p"):
        return None
    kind, host, port = parts[1], parts[2], parts[4]
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        return None
    if kind in _NAMED:
        return (host, int(port)) if host else None
    try:
        known = kind == f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        return None
    return (host, int(port)) if known else None


def address_of(host: str, port: int) -> str:
    """The multiaddress of `host` (an IP address or a DNS name) and `port`."""
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{host}/tcp/{port}"


def announced(host: str, port: int) -> tuple[str, ...]:
    """The multiaddresses at which a peer that listens on (host, port) may be reached, the most useful first."""
    if host not in ("0.0.0.0", "::"):
        return (address_of(host, port),)
    return tuple(address_of(each, port) for each in interface_addresses())


def interface_addresses() -> tuple[str, ...]:
    """This machine's IPv4 addresses, those of loopback last."""
    room = array.array("B", bytes(_IFREQ_BYTES * 128))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        request = struct.pack("iL", len(room), room.buffer_info()[0])
        used: int = struct.unpack("iL", fcntl.ioctl(asker.fileno(), _SIOCGIFCONF, request))[0]
    data = room.tobytes()[:used]
    found = {socket.inet_ntoa(data[at + 20 : at + 24]) for at in range(0, used, _IFREQ_BYTES)}
    found.add("127.0.0.1")
    return tuple(sorted(found, key=lambda each: (each.startswith("127."), ipaddress.ip_address(each))))


def free_port(host: str) -> int:
    """A TCP port that nobody uses on `host` now. To be chosen once and kept: who dials must find it again."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listening_socket(host: str, port: int) -> trio.SocketListener:
    """Listen on (host, port). PortTaken if anybody else does; NetworkError if that cannot be.

    Without SO_REUSEPORT, with which two daemons would share a port and each get half of the other's connections.
    SO_REUSEADDR only lets a restarted daemon have its port back while old connections linger.
    """
    sock = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} of {host} is taken by another process (see `ss -ltnp`): stop that one, or choose another "
                "port with `listen: HOST:PORT` in config.yml"
            ) from error
        raise NetworkError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose an address of this machine with "
            "`listen: HOST:PORT` in config.yml"
        ) from error
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
