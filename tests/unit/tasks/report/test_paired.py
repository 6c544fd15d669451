"""Ours beside the frozen start on the same listings: against a plain loop, where training pays and where it harms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ecclip.core import ContractError, canonical_json
from ecclip.formats.embeddings import Embeddings, load_embeddings, read_origin, write_embeddings, write_origin
from ecclip.tasks import EvaluateConfig, check_claims, evaluate, load_heads, read_evidence
from ecclip.tasks.kinds import TASKS
from ecclip.tasks.report.metrics import Bootstrap

CFG = EvaluateConfig(bootstrap_rounds=60, examples=0)
MODALITIES = ("image", "text", "both")
CELLS = {f"{task.name}/{modality}" for task in TASKS for modality in MODALITIES}


@pytest.fixture(scope="module")
def evaluated(snapshot: Path, embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("paired") / "evaluate"
    evaluate(CFG, snapshot, embedded, output)
    return output


def report_of(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def _with_ours(embedded: Path, folder: Path, change: Callable[[Embeddings, Embeddings], Embeddings]) -> Path:
    """Copy embeddings, with ours changed by what they were and what the frozen start has."""
    shutil.copytree(embedded, folder)
    write_embeddings(change(load_embeddings(embedded), load_embeddings(embedded / "frozen")), folder)
    return folder


def test_every_cell_is_compared_and_ours_is_the_reported_figure(evaluated: Path) -> None:
    report = report_of(evaluated)
    assert set(report["comparisons"]) >= CELLS
    for task in TASKS:
        for modality in MODALITIES:
            found = report["comparisons"][f"{task.name}/{modality}"]["frozen_start"]
            assert found["ours"] == report["metrics"][f"{task.name}/{modality}/{task.headline[0][1]}"]
            assert found["difference"] == pytest.approx(found["ours"] - found["other"], abs=2e-6)
            assert found["low"] <= found["difference"] <= found["high"]
    for modality in MODALITIES:
        found = report["comparisons"][f"matching/{modality}"]["frozen_start"]
        assert found["ours"] == report["metrics"][f"matching/{modality}/recall@1"]
        assert found["rows"] == report["rows"][f"matching/{modality}/queries"]
        assert found["other"] < found["ours"]


def test_where_training_pays_cells_are_ahead_and_none_is_behind(evaluated: Path) -> None:
    cells = report_of(evaluated)["cells"]
    assert cells["cells_ahead"] >= 3
    assert (cells["cells_behind"], cells["cells_fallback"]) == (0, 0)
    page = (evaluated / "report.html").read_text()
    assert f"In {cells['cells_ahead']} of {cells['cells_total']} cells" in page
    assert "in 0 behind" in page


def test_where_training_harmed_the_frozen_start_is_ahead(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    """What a rate far too high leaves: embeddings that know nothing of the listings."""

    def ruin(ours: Embeddings, frozen: Embeddings) -> Embeddings:
        drawn = np.random.default_rng(5).normal(size=ours.text.shape).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return Embeddings(ours.listing_ids, np.where(np.isnan(ours.image), np.nan, drawn), drawn)

    evaluate(CFG, snapshot, _with_ours(embedded, tmp_path / "embed", ruin), tmp_path / "evaluate")
    report = report_of(tmp_path / "evaluate")
    assert report["cells"]["cells_behind"] >= 6
    assert report["cells"]["cells_ahead"] == 0
    assert report["comparisons"]["category/text"]["frozen_start"]["high"] < 0
    check_claims(tmp_path / "evaluate")


def test_a_tower_that_is_the_start_again_is_a_fallback(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    def keep_image(ours: Embeddings, frozen: Embeddings) -> Embeddings:
        return replace(ours, image_features=frozen.image_features, text_features=ours.text)

    evaluate(CFG, snapshot, _with_ours(embedded, tmp_path / "embed", keep_image), tmp_path / "evaluate")
    cells = report_of(tmp_path / "evaluate")["cells"]
    image_cells = [cell for cell in report_of(tmp_path / "evaluate")["comparisons"] if cell.endswith("/image")]
    assert cells["cells_fallback"] == len(image_cells) >= 3


def test_a_night_that_went_back_to_where_its_training_began_is_a_fallback_in_every_cell(
    snapshot: Path, embedded: Path, tmp_path: Path
) -> None:
    """A fine-tuning begins with the champion's towers, whose features are not the frozen start's."""
    shutil.copytree(embedded, tmp_path / "embed")
    write_origin(replace(read_origin(embedded), start_share="1.0"), tmp_path / "embed")
    evaluate(CFG, snapshot, tmp_path / "embed", tmp_path / "evaluate")
    cells = report_of(tmp_path / "evaluate")["cells"]
    assert cells["cells_fallback"] == cells["cells_total"] > 0


def test_shares_and_intervals_are_those_of_a_plain_loop_over_resampled_groups(evaluated: Path) -> None:
    """Count by listing what both systems answer, and draw whole groups with the generator that is named."""
    heads, kept = load_heads(evaluated / "heads"), read_evidence(evaluated)
    head = next(one for one in heads.parts if one.name == "category")
    place = list(heads.parts).index(head)
    truth = kept["truth"][place]
    ours = heads.logits(kept["image"], kept["text"], "text")[:, head.start : head.stop].argmax(axis=1) == truth
    other = kept["frozen_logits"][:, 1, head.start : head.stop].argmax(axis=1) == truth
    assert abs(int(ours.sum()) - int(other.sum())) > 0
    groups = sorted(set(kept["groups"].tolist()))
    members = {group: np.flatnonzero(kept["groups"] == group) for group in groups}
    draws = np.random.default_rng(CFG.seed).integers(0, len(groups), (CFG.bootstrap_rounds, len(groups)))
    differences = []
    for draw in draws:
        drawn = np.concatenate([members[groups[number]] for number in draw])
        differences.append(float(ours[drawn].mean() - other[drawn].mean()))
    found = report_of(evaluated)["comparisons"]["category/text"]["frozen_start"]
    assert found["rows"] == len(truth)
    assert (found["ours"], found["other"]) == (round(float(ours.mean()), 6), round(float(other.mean()), 6))
    assert [found["low"], found["high"]] == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=2e-6)
    assert found["error"] == pytest.approx(np.std(differences), abs=2e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_resampled_average_precisions_equal_scikit_learn_draw_by_draw(weighted: bool) -> None:
    chance = np.random.default_rng(3)
    truth, scores = (chance.random(90) < 0.2).astype(float), np.round(chance.random(90), 1)  # many equal scores
    groups, weights = chance.integers(0, 30, 90), (chance.integers(0, 2, 90) if weighted else np.ones(90))
    found = Bootstrap(groups, 25, seed=4).average_precisions(truth, scores, weights)
    names = np.unique(groups)
    for value, draw in zip(found, np.random.default_rng(4).integers(0, len(names), (25, len(names))), strict=True):
        times = np.array([(names[draw] == group).sum() for group in groups]) * weights
        if (times * truth).any():
            assert value == pytest.approx(average_precision_score(truth, scores, sample_weight=times))
        else:
            assert np.isnan(value)


@pytest.mark.parametrize("change", ["raised", "left out"])
def test_a_report_that_says_otherwise_of_the_frozen_start_is_refused(
    evaluated: Path, tmp_path: Path, change: str
) -> None:
    shutil.copytree(evaluated, tmp_path / "evaluate")
    report = report_of(tmp_path / "evaluate")
    if change == "raised":
        report["comparisons"]["category/both"]["frozen_start"]["other"] -= 0.2
    else:
        del report["comparisons"]["category/both"]
    (tmp_path / "evaluate" / "report.json").write_text(canonical_json(report))
    with pytest.raises(ContractError, match="category/both/top1"):
        check_claims(tmp_path / "evaluate")


def test_embeddings_without_the_frozen_start_leave_a_gap_with_its_reason(
    snapshot: Path, embedded: Path, tmp_path: Path
) -> None:
    shutil.copytree(embedded, tmp_path / "embed")
    shutil.rmtree(tmp_path / "embed" / "frozen")
    evaluate(CFG, snapshot, tmp_path / "embed", tmp_path / "evaluate")
    report = report_of(tmp_path / "evaluate")
    assert (report["comparisons"], report["cells"]) == ({}, {})
    assert "frozen start" in report["missing"]["frozen_start"]
    assert "There is nothing to compare with" in (tmp_path / "evaluate" / "report.html").read_text()
