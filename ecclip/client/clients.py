"""The clients: typed questions and answers over gRPC, sync and async."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from ecclip.client.errors import RETRIED, from_triton
from ecclip.client.messages import batches, check_sizes, decode, encode
from ecclip.client.security import TLS, token_header
from ecclip.client.types import MAX_BATCH, MESSAGE_BYTES, Answer, Product
from ecclip.core import patient
from ecclip.errors import ClientError

# The server must time out first: a client that cancels leaves work behind on the server. By judgment: far more than the
# round trip within a data centre.
_CLIENT_MARGIN_S = 0.5
_ID_DIGITS = 16  # hexadecimal, of a request's own id
# messages with their encoding around the photos; a server that restarts is back in seconds, not in gRPC's two minutes
_CHANNEL = [
    ("grpc.max_send_message_length", 2 * MESSAGE_BYTES),
    ("grpc.max_receive_message_length", 2 * MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Timeouts, retries, TLS and token of a client.

    ``timeout_s`` bounds one message on the server, ``retries`` the further attempts when it is unavailable; the
    pause between them doubles from ``backoff_s`` up to one second. Without ``tls`` everything is sent in the clear, the
    ``token`` too, which a server may ask for.
    """

    model: str = "product"
    version: str = ""
    timeout_s: float = field(default_factory=lambda: patient(10.0))
    retries: int = 3
    backoff_s: float = 0.1
    max_batch: int = MAX_BATCH
    tls: TLS | None = None
    token: str | None = field(default=None, repr=False)

    def pauses(self) -> Iterator[float]:
        """Yield the pause after each failed attempt that is followed by another one."""
        for attempt in range(self.retries):
            yield min(self.backoff_s * 2**attempt, 1.0)

    def channel(self) -> dict[str, Any]:
        """Return the arguments of the client library for its channel."""
        return {"channel_args": _CHANNEL, **(self.tls.channel() if self.tls else {})}

    def call(self, products: Sequence[Product], kinds: Any, request_id: str = "") -> dict[str, Any]:
        """Return the arguments of one call of the client library; without an id the message gets one of its own."""
        inputs, outputs = encode(products, kinds)
        return {
            "model_name": self.model,
            "model_version": self.version,
            "inputs": inputs,
            "outputs": outputs,
            "timeout": int(self.timeout_s * 1e6),  # of the server, microseconds
            "client_timeout": self.timeout_s + _CLIENT_MARGIN_S,
            "request_id": request_id or uuid.uuid4().hex[:_ID_DIGITS],
            "headers": token_header(self.token),
        }


class ProductClient:
    """Asks the service about listings.

    >>> with ProductClient("127.0.0.1:8001") as client:
    ...     answer = client.ask([Product(title="red leather tote bag")])[0]
    """

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        self.address = address
        self.options = options or ClientOptions()
        self._client = triton.InferenceServerClient(address, **self.options.channel())

    def ask(self, products: Sequence[Product], request_id: str = "") -> list[Answer]:
        """Return one answer per listing, in order; a bad listing has ``Answer.error`` and does not affect the others.

        ``request_id`` goes with every message and is what the server's log calls it; without one each has its own.

        Raises:
            ClientError: a message was not answered (Unavailable, Overloaded, DeadlineExceeded, Rejected).
        """
        check_sizes(products)
        answers: list[Answer] = []
        for batch in batches(products, self.options.max_batch):
            answers.extend(self._ask(batch, request_id))
        return answers

    def _ask(self, batch: Sequence[Product], request_id: str) -> list[Answer]:
        call = self.options.call(batch, triton, request_id)
        pauses = self.options.pauses()
        while True:
            try:
                return decode(self._client.infer(**call), len(batch))
            except InferenceServerException as error:
                time.sleep(_pause(from_triton(error, self.address), pauses))

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        client = self.__dict__.pop("_client", None)
        if client is not None:  # released here: the library's own clean-up fails at interpreter exit
            client.close()

    def __enter__(self) -> ProductClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncProductClient:
    """The same client for asyncio; the messages of one call are in flight together, ``in_flight`` at most."""

    def __init__(self, address: str, options: ClientOptions | None = None, in_flight: int = 4) -> None:
        self.address = address
        self.options = options or ClientOptions()
        self._client = triton_aio.InferenceServerClient(address, **self.options.channel())
        self._places = asyncio.Semaphore(in_flight)

    async def ask(self, products: Sequence[Product], request_id: str = "") -> list[Answer]:
        """Return one answer per listing, in order; ``request_id`` as for :class:`ProductClient`.

        Raises:
            ClientError: a message was not answered (Unavailable, Overloaded, DeadlineExceeded, Rejected).
        """
        check_sizes(products)
        messages = batches(products, self.options.max_batch)
        parts = await asyncio.gather(*(self._ask(batch, request_id) for batch in messages))
        return [answer for part in parts for answer in part]

    async def _ask(self, batch: Sequence[Product], request_id: str) -> list[Answer]:
        call = self.options.call(batch, triton_aio, request_id)
        pauses = self.options.pauses()
        async with self._places:
            while True:
                try:
                    return decode(await self._client.infer(**call), len(batch))
                except InferenceServerException as error:
                    await asyncio.sleep(_pause(from_triton(error, self.address), pauses))

    async def close(self) -> None:
        """Close the connection; a second time does nothing."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            await client.close()

    async def __aenter__(self) -> AsyncProductClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _pause(error: ClientError, pauses: Iterator[float]) -> float:
    """Return how long to wait before the next attempt, or raise the error when there is none."""
    if isinstance(error, RETRIED):
        for pause in pauses:
            return pause
    raise error
