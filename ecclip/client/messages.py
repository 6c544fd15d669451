"""Listings to messages and messages to answers, the same for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tritonclient.grpc as triton

from ..errors import Rejected
from ..formats.service import INPUTS, OUTPUTS
from ..formats.service import decode as outputs_of
from .types import IMAGE_BYTES, MAX_BATCH, MESSAGE_BYTES, Answer, Product


def check_sizes(products: Iterable[Product]) -> None:
    """Raise Rejected for an image that no server would take."""
    for number, product in enumerate(products):
        _check_size(number, product)


def batches(products: Iterable[Product], max_batch: int = MAX_BATCH) -> Iterator[list[Product]]:
    """Yield the listings in order, at most ``max_batch`` and about 32 MiB at a time.

    Raises:
        Rejected: no server would take an image.
    """
    batch: list[Product] = []
    size = 0
    for number, product in enumerate(products):
        _check_size(number, product)
        own = len(product.image or b"") + 4 * len(product.title or "") + 4 * len(product.description or "")
        if batch and size + own > MESSAGE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(product)
        size += own
        if len(batch) == max_batch:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def encode(products: Sequence[Product], kinds: Any = triton) -> tuple[list[Any], list[Any]]:
    """Return the service's inputs, BYTES [B, 1] each, and the wanted outputs; an optional input may be left out."""
    columns: dict[str, list[bytes | str | None]] = {
        "IMAGE": [product.image for product in products],
        "TITLE": [product.title for product in products],
        "DESCRIPTION": [product.description for product in products],
        "LANGUAGE": [product.language for product in products],
    }
    inputs = []
    for tensor in INPUTS:
        values = columns[tensor.name]
        if tensor.optional and not any(values):
            continue
        data = np.empty((len(values), tensor.size), dtype=np.object_)
        data[:, 0] = [_bytes(value) for value in values]
        wanted = kinds.InferInput(tensor.name, list(data.shape), tensor.datatype)
        wanted.set_data_from_numpy(data)
        inputs.append(wanted)
    return inputs, [kinds.InferRequestedOutput(tensor.name) for tensor in OUTPUTS]


def decode(result: Any, count: int) -> list[Answer]:
    """Return one answer per listing."""
    given = {tensor.name: result.as_numpy(tensor.name) for tensor in OUTPUTS}
    columns = {name: column for name, column in given.items() if column is not None}  # older servers give fewer
    if "ERROR" not in columns or any(len(column) != count for column in columns.values()):
        raise Rejected(
            "the server's answer has another number of rows",
            limit=count,
            next_step="the server is of another version: update the client",
        )
    request_id = result.get_response().id
    return [replace(Answer.from_outputs(outputs_of(columns, row)), request_id=request_id) for row in range(count)]


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value or b""


def _check_size(number: int, product: Product) -> None:
    if product.image is not None and len(product.image) > IMAGE_BYTES:
        raise Rejected(
            "an image is too large", value=f"listing {number}: {len(product.image)} bytes", limit=IMAGE_BYTES,
            next_step="send it resized: the towers see a few hundred pixels a side",
        )  # fmt: skip
