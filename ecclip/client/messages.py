"""Listings to messages and messages to answers, the same for both clients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton

from ecclip.client.errors import Rejected
from ecclip.client.types import IMAGE_BYTES, MAX_BATCH, MESSAGE_BYTES, Answer, Product

OUTPUTS = (
    "CATEGORY", "CATEGORY_SCORE", "ATTRIBUTES", "AGE_RESTRICTED_SCORE", "DECISION", "EMBEDDING", "LINEAGE", "ERROR",
)  # fmt: skip


def check_sizes(products: Sequence[Product]) -> None:
    """Raise Rejected for an image that no server would take; nothing has been sent then."""
    for number, product in enumerate(products):
        if product.image is not None and len(product.image) > IMAGE_BYTES:
            raise Rejected(
                "an image is too large", value=f"listing {number}: {len(product.image)} bytes", limit=IMAGE_BYTES,
                next_step="send it resized: 256 px is what the towers see at most",
            )  # fmt: skip


def batches(products: Sequence[Product], max_batch: int = MAX_BATCH) -> Iterator[Sequence[Product]]:
    """Yield the listings in order, at most ``max_batch`` and about 32 MiB at a time."""
    start, size = 0, 0
    for number, product in enumerate(products):
        own = len(product.image or b"") + 4 * len(product.title or "")
        if number > start and (number - start == max_batch or size + own > MESSAGE_BYTES):
            yield products[start:number]
            start, size = number, 0
        size += own
    if start < len(products):
        yield products[start:]


def encode(products: Sequence[Product], kinds: Any = triton) -> tuple[list[Any], list[Any]]:
    """Return the inputs IMAGE and TITLE, BYTES [B, 1] each, and the wanted outputs."""
    columns = {
        "IMAGE": [product.image or b"" for product in products],
        "TITLE": [(product.title or "").encode("utf-8", "replace") for product in products],
    }
    inputs = []
    for name, values in columns.items():
        data = np.empty((len(values), 1), dtype=np.object_)
        data[:, 0] = values
        tensor = kinds.InferInput(name, list(data.shape), "BYTES")
        tensor.set_data_from_numpy(data)
        inputs.append(tensor)
    return inputs, [kinds.InferRequestedOutput(name) for name in OUTPUTS]


def decode(result: Any, count: int) -> list[Answer]:
    """Return one answer a listing."""
    columns = {name: result.as_numpy(name) for name in OUTPUTS}
    if any(column is None or len(column) != count for column in columns.values()):
        raise Rejected("the server's answer has another number of rows", limit=count)
    return [_answer({name: column[row] for name, column in columns.items()}) for row in range(count)]


def _answer(row: dict[str, np.ndarray]) -> Answer:
    error, lineage = row["ERROR"][0].decode(), row["LINEAGE"][0].decode()
    if error:
        return Answer(lineage=lineage, error=error)
    paths: list[tuple[str, ...]] = [tuple(json.loads(path)) for path in row["CATEGORY"] if path]
    return Answer(
        categories=paths,
        category_scores=[float(score) for score in row["CATEGORY_SCORE"][: len(paths)]],
        attributes=json.loads(row["ATTRIBUTES"][0]),
        age_restricted=_known(row["AGE_RESTRICTED_SCORE"][0]),
        decisions=json.loads(row["DECISION"][0]),
        embedding=np.array(row["EMBEDDING"], np.float32),
        lineage=lineage,
    )


def _known(score: float) -> float | None:
    """Return a score; not a number stands for an answer that nobody could give."""
    return None if np.isnan(score) else float(score)
