"""What is sent: bounded batches, refusals before anything is sent, errors with names."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_server import Columns, InferenceServer, Question, inference_server

from ecclip.client import (
    IMAGE_BYTES,
    AsyncProductClient,
    ClientOptions,
    ConfigError,
    DeadlineExceeded,
    NotLoaded,
    Overloaded,
    Product,
    ProductClient,
    Rejected,
    Unavailable,
)
from ecclip.core import ServiceError
from ecclip.formats.service import OUTPUTS, encode

MESSAGE_BYTES = 32 * 1024 * 1024


def _titles_as_lineage(question: Question) -> Columns:
    """Answer with each listing's own title, so that an answer says which question it belongs to."""
    rows = [{"LINEAGE": title.decode(), "ERROR": ""} for title in question.inputs["TITLE"]]
    return {one.name: encode(one, [row.get(one.name) for row in rows]) for one in OUTPUTS}


@pytest.fixture(scope="module")
def running() -> Iterator[InferenceServer]:
    with inference_server(_titles_as_lineage) as server:
        yield server


@pytest.fixture
def server(running: InferenceServer) -> Iterator[InferenceServer]:
    running.asked.clear()
    yield running
    running.refusal = None


def _client(server: InferenceServer, **options: float) -> ProductClient:
    return ProductClient(server.address, ClientOptions(**{"timeout_s": 600.0, **options}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clients(running: InferenceServer) -> Iterator[dict[int, ProductClient]]:
    """Return one client per limit of a batch: examples of a property share them."""
    made = {limit: _client(running, max_batch=limit) for limit in range(1, 33)}
    yield made
    for client in made.values():
        client.close()


@given(st.integers(0, 90), st.integers(1, 32))
def test_listings_are_answered_in_order_whatever_the_size_of_a_batch(
    running: InferenceServer, clients: dict[int, ProductClient], count: int, limit: int
) -> None:
    running.asked.clear()
    answers = clients[limit].ask([Product(title=f"{number}") for number in range(count)])
    assert [one.lineage for one in answers] == [f"{number}" for number in range(count)]
    assert [one.rows for one in running.asked] == [limit] * (count // limit) + [count % limit] * (count % limit > 0)


@pytest.mark.parametrize(
    ("sizes", "messages"),
    [
        ([IMAGE_BYTES - 4] * 5, [4, 1]),  # exactly the limit with their titles
        ([IMAGE_BYTES] + [IMAGE_BYTES - 4] * 4, [3, 2]),
        ([1, *[IMAGE_BYTES] * 3, 1, *[IMAGE_BYTES] * 2, 1], [5, 3]),
    ],
)
def test_a_message_stays_below_its_limit_of_bytes(
    server: InferenceServer, sizes: list[int], messages: list[int]
) -> None:
    with _client(server) as client:
        answers = client.ask([Product(image=bytes(size), title=f"{row}") for row, size in enumerate(sizes)])
    assert [one.lineage for one in answers] == [f"{row}" for row in range(len(sizes))]
    assert [one.rows for one in server.asked] == messages
    sent = [len(image) for one in server.asked for image in one.inputs["IMAGE"]]
    assert sent == sizes
    assert all(sum(map(len, one.inputs["IMAGE"])) <= MESSAGE_BYTES for one in server.asked)


def test_an_image_above_the_limit_is_refused_before_anything_is_sent(server: InferenceServer) -> None:
    with _client(server, max_batch=1) as client, pytest.raises(Rejected, match="listing 1"):
        client.ask([Product(title="fine"), Product(image=bytes(IMAGE_BYTES + 1))])
    assert server.asked == []


def test_any_title_can_be_sent(server: InferenceServer) -> None:
    with _client(server) as client:
        client.ask([Product(title="\ud800 lone surrogate"), Product(title=None), Product(title="가방\0")])
    assert server.asked[0].inputs["TITLE"] == [b"? lone surrogate", b"", "가방\0".encode()]
    assert server.asked[0].declared == [("IMAGE", "BYTES", [3, 1]), ("TITLE", "BYTES", [3, 1])]


@pytest.mark.parametrize(
    ("status", "message", "expected", "attempts"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineExceeded, 1),
        (grpc.StatusCode.UNAVAILABLE, "Request timeout expired", DeadlineExceeded, 1),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", Overloaded, 4),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", Overloaded, 4),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max", Rejected, 1),
        (grpc.StatusCode.UNAVAILABLE, "failed to connect", Unavailable, 4),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model", NotLoaded, 4),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", Rejected, 1),
    ],
)
def test_every_failure_has_a_name_and_only_unavailability_is_tried_again(
    server: InferenceServer, status: grpc.StatusCode, message: str, expected: type[ServiceError], attempts: int
) -> None:
    server.refusal = (status, message)
    with _client(server, retries=3, backoff_s=0.001) as client, pytest.raises(ServiceError, match=message) as raised:
        client.ask([Product(title="mug")])
    assert type(raised.value) is expected
    assert len(server.asked) == attempts


