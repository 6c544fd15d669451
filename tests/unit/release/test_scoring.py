"""Two real bundles on the test listings of one night: what the gate compares is what each of them answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from registries import MLFLOW_WARNINGS
from serving_bundles import shared_sources, tiny_bundle

from ecclip import release
from ecclip.core import ContractError, IntegrityError
from ecclip.formats.snapshot import Snapshot
from ecclip.model import encode_images, encode_texts, load_preprocessor, load_towers
from ecclip.tasks import decision, kinds, load_heads, read_evidence

pytestmark = pytest.mark.filterwarnings(*MLFLOW_WARNINGS)

NIGHT = "2026-01-01"
TOP1 = "category/both/top1"


@pytest.fixture
def store(workspace: Path) -> Path:
    """A workspace that has the snapshot of the night from which both bundles were made."""
    shutil.copytree(shared_sources()["snapshot"], workspace / "work" / "snapshots" / NIGHT)
    return workspace / "work"


def _top1_as_served(bundle: Path, listing_ids: list[str]) -> float:
    """Ask a bundle about each listing as the server does, and count how often its first category is the true one."""
    towers, preprocessor, heads = (
        load_towers(bundle / "towers"),
        load_preprocessor(bundle / "towers"),
        load_heads(bundle / "heads"),
    )
    decider = decision.Decider(heads.describe(), kinds.TASKS, top_k=1)
    what: Literal["embedding", "outputs"] = "outputs" if heads.read_features else "embedding"
    listings = Snapshot(shared_sources()["snapshot"])
    columns = ["listing_id", "title", "category", "image_sha256"]
    rows = {row["listing_id"]: row for row in listings.table(columns).to_pylist()}
    right = []
    for name in listing_ids:
        row = rows[name]
        if row["image_sha256"] is None:
            continue
        photo = dict(listings.photos({row["image_sha256"]}))[row["image_sha256"]]
        image = encode_images(towers, preprocessor, [photo], what=what)
        text = encode_texts(towers, preprocessor, [row["title"] or ""], what=what)
        answer = decider.answer(heads.logits(image, text, "both")[0], "both")
        right.append(tuple(answer["CATEGORY"][0]) == tuple(row["category"]))
    return float(np.mean(right))


def test_a_champion_answers_tonights_test_listings_as_the_server_would(store: Path) -> None:
    one, other = tiny_bundle(0), tiny_bundle(1)
    found = release.Examination(one).beside(other)
    ids = read_evidence(one)["listing_ids"].tolist()
    assert found.ours[TOP1] == pytest.approx(_top1_as_served(one, ids), abs=1e-6)
    assert found.theirs[TOP1] == pytest.approx(_top1_as_served(other, ids), abs=1e-6)
    cell = found.cells["category/both"]
    assert cell.difference == pytest.approx(found.ours[TOP1] - found.theirs[TOP1], abs=2e-6)
    assert cell.low < cell.high
    assert any(name.startswith("category/both, root: ") for name in found.cells)


def test_a_bundle_beside_itself_differs_in_nothing(store: Path) -> None:
    found = release.Examination(tiny_bundle(0)).beside(tiny_bundle(0))
    assert found.ours == found.theirs
    assert {(one.difference, one.low, one.high, one.error) for one in found.cells.values()} == {(0.0, 0.0, 0.0, 0.0)}


def test_without_the_nights_own_snapshot_nothing_is_asked(store: Path) -> None:
    listings = next((store / "snapshots" / NIGHT / "listings").glob("*.parquet"))
    pq.write_table(pq.read_table(listings).slice(0, 3), listings)
    (store / "snapshots" / NIGHT / "manifest.json").unlink(missing_ok=True)
    with pytest.raises(ContractError, match="not the one that the bundle was made from"):
        release.Examination(tiny_bundle(0)).beside(tiny_bundle(1))
    shutil.rmtree(store / "snapshots" / NIGHT)
    with pytest.raises(IntegrityError, match="snapshot of the bundle's night is gone"):
        release.Examination(tiny_bundle(0)).beside(tiny_bundle(1))
