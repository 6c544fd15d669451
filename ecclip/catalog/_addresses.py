"""Which network addresses a photo may be fetched from: the address that is connected to decides, not the name."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

REFUSED = errno.EACCES
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(host: str) -> bool:
    """Return whether an IP address (text) is one of the public internet, also where it is wrapped in an IPv6 one."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an entry of getaddrinfo; OSError(EACCES) where its address is not public.

    It is called with the address that is connected to next, after every look-up and every redirect: a name that
    answers with another address the second time (DNS rebinding) gains nothing.
    """
    family, kind, protocol, _, (host, *_rest) = address
    if not is_public(host):
        raise OSError(REFUSED, "the address is not public")
    return socket.socket(family=family, type=kind, proto=protocol)
