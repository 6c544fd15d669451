"""The first peer: onnxruntime in the process that has the listings, one process per core, nothing on a wire.

Each of them is given bundle and messages, and waits for lines of JSON: seconds, and listings per call.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

from ecclip.bench.answering.generator import child_arguments, start_child
from ecclip.bench.answering.messages import read_messages
from ecclip.bench.answering.onnx_bundle import WORKERS, OnnxBundle
from ecclip.core import ServiceError

_MODULE = "ecclip.bench.answering.in_process"


class InProcess:
    """Worker processes that answer listings when they are told to."""

    name = "onnxruntime in process"

    def __init__(self, bundle: Path, messages: Path) -> None:
        self._workers = [start_child(_MODULE, str(bundle), str(messages)) for _ in range(WORKERS)]
        for number in range(WORKERS):
            self._line(number)

    def rate(self, concurrency: int, warm_s: float, measured_s: float, at_once: int = 1) -> float:
        """Return listings per second where so many wait: as many processes work, as far as there are cores."""
        working = range(min(concurrency, WORKERS))
        for number in working:
            self._tell(number, json.dumps([warm_s, measured_s, at_once]))
        return sum(float(self._line(number)) for number in working)

    def stop(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.communicate()

    def _tell(self, number: int, line: str) -> None:
        stream = self._workers[number].stdin
        assert stream is not None
        stream.write(f"{line}\n")
        stream.flush()

    def _line(self, number: int) -> str:
        stream = self._workers[number].stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            raise ServiceError("a process of the peer failed", value=number, next_step="read what it said above")
        return line


def main() -> None:
    """Load the bundle, then answer listings whenever a line asks for it; print the rate."""
    folder, messages = map(Path, child_arguments())
    bundle, products = OnnxBundle(folder, threads=1), itertools.cycle(read_messages(messages)["products"])
    _say("ready")
    for line in sys.stdin:
        warm_s, measured_s, at_once = json.loads(line)
        start = time.monotonic() + warm_s
        answered = 0
        while (now := time.monotonic()) < start + measured_s:
            bundle.ask(list(itertools.islice(products, at_once)))
            answered += at_once if now >= start else 0
        _say(answered / (time.monotonic() - start))


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
