"""Whatever a dump calls a category, a snapshot has its path in the shop's taxonomy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from chain import ONE_PART, chain_inputs, stage_function

from ecclip.core import ConfigError, digest_of
from ecclip.formats.corrections import Correction, append_corrections
from ecclip.formats.taxonomy.tree import read_taxonomy
from ecclip.pipeline import stage_model

pytestmark = [pytest.mark.spark, pytest.mark.heavy]


def categories(snapshot: Path) -> dict[str, list[str] | None]:
    rows = pq.read_table(snapshot / "listings", columns=["listing_id", "category"]).to_pylist()
    return {row["listing_id"]: row["category"] for row in rows}


def renamed(path: list[str]) -> list[str]:
    return [f"한 {name}" for name in path]


@pytest.fixture
def publish(market_nights: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Publish the first night of the market with a taxonomy of the folder ``taxonomy`` below ``tmp_path``."""

    def run(name: str) -> Any:
        folders = {"corrections": tmp_path / "corrections", "taxonomies": tmp_path / "taxonomy"}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        cfg = stage_model("publish").model_validate(ONE_PART["publish"] | {"taxonomy": name})
        inputs = chain_inputs("publish", market_nights / "1") | folders
        return stage_function("publish")(cfg=cfg, **inputs, output=tmp_path / "snapshot")

    return run


def test_categories_are_those_of_the_taxonomy_and_of_people_who_correct_them(
    market_nights: Path, tmp_path: Path, publish: Callable[[str], Any]
) -> None:
    before = {name: path for name, path in categories(market_nights / "1/publish").items() if path}
    left_out = max(before.values(), key=lambda path: (len(path), path))[0]
    known = sorted({tuple(path[:level]) for path in before.values() for level in range(1, len(path) + 1)})
    entries = {
        "/".join(path): {"names": {"en": path[-1], "ko": renamed([path[-1]])[0]}}
        | ({"parent": "/".join(path[:-1])} if path[1:] else {})
        for path in known
        if path[0] != left_out
    }
    file = {"version": 1, "languages": ["ko", "en"], "categories": entries}
    (tmp_path / "taxonomy").mkdir()
    (tmp_path / "taxonomy/shop.yaml").write_text(yaml.safe_dump(file, allow_unicode=True))
    one, two = sorted(name for name, path in before.items() if path[0] != left_out)[:2]
    shelf = next(list(path) for path in known if path[0] != left_out and list(path) != before[one])
    said = {"field": "category", "old": before[one], "author": "ann", "at": "2026-01-02T00:00:00+00:00"}
    append_corrections(
        (tmp_path / "corrections").resolve(),
        [
            Correction(listing_id=one, new=shelf, night="2026-01-01", **said),
            Correction(listing_id=two, new=["Nowhere"], night="2026-01-01", **said),
        ],
    )
    report = publish("shop.yaml")
    after = categories(tmp_path / "snapshot")
    expected = {name: None if path[0] == left_out else renamed(path) for name, path in before.items()}
    assert {name: after[name] for name in before} == expected | {one: renamed(shelf)}
    told = report.detail["taxonomy"]
    assert told["mapped"] == sum(path is not None for path in expected.values())
    assert told["unknown"] == sum(path is None for path in expected.values()) > 0
    assert all(path.split(" > ")[0] == left_out for path in told["most_unknown"])
    assert report.detail["corrections"] == {"changed": 1, "outside_taxonomy": 1}
    taxonomy = read_taxonomy(tmp_path / "snapshot")
    assert taxonomy is not None
    assert (taxonomy.digest, len(taxonomy.categories)) == (told["digest"], len(entries))
    assert publish("shop.yaml").outcome == "unchanged"
    digest = digest_of(tmp_path / "taxonomy")
    (tmp_path / "taxonomy/shop.yaml").write_text("categories: {}\n")
    assert digest_of(tmp_path / "taxonomy") != digest
    with pytest.raises(ConfigError, match=r"no category.*shop\.yaml"):
        publish("shop.yaml")
    with pytest.raises(ConfigError, match=r"value: other\.yaml; limit: shop\.yaml"):
        publish("other.yaml")
