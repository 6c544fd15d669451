"""A challenger beside champions and the frozen start, on tonight's test listings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from challengers import CFG, TOP1, register_champion, register_version
from registries import MLFLOW_WARNINGS

from ecclip import registry
from ecclip.core import IntegrityError
from ecclip.formats.report import Comparison, Rescored
from ecclip.registry import GateConfig, MetricGate

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("workspace")]


def _compared(difference: float, error: float, rows: int = 400) -> Comparison:
    return Comparison(
        metric="top1", rows=rows, ours=0.7 + difference, other=0.7, difference=difference, error=error,
        low=difference - 2 * error, high=difference + 2 * error,
    )  # fmt: skip


def _score(
    workspace: Path, frozen: dict[str, Comparison], **champions: dict[str, Comparison]
) -> Callable[[Path, Path | None], Rescored]:
    """Return what tonight's listings say: of the frozen start, and of champions by their version (``v1``)."""
    digests = {registry.model_version(name[1:]).digest: cells for name, cells in champions.items()}

    def score(challenger: Path, other: Path | None) -> Rescored:
        if other is not None and other.name not in digests:
            raise IntegrityError("the snapshot of the bundle's night is gone", next_step="dvc checkout")
        return Rescored(ours={TOP1: 0.81}, theirs={TOP1: 0.9}, cells=frozen if other is None else digests[other.name])

    return score


def test_what_answers_is_asked_about_tonights_listings_and_its_own_claims_no_longer_count(
    workspace: Path, tmp_path: Path
) -> None:
    first = register_champion(tmp_path, top1=0.80, ece=0.05)
    second = register_version(tmp_path, "2026-11-02", top1=0.80, ece=0.05)
    assert registry.check_gate(CFG, second).passed
    verdict = registry.check_gate(CFG, second, score=_score(workspace, {}, **{f"v{first}": {}}))
    assert verdict.reasons == (f"{TOP1}: 0.8100 against the champion's 0.9000: worse by more than 0.0200",)
    assert (verdict.compared[1]["metric"], verdict.compared[1]["champion"]) == (TOP1, 0.9), "as it was asked"
    unasked = registry.check_gate(CFG, second, score=_score(workspace, {}))
    assert unasked.passed
    assert "snapshot of the bundle's night is gone" in unasked.notes[0]


def test_any_cell_or_part_that_is_proven_worse_than_the_frozen_start_or_a_champion_refuses(
    workspace: Path, tmp_path: Path
) -> None:
    first = register_champion(tmp_path, top1=0.80, ece=0.05)
    second = register_version(tmp_path, "2026-11-02", top1=0.80, ece=0.05)
    lax = GateConfig(metrics={TOP1: MetricGate(floor=0.5)})
    part, clear, vague = "category/image, root: home", _compared(-0.10, 0.02), _compared(-0.10, 0.08)
    for frozen, champion, refused in (
        ({"category/image": clear}, {}, ["category/image"]),
        ({"category/image": vague}, {}, []),
        ({part: clear}, {}, [part]),
        ({part: _compared(-0.5, 0.01, rows=19)}, {}, []),
        ({}, {"category/text": clear}, ["category/text"]),
        ({"category/text": _compared(-0.01, 0.001)}, {"category/text": _compared(-0.01, 0.001)}, ["category/text"]),
        ({"category/image": _compared(0.1, 0.02)}, {"category/image": _compared(0.1, 0.02)}, []),
    ):
        score = _score(workspace, frozen, **{f"v{first}": champion})
        verdict = registry.check_gate(lax, second, score=score)
        assert [row["cell"] for row in verdict.cells if row["reason"]] == refused
        assert verdict.passed is (refused == [])
        assert len(verdict.reasons) == len(refused)
    assert (
        "of the frozen start"
        in registry.check_gate(lax, second, score=_score(workspace, {part: clear}, **{f"v{first}": {}})).reasons[0]
    )


def test_many_comparisons_refuse_no_more_often_than_one(workspace: Path, tmp_path: Path) -> None:
    """Two standard errors below are proof of one comparison, and to be expected among fifty."""
    version = register_version(tmp_path, "2026-11-01", top1=0.80, ece=0.05)
    one = {"category/image": _compared(-0.10, 0.05)}
    fifty = {f"category/image, root: r{number}": _compared(-0.10, 0.05) for number in range(50)}
    cfg = GateConfig(metrics={TOP1: MetricGate(floor=0.5)})
    assert not registry.check_gate(cfg, version, score=_score(workspace, one)).passed
    verdict = registry.check_gate(cfg, version, score=_score(workspace, fifty))
    assert verdict.passed
    assert len(verdict.cells) == 50