def test_the_pause_between_attempts_doubles_up_to_a_second() -> None:
    assert list(ClientOptions(retries=3, backoff_s=0.4).pauses()) == [0.4, 0.8, 1.0]
    assert list(ClientOptions(retries=2000).pauses())[-1] == 1.0, "however often it is asked again"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0.0}, {"timeout_s": float("inf")}, {"timeout_s": float("nan")}, {"margin_s": -1.0},
        {"retries": -1}, {"backoff_s": float("inf")}, {"max_pause_s": -0.1}, {"max_batch": 0}, {"max_batch": 33},
    ],
    ids=str,
)  # fmt: skip
def test_a_limit_that_would_never_end_or_never_ask_is_refused(wrong: dict[str, float]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"value: {name}={value}; limit: .*next: "):
        ClientOptions(**wrong)  # type: ignore[arg-type]


def test_the_default_limit_of_time_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_PATIENCE", "2.5")
    assert (ClientOptions().timeout_s, ClientOptions(timeout_s=3.0).timeout_s) == (25.0, 3.0)
    monkeypatch.delenv("ECCLIP_PATIENCE")
    assert ClientOptions().timeout_s == 10.0


def test_listings_are_taken_a_message_at_a_time_as_their_answers_are_read(server: InferenceServer) -> None:
    taken = []

    def listings() -> Iterator[Product]:
        for number in range(7):
            taken.append(number)
            yield Product(title=f"{number}")

    with _client(server, max_batch=3) as client:
        answers = client.ask_each(listings())
        assert (taken, server.asked) == ([], [])
        assert next(answers).lineage == "0"
        assert (len(taken), len(server.asked)) == (3, 1)
        assert [one.lineage for one in answers] == [f"{number}" for number in range(1, 7)]
    assert [one.rows for one in server.asked] == [3, 3, 1]


def test_the_answers_before_a_listing_that_cannot_be_sent_are_read(server: InferenceServer) -> None:
    products = [Product(title="0"), Product(title="1"), Product(image=bytes(IMAGE_BYTES + 1))]
    read: list[str] = []
    with _client(server, max_batch=1) as client, pytest.raises(Rejected, match="listing 2"):
        read.extend(one.lineage for one in client.ask_each(products))
    assert read == ["0", "1"]


def test_messages_of_the_async_client_are_on_their_way_together_and_no_more_than_allowed() -> None:
    together, now, most, lock = threading.Barrier(3), [0], [0], threading.Lock()

    def wait_for_two_more(question: Question) -> Columns:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()
        with lock:
            now[0] -= 1
        return _titles_as_lineage(question)

    async def ask(address: str) -> list[str]:
        options = ClientOptions(timeout_s=600.0, max_batch=2)
        async with AsyncProductClient(address, options, in_flight=3) as client:
            return [one.lineage async for one in client.ask_each(Product(title=f"{number}") for number in range(18))]

    with inference_server(wait_for_two_more, threads=8) as server:
        assert asyncio.run(ask(server.address)) == [f"{number}" for number in range(18)]
    assert (len(server.asked), most[0]) == (9, 3)
    with pytest.raises(ConfigError, match="in_flight=0"):
        AsyncProductClient("127.0.0.1:9", in_flight=0)


def test_a_client_does_not_need_torch() -> None:
    code = "import sys, ecclip.serving; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
