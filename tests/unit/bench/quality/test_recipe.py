"""The benchmark of the recipe: what heads read, how photo and title meet, and sizes, paired and kept."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from snapshots import write_snapshot
from tiny_training import TRAINER, tiny_towers

from ecclip.bench import new_result
from ecclip.bench.quality import recipe
from ecclip.bench.quality.data import Product

LABEL = ("here", "category")


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[Product]:
    snapshot = write_snapshot(tmp_path_factory.mktemp("snapshot"), 200)
    columns = ["listing_id", "title", "category", "group_id", "image"]
    return [
        Product(
            listing_id=row["listing_id"],
            source="here",
            title=row["title"],
            attributes={},
            labels={"category": row["category"][-1]},
            keys=(),
            image=row["image"],
            group=row["group_id"],
        )
        for row in pq.read_table(snapshot / "listings", columns=columns).to_pylist()
        if row["image"] and row["category"]
    ]


def test_variants_differ_from_the_recipe_and_from_each_other() -> None:
    variants = recipe.recipe_variants(TRAINER)
    assert len({str(cfg) for cfg in (TRAINER, *variants.values())}) == len(variants) + 1


def test_every_choice_has_its_rows_and_is_not_measured_again(
    products: list[Product], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "SIZES", (24, 32))
    towers = {"trained": tiny_towers(), "frozen start": tiny_towers(seed=1)}
    first, again = new_result("first"), new_result("again")
    recipe.enter_recipe(first, tmp_path, products, towers, [LABEL])
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    recipe.enter_recipe(again, tmp_path, products, towers, [LABEL])
    assert again.rows == first.rows
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == files
    systems = 5 + 3  # five choices of the heads of one pair of towers and size, and three more pairs
    assert len(first.rows) == 3 * (systems + systems - 1 + 1)  # values, gains, and the cell
    values = {(row.what, row.system): row.value for row in first.rows}
    gain = values["gain of the recipe's heads, text, here, category", "over trained, 32 px, embedding alone"]
    parts = [values["heads, text, here, category", f"trained, 32 px{what}"] for what in ("", ", embedding alone")]
    assert gain == pytest.approx(parts[0] - parts[1], abs=2e-4)
    assert parts[0] > 0.4
