"""What is sent: bounded batches, refusals before anything is sent, errors with names."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from ecclip.client import ClientOptions, DeadlineExceeded, Overloaded, Product, Rejected, Unavailable
from ecclip.client.clients import _pause
from ecclip.client.errors import from_triton
from ecclip.client.messages import batches, check_sizes, encode
from ecclip.client.types import IMAGE_BYTES, MESSAGE_BYTES
from ecclip.core import ServiceError


@given(st.lists(st.integers(0, IMAGE_BYTES), max_size=90), st.integers(1, 32))
def test_batches_keep_order_and_both_limits(sizes: list[int], limit: int) -> None:
    blob = memoryview(bytes(IMAGE_BYTES))
    products = [Product(image=blob[:size]) for size in sizes]  # type: ignore[arg-type]
    parts = list(batches(products, limit))
    assert [one for part in parts for one in part] == products
    assert all(1 <= len(part) <= limit for part in parts)
    assert all(sum(len(one.image or b"") for one in part) <= MESSAGE_BYTES for part in parts)


def test_an_image_above_the_limit_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(Rejected, match="listing 1"):
        check_sizes([Product(title="fine"), Product(image=bytes(IMAGE_BYTES + 1))])


def test_any_title_can_be_sent() -> None:
    inputs, _ = encode([Product(title="\ud800 lone surrogate"), Product(title=None), Product(title="가방\0")])
    assert [one.shape() for one in inputs] == [[3, 1], [3, 1]]


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded),
        ("StatusCode.UNAVAILABLE", "Request timeout expired", DeadlineExceeded),
        ("StatusCode.UNAVAILABLE", "Exceeds maximum queue size", Overloaded),
        ("StatusCode.UNAVAILABLE", "failed to connect", Unavailable),
        ("StatusCode.INVALID_ARGUMENT", "unexpected shape", Rejected),
    ],
)
def test_every_failure_has_a_name(status: str, message: str, expected: type[ServiceError]) -> None:
    assert type(from_triton(InferenceServerException(message, status), "127.0.0.1:1")) is expected


def test_only_unavailability_is_tried_again_and_not_for_ever() -> None:
    options = ClientOptions(retries=3, backoff_s=0.4)
    pauses = options.pauses()
    assert [_pause(Unavailable("gone", next_step="wait"), pauses) for _ in range(3)] == [0.4, 0.8, 1.0]
    with pytest.raises(Unavailable):
        _pause(Unavailable("gone", next_step="wait"), pauses)
    for final in (DeadlineExceeded("late", next_step="wait"), Rejected("wrong", next_step="mend it")):
        with pytest.raises(type(final)):
            _pause(final, options.pauses())


def test_a_client_does_not_need_torch() -> None:
    code = "import sys, ecclip.serving; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
