"""What a version must show on a server: the golden answers, and what answering costs."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from ecclip.client import ProductClient
from ecclip.errors import ClientError
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.deploy.repository import Staged
from ecclip.serving.golden import Golden, read_golden
from ecclip.serving.server.access import client_options

_LATENCY_QUESTIONS = 12  # requests of one listing each, of which the median counts; by judgment


@dataclass(frozen=True)
class Blessing:
    """Whether a version may serve; ``latency_ms`` is the median of requests with one listing."""

    version: int
    passed: bool
    reasons: list[str] = field(default_factory=list)
    max_difference: float = 0.0
    latency_ms: float = 0.0


def examine(address: str, model: str, staged: Staged, questions: Path) -> Blessing:
    """Ask a model on one server the golden listings of a version, which lie at ``questions``."""
    golden = read_golden(questions)
    options = client_options(model=model, version=str(staged.version))
    try:
        with ProductClient(address, options) as client:
            answers = client.ask([one.product for one in golden])
            latency_ms = _latency_ms(client, golden)
    except ClientError as error:
        return Blessing(staged.version, False, [str(error)])
    found = compare(golden, answers, Tolerance(**staged.tolerance))
    reasons = found.reasons + [
        f"{one.listing_id}: lineage {answer.lineage!r} instead of {staged.lineage!r}"
        for one, answer in zip(golden, answers, strict=True)
        if answer.lineage != staged.lineage
    ]
    return Blessing(staged.version, not reasons, reasons, found.embedding, latency_ms)


def _latency_ms(client: ProductClient, golden: list[Golden]) -> float:
    good = [one.product for one in golden if not one.answer.error]
    seconds = []
    for number in range(_LATENCY_QUESTIONS):
        started = time.perf_counter()
        client.ask([good[number % len(good)]])
        seconds.append(time.perf_counter() - started)
    return round(1e3 * statistics.median(seconds), 3)
