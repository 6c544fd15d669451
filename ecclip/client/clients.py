"""The clients: typed questions and answers over gRPC, sync and async."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from ..errors import ClientError
from .errors import RETRIED, from_triton
from .messages import batches, check_sizes, decode
from .options import ClientOptions, require
from .types import Answer, Product


class ProductClient:
    """Asks the service about listings; one thread at a time may use it.

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
        return list(self.ask_each(products, request_id))

    def ask_each(self, products: Iterable[Product], request_id: str = "") -> Iterator[Answer]:
        """Yield one answer per listing, in order; listings are taken and sent a message at a time, as answers are read.

        So many listings may be asked about as a catalog has: no more than one message of them is in memory.

        Raises:
            ClientError: a message was not answered, or cannot be sent; answers before it have been yielded.
        """
        for batch in batches(products, self.options.max_batch):
            yield from self._ask(batch, request_id)

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
    """The same client for asyncio; ``in_flight`` messages of all its calls are on their way at once, at most."""

    def __init__(self, address: str, options: ClientOptions | None = None, in_flight: int = 4) -> None:
        self.address = address
        self.options = options or ClientOptions()
        require("in_flight", in_flight, 1)
        self._client = triton_aio.InferenceServerClient(address, **self.options.channel())
        self._in_flight = in_flight
        self._places = asyncio.Semaphore(in_flight)

    async def ask(self, products: Sequence[Product], request_id: str = "") -> list[Answer]:
        """Return one answer per listing, in order; ``request_id`` as for :class:`ProductClient`.

        Raises:
            ClientError: a message was not answered (Unavailable, Overloaded, DeadlineExceeded, Rejected); those that
                were on their way are cancelled.
        """
        check_sizes(products)
        return [answer async for answer in self.ask_each(products, request_id)]

    async def ask_each(self, products: Iterable[Product], request_id: str = "") -> AsyncIterator[Answer]:
        """Yield one answer per listing, in order, with up to ``in_flight`` messages sent ahead of what is read.

        Raises:
            ClientError: a message was not answered, or cannot be sent; answers before it have been yielded.
        """
        sent: deque[asyncio.Task[list[Answer]]] = deque()
        try:
            for batch in batches(products, self.options.max_batch):
                sent.append(asyncio.create_task(self._ask(batch, request_id)))
                if len(sent) == self._in_flight:
                    for answer in await sent.popleft():
                        yield answer
            while sent:
                for answer in await sent.popleft():
                    yield answer
        finally:
            for task in sent:
                task.cancel()
            await asyncio.gather(*sent, return_exceptions=True)

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
