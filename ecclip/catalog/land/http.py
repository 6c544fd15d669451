"""One photo over HTTP: asked for once it has changed, in bounded memory, again where the server stumbles."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential
from yarl import URL

from ecclip.catalog.land.addresses import REFUSED, public_socket
from ecclip.catalog.land.fetched import FetchConfig, Fetched, PreviousPhoto
from ecclip.catalog.land.host_budgets import HostBudgets
from ecclip.catalog.land.name_lookups import patient_resolver

_BLOCK = 1 << 16
_LONGEST_WAIT_S = 30.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_GONE = {404, 410}
# as it is stored: a body that unpacks itself could be larger than any limit
_HEADERS = {"User-Agent": "ecclip", "Accept": "image/*, */*;q=0.1", "Accept-Encoding": "identity"}


class _Again(Exception):
    """The reason of a failure that may pass."""


class _Silent(_Again):
    """... of a host that did not answer at all."""


class _Lost(Exception):
    """Redirects that lead nowhere."""


class HttpPhotos:
    """Fetches photos over HTTP, ``cfg.connections`` at once, in the order in which they were asked for."""

    def __init__(self, cfg: FetchConfig, hosts: HostBudgets) -> None:
        self._cfg, self._hosts = cfg, hosts
        self._slots = asyncio.Semaphore(cfg.connections)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        factory: Any = None if self._cfg.allow_private_networks else public_socket
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._cfg.connections, socket_factory=factory, resolver=patient_resolver()
            ),
            timeout=aiohttp.ClientTimeout(total=self._cfg.timeout_s, sock_connect=self._cfg.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=_HEADERS,
            trust_env=False,  # through a proxy the address that is connected to would not be the photo's
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, host: str, uri: str, known: PreviousPhoto | None) -> Fetched:
        """Return the photo at ``uri``, the known one where its validator holds, or the reason why there is none."""
        doubled = wait_exponential(multiplier=self._cfg.backoff_s, max=_LONGEST_WAIT_S)

        def pause(state: RetryCallState) -> float:
            return min(doubled(state), self._hosts.left(host))

        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._cfg.attempts),
            wait=pause,
            retry=retry_if_exception_type(_Again),
            reraise=True,
        )
        try:
            return await attempts(self._attempt, host, uri, known)
        except _Again as reason:
            self._hosts.failed(host)
            return Fetched.refused(uri, str(reason))

    async def _attempt(self, host: str, uri: str, known: PreviousPhoto | None) -> Fetched:
        """Return what one attempt gives; the host's failures are counted, its time and the night's are kept."""
        async with self._slots:
            refusal = self._hosts.refusal(host)
            if refusal is not None:
                return Fetched.refused(uri, refusal)
            try:
                async with asyncio.timeout(self._hosts.left(host)):
                    photo = await self._validated(uri, known)
            except (_Silent, TimeoutError) as error:  # the second: the host's time, or the night's, is over
                self._hosts.failed(host)
                refusal = self._hosts.refusal(host)
                if refusal is not None:
                    return Fetched.refused(uri, refusal)
                raise _Silent(str(error) or "fetch_timeout") from error
            except _Lost:
                self._hosts.failed(host)
                return Fetched.refused(uri, "fetch_failed")
            self._hosts.answered(host)
            return photo

    async def _validated(self, uri: str, known: PreviousPhoto | None) -> Fetched:
        try:
            return await self._get(uri, known)
        except TimeoutError as error:
            raise _Silent("fetch_timeout") from error
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == REFUSED:
                return Fetched.refused(uri, "private_address")
            raise _Silent("fetch_failed") from error
        except (aiohttp.InvalidURL, aiohttp.TooManyRedirects, ValueError) as error:
            raise _Lost from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Silent("fetch_failed") from error

    async def _get(self, uri: str, known: PreviousPhoto | None) -> Fetched:
        if self._session is None:
            raise RuntimeError("HttpPhotos is used as an async context manager")
        # encoded: as it is written, since another spelling of a signed address has another signature
        address = URL(uri, encoded=True)
        asked = self._session.get(address, headers=_condition(known), max_redirects=self._cfg.max_redirects)
        async with asked as answer:
            if answer.status in _AGAIN:
                raise _Again("fetch_failed")
            if answer.status in _GONE:
                return Fetched.refused(uri, "missing")
            if known is not None and answer.status == 304:
                return Fetched.same(uri, known)
            if answer.status != 200:
                return Fetched.refused(uri, "fetch_failed")
            validator = _validator(answer.headers)
            if known is not None and validator is not None and validator == known.validator:
                return Fetched.same(uri, known)
            image = await self._body(answer)
        return Fetched.refused(uri, "too_large") if image is None else Fetched.read(uri, image, validator, known)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes | None:
        limit = self._cfg.max_image_bytes
        if (answer.content_length or 0) > limit:
            return None
        image = bytearray()
        async for block in answer.content.iter_chunked(_BLOCK):
            image += block
            if len(image) > limit:
                return None
        return bytes(image)


def _validator(headers: Any) -> str | None:
    tag, modified = headers.get("ETag"), headers.get("Last-Modified")
    return f"etag {tag}" if tag else f"modified {modified}" if modified else None


def _condition(known: PreviousPhoto | None) -> dict[str, str]:
    kind, _, value = (known.validator or "").partition(" ") if known else ("", "", "")
    names = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
    return {names[kind]: value} if kind in names else {}
