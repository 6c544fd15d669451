"""Groups against the truth of the sample marketplace: precise first, then complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import run_chain

from ecclip.bench.nightly.group_quality import pair_quality, read_groups, read_truth
from ecclip.sample import SampleConfig, generate

pytestmark = [pytest.mark.spark, pytest.mark.heavy]


def test_groups_are_precise_and_mostly_complete_on_a_small_market(tmp_path: Path) -> None:
    cfg = SampleConfig.model_validate({"listings": 400, "nights": 1, "image_size": 96, "seed": 11})
    (dump,) = generate(cfg, tmp_path)
    groups = run_chain(tmp_path / "work", dump, until="group", gate=False) / "groups"
    quality = pair_quality(read_groups(groups), read_truth(tmp_path / "truth" / dump.name / "truth.parquet"))
    # small photos and few titles to learn from; `ecclip bench catalog` measures a market of the usual size
    assert quality.precision >= 0.98
    assert quality.recall >= 0.9
