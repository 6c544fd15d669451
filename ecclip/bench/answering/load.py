"""The load generator's process: it is told a load as JSON, and prints every question's fate as JSON.

It sends messages that were made before, and looks at no more of an answer than is needed to know that it is one, so
that it takes little of the processors that it shares with the servers.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import grpc

from ecclip.bench.answering.generator import Fates, Load, Question, child_arguments
from ecclip.bench.answering.messages import outcome_of_http, outcome_of_triton, read_messages
from ecclip.core import patient

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_LIMIT_S = 60.0  # of a question: far more than the server's own limit
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_PAUSE_S = 0.01  # after a failure: a client that asked on at once would keep the processor from a server that starts
_OWN = ("grpc.use_local_subchannel_pool", 1)  # a channel's connection is its own
_GIVES_UP_EVERY, _GIVES_UP_AFTER_S = 10, 0.005  # clients of a churn: by judgment
_CONNECTS_EVERY = 25  # by judgment
_BEHIND_S = 0.0005  # a question that is due so soon is sent


class Asker(Protocol):
    """A connection: sends a message and says what became of it."""

    def ask(self, message: Any, timeout_s: float | None = None) -> str:
        """Return the outcome of a message; it is given up after the limit of every question, or sooner."""

    def close(self) -> None:
        """End the connection."""


class OverGrpc:
    """A connection to Triton."""

    def __init__(self, address: str, *options: tuple[str, int]) -> None:
        self._channel = grpc.insecure_channel(address, options=[*_OPTIONS, *options])
        self._call = self._channel.unary_unary(_METHOD)

    def ask(self, message: bytes, timeout_s: float | None = None) -> str:
        """Return the outcome of a message; it is given up after the limit of every question, or sooner."""
        return _outcome(lambda: self._call(message, timeout=timeout_s or patient(_LIMIT_S)))

    def begin(self, message: bytes, told: Callable[[str], None]) -> None:
        """Send a message without waiting; ``told`` is called with its outcome, from another thread."""
        future = self._call.future(message, timeout=patient(_LIMIT_S))
        future.add_done_callback(lambda done: told(_outcome(done.result)))

    def close(self) -> None:
        """End the connection."""
        self._channel.close()


class OverHttp:
    """A connection to a web server, kept open."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=patient(_LIMIT_S))

    def ask(self, message: tuple[str, bytes], timeout_s: float | None = None) -> str:  # noqa: ARG002 - as of OverGrpc
        """Return the outcome of a message."""
        kind, body = message
        self._connection.request("POST", "/ask", body, {"Content-Type": kind})
        reply = self._connection.getresponse()
        return outcome_of_http(reply.status, reply.read())

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def run(load: Load, messages: list[Any]) -> Fates:
    """Ask until the load is done, and return every question's fate."""
    if load.kind == "open":
        return _open(load, messages)
    if load.kind == "churn":
        return _together(load, lambda place: _churn(load, messages, place))
    return _together(load, lambda place: _closed(load, messages, place))


def _together(load: Load, ask: Callable[[int], Iterator[Question]]) -> Fates:
    """Run one thread per client; ``ask`` yields the fates of one client's questions."""
    fates = Fates()

    def client(place: int) -> None:
        for one in ask(place):
            fates.questions.append(one)
            _say_first()

    threads = [_Thread(client, place) for place in range(load.concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.end()
    return fates


def _closed(load: Load, messages: list[Any], place: int) -> Iterator[Question]:
    connection: Asker = OverGrpc(load.address) if load.wire == "grpc" else OverHttp(load.address)
    stops = None if load.seconds is None else time.monotonic() + load.seconds
    for message in itertools.islice(itertools.cycle(messages), place % len(messages), None):
        begun = time.monotonic()
        if _STOPPED.is_set() if stops is None else begun >= stops:
            break
        question = _timed(begun, connection.ask(message))
        yield question
        if not question.is_answered:
            time.sleep(_PAUSE_S)
    connection.close()


def _churn(load: Load, messages: list[Any], place: int) -> Iterator[Question]:
    usual = OverGrpc(load.address)
    for number in range(place, load.calls, load.concurrency):
        message, begun = messages[number % len(messages)], time.monotonic()
        if number % _CONNECTS_EVERY == 0:
            own = OverGrpc(load.address, _OWN)
            outcome = own.ask(message)
            own.close()
        else:
            outcome = usual.ask(message, _GIVES_UP_AFTER_S if number % _GIVES_UP_EVERY == 0 else None)
        yield _timed(begun, outcome)
    usual.close()


def _open(load: Load, messages: list[bytes]) -> Fates:
    connection, fates, told = OverGrpc(load.address), Fates(), threading.Semaphore(0)
    began = time.monotonic()
    count = round(load.rate * (load.seconds or 0.0))

    def enter(begun: float, outcome: str) -> None:
        fates.questions.append(_timed(begun, outcome))
        told.release()

    for number in range(count):
        early = began + number / load.rate - time.monotonic()
        if early > _BEHIND_S:
            time.sleep(early)
        connection.begin(messages[number % len(messages)], functools.partial(enter, time.monotonic()))
    alone = Load(messages=load.messages, wire="grpc", address=load.address, seconds=load.after_s)
    fates.alone = run(alone, messages).questions
    for _ in range(count):
        told.acquire()
    connection.close()
    return fates


def _timed(begun: float, outcome: str) -> Question:
    return Question(begun, time.monotonic(), outcome)


def _outcome(answer: Callable[[], bytes]) -> str:
    try:
        return outcome_of_triton(answer())
    except grpc.RpcError as error:
        if "maximum queue size" in str(error.details()):
            return "!overloaded"
        return f"!{error.code().name.lower()}: {error.details()}"


class _Thread(threading.Thread):
    """A thread whose error is raised where it is waited for."""

    def __init__(self, work: Callable[[int], None], place: int) -> None:
        super().__init__(daemon=True)
        self._work, self._place = work, place
        self._error: BaseException | None = None

    def run(self) -> None:
        """Work."""
        try:
            self._work(self._place)
        except BaseException as error:  # noqa: BLE001 - raised by end()
            self._error = error

    def end(self) -> None:
        """Wait for the end, and raise what ended it."""
        self.join()
        if self._error is not None:
            raise self._error


_STOPPED = threading.Event()
_FIRST = iter([f"asking{os.linesep}"])  # said once


def _say_first() -> None:
    """Tell the caller that the first question has been answered."""
    for word in _FIRST:
        sys.stdout.write(word)
        sys.stdout.flush()


def _stop_when_told() -> None:
    sys.stdin.read()  # ends when the caller closes it, or ends itself
    _STOPPED.set()


def main() -> None:
    """Read the load, ask, print."""
    values = json.loads(child_arguments()[0])
    load = Load(**values | {"messages": Path(values["messages"])})
    threading.Thread(target=_stop_when_told, daemon=True).start()
    fates = run(load, read_messages(load.messages)[load.wire])
    sys.stdout.write(json.dumps(asdict(fates)))


if __name__ == "__main__":
    main()
