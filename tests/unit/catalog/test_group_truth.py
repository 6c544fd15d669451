"""Groups against the truth of the sample marketplace: precise first, then complete."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from chain import run_chain

from ecclip.sample import SampleConfig, generate


def pairs(members: Iterable[list[str]]) -> set[tuple[str, str]]:
    return {pair for ids in members for pair in itertools.combinations(sorted(ids), 2)}


def test_groups_are_precise_and_mostly_complete_on_the_sample(tmp_path: Path) -> None:
    cfg = SampleConfig.model_validate({"listings": 400, "nights": 1, "image_size": 96, "seed": 11})
    (dump,) = generate(cfg, tmp_path)
    groups = run_chain(tmp_path / "work", dump, until="group", gate=False) / "groups"
    truth = pq.read_table(tmp_path / "truth" / dump.name / "truth.parquet", columns=["listing_id", "product_id"])
    product = {row["listing_id"]: row["product_id"] for row in truth.to_pylist()}
    found, wanted = defaultdict(list), defaultdict(list)
    for row in pq.read_table(groups).to_pylist():
        found[row["group_id"]].append(row["listing_id"])
        wanted[product[row["listing_id"]]].append(row["listing_id"])
    ours, true = pairs(found.values()), pairs(wanted.values())
    assert len(ours & true) / len(ours) >= 0.99
    assert len(ours & true) / len(true) >= 0.8
