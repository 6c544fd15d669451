"""Groups against the truth of the sample marketplace: precise first, then complete."""

from __future__ import annotations

import pytest
from sample_nights import NIGHTS, Shop

from ecclip.bench.nightly.group_quality import pair_quality, read_groups, read_truth

pytestmark = [pytest.mark.spark, pytest.mark.heavy]


@pytest.mark.parametrize("night", range(NIGHTS))
def test_groups_are_precise_and_mostly_complete_on_a_small_market(shop: Shop, night: int) -> None:
    truth = read_truth(shop.folder / "truth" / shop.dumps[night].name / "truth.parquet")
    quality = pair_quality(read_groups(shop.folder / str(night) / "group" / "groups"), truth)
    # small photos and few titles to learn from; `ecclip bench catalog` measures a market of the usual size
    assert quality.precision >= 0.98
    assert quality.recall >= 0.9
