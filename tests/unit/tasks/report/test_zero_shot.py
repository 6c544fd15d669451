"""Zero-shot answers: the nearest prompt, against a plain loop; from photos only where the towers share a space."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ecclip.core import IntegrityError
from ecclip.formats.embeddings import (
    Prompts,
    attribute_prompt,
    category_prompt,
    load_frozen,
    load_prompts,
    write_prompts,
)
from ecclip.tasks import EvaluateConfig, evaluate

CFG = EvaluateConfig(bootstrap_rounds=20, examples=0)


def _labels(snapshot: Path) -> list[dict[str, Any]]:
    columns = ["listing_id", "category", "attributes", "split"]
    return list(pq.read_table(snapshot / "listings", columns=columns).sort_by("listing_id").to_pylist())


def _prompts(snapshot: Path, embedded: Path, *, joint: bool) -> Prompts:
    """Give each category the mean title of its train listings, as a start that knows the names would."""
    frozen, rows = load_frozen(embedded), _labels(snapshot)
    assert frozen is not None
    assert frozen.embeddings.text_features is not None
    paths = [tuple(row["category"] or ()) for row in rows]
    known = sorted({path for path in paths if path})
    train = [path if row["split"] == "train" else None for path, row in zip(paths, rows, strict=True)]
    means = [
        [vectors[[path == one for path in train]].mean(axis=0) for one in known]
        for vectors in (frozen.embeddings.text, frozen.embeddings.text_features)
    ]
    units = [np.array(one, np.float32) / np.linalg.norm(one, axis=1, keepdims=True) for one in means]
    return Prompts([category_prompt(path) for path in known], units[0], units[1], joint)


def _report(snapshot: Path, embedded: Path, folder: Path, prompts: Prompts | None) -> dict[str, Any]:
    shutil.copytree(embedded, folder / "embed")
    if prompts is not None:
        write_prompts(prompts, folder / "embed")
    evaluate(CFG, snapshot, folder / "embed", folder / "evaluate")
    return dict(json.loads((folder / "evaluate" / "report.json").read_text()))


def _compared(report: dict[str, Any]) -> set[str]:
    return {cell for cell, found in report["comparisons"].items() if "zero_shot" in found}


def test_the_answer_is_the_label_of_the_nearest_prompt(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    prompts = _prompts(snapshot, embedded, joint=True)
    report = _report(snapshot, embedded, tmp_path, prompts)
    frozen, rows = load_frozen(embedded), _labels(snapshot)
    assert frozen is not None
    right = []
    for row, vector in zip(rows, frozen.embeddings.text, strict=True):
        if row["split"] == "test" and row["category"]:
            nearest = max(range(len(prompts.texts)), key=lambda place: float(vector @ prompts.embeddings[place]))
            right.append(prompts.texts[nearest] == category_prompt(row["category"]))
    found = report["comparisons"]["category/text"]["zero_shot"]
    assert found["rows"] == len(right)
    assert found["other"] == pytest.approx(np.mean(right), abs=1e-6)
    assert 0.3 < found["other"] < found["ours"]
    assert _compared(report) == {"category/image", "category/text", "category/both"}
    assert "zero-shot with the start" in (tmp_path / "evaluate" / "report.html").read_text()
    assert set(report["comparisons"]["age_restricted/text"]) == {"frozen_start"}, "a flag has no prompt"


def test_towers_that_were_not_trained_together_answer_from_titles_alone(
    snapshot: Path, embedded: Path, tmp_path: Path
) -> None:
    report = _report(snapshot, embedded, tmp_path, _prompts(snapshot, embedded, joint=False))
    assert _compared(report) == {"category/text"}
    assert report["missing"]["zero_shot/image"] == "the start's towers were not trained together"


def test_without_prompts_the_report_says_so_and_is_otherwise_the_same(
    snapshot: Path, embedded: Path, tmp_path: Path
) -> None:
    without = _report(snapshot, embedded, tmp_path / "without", None)
    beside = _report(snapshot, embedded, tmp_path / "beside", _prompts(snapshot, embedded, joint=True))
    assert without["missing"]["zero_shot"] == "the embeddings came without prompts of the labels"
    assert (without["metrics"], without["cells"]) == (beside["metrics"], beside["cells"])


def test_prompts_are_worded_once_and_kept_to_the_bit(tmp_path: Path) -> None:
    assert category_prompt(["home", "kitchen", "mugs"]) == "a photo of mugs, a kind of kitchen"
    assert category_prompt(["mugs"]) == "a photo of mugs"
    assert attribute_prompt("colour", "red") == "a photo of a product, colour: red"
    chance = np.random.default_rng(0)
    drawn = Prompts(["a", "b"], chance.random((2, 3), np.float32), chance.random((2, 5), np.float32), joint=True)
    write_prompts(drawn, tmp_path)
    kept = load_prompts(tmp_path)
    assert kept is not None
    assert (kept.texts, kept.joint) == (drawn.texts, True)
    np.testing.assert_array_equal(kept.embeddings, drawn.embeddings)
    np.testing.assert_array_equal(kept.features, drawn.features)
    write_prompts(replace(drawn, joint=False), tmp_path)
    assert not (again := load_prompts(tmp_path)) or not again.joint
    (tmp_path / "prompts.parquet").write_bytes(b"half")
    with pytest.raises(IntegrityError, match=r"prompts\.parquet.*run the stage embed"):
        load_prompts(tmp_path)
