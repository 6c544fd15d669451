"""The canonical spelling of a photo's address, for landing photos and finding them again.

Shops write the same address in many ways (blanks around it, backslashes, ``./``, upper case, a fragment). Photos are
fetched by, indexed by and joined with the text that :func:`photo_address` returns; the function is idempotent.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

HTTP = ("http", "https")
_KEPT = "!$%&'()*+,/:;=?@[]~"  # of path and query; a percent sign stays where it begins an escape
_PORTS = {"http": 80, "https": 443}
_SUFFIX = r"\.(?:jpe?g|jfif|png|webp|gif|bmp|avif)"
_SEVERAL = (
    re.compile(r"[,;|\s]\s*(?:https?:)?//", re.IGNORECASE),
    re.compile(rf"{_SUFFIX}(?:\?\S*?)?\s*[,;|]\s*\S.*{_SUFFIX}", re.IGNORECASE | re.DOTALL),
)
_HOST = re.compile(r"(?:(?:[\w-]+\.)+[a-z]{2,}|[\w.-]+(?=:\d)|\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?/", re.IGNORECASE)
_LOOSE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class PhotoAddress(NamedTuple):
    """The canonical spelling of an address, and why it is unusable if its text shows that."""

    address: str
    problem: str | None = None


def photo_address(text: str) -> PhotoAddress:
    """Return the canonical spelling of an ``image_uri``.

    ``http`` and ``https``: scheme and host in lower case, no default port, no fragment, all else escaped as it is
    sent; ``//host/...`` is ``https``. A path: forward slashes, without ``.`` and empty steps. Problems: bad_address
    (control characters, half of a character, no host), several_addresses.
    """
    given = _plain(text)
    if _INVISIBLE.search(given):
        return PhotoAddress(_INVISIBLE.sub("?", given), "bad_address")
    slashed = given.replace("\\", "/")
    if slashed.startswith("//"):
        slashed = f"https:{slashed}"
    scheme = scheme_of(slashed)
    if scheme in HTTP:
        return _web_address(slashed)
    if scheme is None:
        return PhotoAddress(slashed, "bad_address")
    if scheme and not _several(slashed):
        return PhotoAddress(given)  # left unchanged for its own file system
    return PhotoAddress(_path(slashed), "several_addresses" if _several(slashed) else None)


def scheme_of(address: str) -> str | None:
    """Return the scheme in lower case, "" for a path and None for an invalid address (an unclosed bracket)."""
    try:
        return "" if _HOST.match(address) else urlsplit(address).scheme
    except ValueError:
        return None


def looks_like_host(address: str) -> bool:
    """Return whether a path begins like a host name: ``www.shop.example/1.jpg``, ``127.0.0.1:80/1.jpg``."""
    return _HOST.match(address) is not None


def _plain(text: str) -> str:
    """Return the address in a text that may be a JSON list of one, with escaped slashes and blanks around it."""
    given = text.strip()
    if given.startswith('["') and given.endswith('"]'):
        try:
            names = json.loads(given)
        except ValueError:
            return given
        if all(isinstance(name, str) for name in names):
            given = " | ".join(names).strip()
    return given.replace("\\/", "/")


def _several(given: str) -> bool:
    return any(pattern.search(given) for pattern in _SEVERAL)


def _path(given: str) -> str:
    return posixpath.normpath(given) if given else given


def _web_address(given: str) -> PhotoAddress:
    try:
        parts = urlsplit(given)
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        return PhotoAddress(given, "bad_address")
    if not host:
        return PhotoAddress(given, "bad_address")
    scheme = parts.scheme.lower()
    where = f"[{host}]" if ":" in host else host
    where += f":{port}" if port is not None and port != _PORTS[scheme] else ""
    user = parts.netloc.rpartition("@")[0]
    where = f"{_escaped(user)}@{where}" if user else where
    address = urlunsplit((scheme, where, _escaped(parts.path) or "/", _escaped(parts.query), ""))
    return PhotoAddress(address, "several_addresses" if _several(given) else None)


def _host(name: str) -> str:
    """Return a host name in ASCII (IDNA); ValueError if it is not one."""
    return name if name.isascii() else name.encode("idna").decode()


def _escaped(part: str) -> str:
    return quote(_LOOSE_PERCENT.sub("%25", part), safe=_KEPT)
