"""What a version must show on a server: the golden answers of its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecclip.client import ProductClient
from ecclip.errors import ClientError
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.deploy.repository import Staged
from ecclip.serving.golden import Golden
from ecclip.serving.server.access import client_options


@dataclass(frozen=True)
class Blessing:
    """Whether a version may serve, and what it costs beside the champion (fields of ``Cost`` by name, if measured)."""

    version: int
    passed: bool
    reasons: list[str] = field(default_factory=list)
    max_difference: float = 0.0
    cost: Mapping[str, float | None] = field(default_factory=dict)
    champion_cost: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def latency_ms(self) -> float:
        """The median of requests with one listing; 0 where it was not measured."""
        return self.cost.get("latency_ms") or 0.0


def examine(address: str, model: str, staged: Staged, golden: list[Golden]) -> Blessing:
    """Ask a model on one server the golden listings of a version, and compare the answers."""
    try:
        with ProductClient(address, client_options(model=model, version=str(staged.version))) as client:
            answers = client.ask([one.product for one in golden])
    except ClientError as error:
        return Blessing(staged.version, False, [str(error)])
    found = compare(golden, answers, Tolerance(**staged.tolerance))
    reasons = found.reasons + [
        f"{one.listing_id}: lineage {answer.lineage!r} instead of {staged.lineage!r}"
        for one, answer in zip(golden, answers, strict=True)
        if answer.lineage != staged.lineage
    ]
    return Blessing(staged.version, not reasons, reasons, found.embedding)
