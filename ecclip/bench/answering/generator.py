"""The load generator as its caller sees it: a process of its own that asks, and returns every question's fate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ecclip.bench.answering.messages import Wire
from ecclip.core import ServiceError
from ecclip.core.services import end_with_parent

_MODULE = "ecclip.bench.answering.load"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of a server.

    Attributes:
        messages: file of the questions.
        wire: how they are sent.
        address: host:port.
        kind: ``closed``: each of ``concurrency`` clients asks again as soon as it has its answer, for ``seconds`` or
            until it is told to end. ``open``: questions arrive at ``rate`` per second whether answered or not; then one
            client asks alone for ``after_s``. ``churn``: ``calls`` questions of ``concurrency`` clients, of which some
            give up at once and some come with a connection of their own.
    """

    messages: Path
    wire: Wire
    address: str
    kind: Literal["closed", "open", "churn"] = "closed"
    concurrency: int = 1
    seconds: float | None = None
    rate: float = 0.0
    after_s: float = 0.0
    calls: int = 0


class Question(NamedTuple):
    """When one was asked and answered (seconds of the machine's monotonic clock), and with what outcome.

    The outcome is a lineage id, ``answered``, or a reason after an exclamation mark.
    """

    begun: float
    ended: float
    outcome: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.begun

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer."""
        return not self.outcome.startswith("!")


@dataclass
class Fates:
    """Every question of a load; ``alone`` holds those of the single client after an open one."""

    questions: list[Question] = field(default_factory=list)
    alone: list[Question] = field(default_factory=list)

    def failed(self) -> Counter[str]:
        """Return the reasons of questions without an answer, and how often each was seen."""
        return Counter(one.outcome[1:] for one in self.questions if not one.is_answered)

    def seconds(self, start: float, stop: float) -> list[float]:
        """Return how long each answer took that came between two moments."""
        return [one.seconds for one in self.questions if start <= one.ended < stop and one.is_answered]

    @property
    def first(self) -> float:
        """When the first question was asked."""
        return min(one.begun for one in self.questions)

    @property
    def last(self) -> float:
        """When the last question was asked."""
        return max(one.begun for one in self.questions)


class Running:
    """A generator at work."""

    def __init__(self, load: Load) -> None:
        self._process = start_child(_MODULE, json.dumps(asdict(load) | {"messages": str(load.messages)}))

    def kill(self) -> None:
        """End it in the middle of its questions."""
        self._process.kill()
        self._close()

    def await_first(self) -> None:
        """Wait until its first question has been answered.

        Raises:
            ServiceError: it failed before.
        """
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self._close()
            self._require_success()

    def finish(self) -> Fates:
        """Tell it to end, if it does not by itself, and return what it saw.

        Raises:
            ServiceError: it failed; what it said stands on this process's error output.
        """
        output = self._close()
        self._require_success()
        return _fates(json.loads(output.splitlines()[-1]))

    def _close(self) -> str:
        """Tell it to end, and return what else it printed."""
        with self._process as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            return process.stdout.read()

    def _require_success(self) -> None:
        if self._process.returncode:
            raise ServiceError(
                "the load generator failed", value=self._process.returncode, next_step="read what it said above"
            )


def generate(load: Load) -> Fates:
    """Run a load to its end."""
    return Running(load).finish()


def start_child(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module of this package; its ``main`` takes :func:`child_arguments`. It is spoken to by its pipes."""
    command = [sys.executable, "-m", module, str(os.getpid()), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def child_arguments() -> list[str]:
    """Return the arguments of a process that :func:`start_child` started, which from now on ends with its starter."""
    starter, *arguments = sys.argv[1:]
    end_with_parent(int(starter))
    return arguments


def _fates(values: dict[str, Any]) -> Fates:
    return Fates(**{name: [Question(*one) for one in questions] for name, questions in values.items()})
