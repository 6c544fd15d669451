"""One photo over HTTP: conditional requests, bounded memory, retries on transient errors."""

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

_BLOCK = 1 << 16  # bytes per read
_LONGEST_WAIT_S = 30.0  # that a Retry-After is honoured; a night has little time
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # statuses that may pass (RFC 9110, RFC 6585, RFC 8470)
_GONE = {404, 410}  # statuses that will not
# uncompressed: a compressed body could expand beyond any limit
_HEADERS = {"User-Agent": "ecclip", "Accept": "image/*, */*;q=0.1", "Accept-Encoding": "identity"}


class _Again(Exception):
    """A transient failure, by reason."""


class _Silent(_Again):
    """... where the host did not answer at all."""


class _Lost(Exception):
    """A redirect without a usable target."""


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
        """Return the photo at ``uri``, the known one if its validator still matches, or the reason why there is
        none."""
        doubled = wait_exponential(multiplier=self._cfg.backoff_s, max=_LONGEST_WAIT_S)

        def pause(state: RetryCallState) -> float:
            return min(doubled(state), self._hosts.remaining_s(host))

        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._cfg.attempts),
            wait=pause,
            retry=retry_if_exception_type(_Again),
            reraise=True,
        )
        try:
            return await attempts(self._attempt, host, uri, known)
        except _Again as reason:
            if not isinstance(reason, _Silent):  # whose attempts have been counted, each
                self._hosts.failed(host)
            return Fetched.refused(uri, str(reason))

    async def _attempt(self, host: str, uri: str, known: PreviousPhoto | None) -> Fetched:
        """Return the result of one attempt; failures are counted, and the budgets of host and night are kept."""
        async with self._slots:
            refusal = self._hosts.refusal(host)
            if refusal is not None:
                return Fetched.refused(uri, refusal)
            try:
                async with asyncio.timeout(self._hosts.remaining_s(host)):
                    photo = await self._validated(uri, known)
            except (
                _Silent,
                TimeoutError,
            ) as error:  # the second time: the budget of the host, or of the night, is used up
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
        # encoded=True: as written, because re-encoding a signed address would break its signature
        address = URL(uri, encoded=True)
        most = self._cfg.max_redirects + 1  # aiohttp refuses the one that reaches its limit, and takes 0 for none
        async with self._session.get(address, headers=_condition(known), max_redirects=most) as answer:
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
        return Fetched.refused(uri, "too_large") if image is None else Fetched.read(uri, image, validator)

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
