"""Which network addresses a photo may be fetched from: decided by the address connected to, not by the name."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

REFUSED = errno.EACCES
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# what some Python versions' ipaddress wrongly calls public (IANA special-purpose address registries)
_SPECIAL_4 = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")))
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")  # the only block allocated for global unicast (RFC 4291)
_SPECIAL_6 = tuple(
    map(
        ipaddress.IPv6Network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # protocols and Teredo, documents, 6to4
    )
)
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # interface identifiers (RFC 5214, section 6.1)


def is_public(host: str) -> bool:
    """Return whether an IP address (text) is one of the public internet.

    An IPv4 address that IPv6 merely writes or translates (``::ffff:0:0/96``, NAT64) is checked itself; the ways to
    tunnel one (IPv4-compatible, 6to4, Teredo, ISATAP) are not public, whatever they carry.
    """
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv4Address):
        special = any(address in network for network in _SPECIAL_4)
        return address.is_global and not address.is_multicast and not special
    if address.ipv4_mapped is not None:
        return is_public(str(address.ipv4_mapped))
    if address in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    special = any(address in network for network in _SPECIAL_6) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return address in _GLOBAL_6 and address.is_global and not special


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an entry of getaddrinfo; OSError(EACCES) where its address is not public.

    It is called with the address about to be connected to, after every lookup and redirect, so that a name which
    resolves differently the second time (DNS rebinding) gains nothing.
    """
    family, kind, protocol, _, (host, *_rest) = address
    if not is_public(host):
        raise OSError(REFUSED, "the address is not public")
    return socket.socket(family=family, type=kind, proto=protocol)
