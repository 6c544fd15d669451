"""The whole catalog is answered night after night by what answers, and only what changed is computed again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registries import MLFLOW_WARNINGS
from serving_bundles import sealed, tiny_bundle
from snapshots import change_listings, write_snapshot

from ecclip import registry, release
from ecclip.core import ContractError, IntegrityError, digest_of
from ecclip.formats.answers import Grouped, read_answers, write_grouped
from ecclip.formats.bundle import REPORT_PAGE, lineage_of
from ecclip.formats.columns import TITLE_ORIGINAL
from ecclip.formats.live import Live, write_live

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

LISTINGS = 24
NIGHTS = ("2026-11-01", "2026-11-02", "2026-11-03")


@pytest.fixture
def workspace(workspace: Path) -> Path:
    (workspace / "params.yaml").write_text("{}\n")
    return workspace


def _publish(workspace: Path, night: str, titles: dict[str, str], before: str | None = None) -> None:
    folder = workspace / "work" / "snapshots" / night
    if before is None:
        write_snapshot(folder, LISTINGS)
        return
    shutil.copytree(folder.with_name(before), folder)
    change_listings(
        folder, lambda row: row.update({TITLE_ORIGINAL: titles.get(row["listing_id"], row[TITLE_ORIGINAL])})
    )
    sealed(folder)


def _deploy(workspace: Path, bundle: Path, night: str) -> str:
    """Register a bundle and let it answer, as a deployment commits it."""
    registered = registry.register(bundle, night)
    live = Live(version=int(registered.version), lineage=lineage_of(registered.digest))
    write_live(workspace / "work" / "model_repository", live)
    return registered.digest


def _other_bundle(tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundle(0), tmp_path / "other")
    (tmp_path / "other" / REPORT_PAGE).write_text("another page makes another bundle")
    return sealed(tmp_path / "other")


def _written(workspace: Path, night: str) -> dict[str, Any]:
    table, _ = read_answers(workspace / "work" / "answers" / night)
    return {row["listing_id"]: row for row in table.to_pylist()}


def test_night_after_night_only_what_changed_is_asked_of_the_bundle_that_answers(
    workspace: Path, tmp_path: Path
) -> None:
    _publish(workspace, NIGHTS[0], {})
    first = _deploy(workspace, tiny_bundle(0), NIGHTS[0])
    assert release.answer_catalog()["detail"]["computed"] == LISTINGS
    assert release.answer_catalog()["outcome"] == "unchanged"
    _publish(workspace, NIGHTS[1], {"l000002": "a green mug", "l000003": "wine"}, before=NIGHTS[0])
    report = release.answer_catalog()
    assert (report["night"], report["detail"]["computed"]) == (NIGHTS[1], 2)
    assert (report["read"], report["written"]) == ({"listings": LISTINGS}, {"answers": LISTINGS})

    # another one is promoted: everything is computed anew
    _deploy(workspace, _other_bundle(tmp_path), NIGHTS[1])
    assert release.answer_catalog()["detail"]["computed"] == LISTINGS
    _publish(workspace, NIGHTS[2], {"l000002": "a red lamp"}, before=NIGHTS[1])
    assert release.answer_catalog()["detail"]["computed"] == 1

    # and rolled back: the nights that the first one answered are known
    write_live(workspace / "work" / "model_repository", Live(version=1, lineage=lineage_of(first)))
    report = release.answer_catalog()
    assert (report["night"], report["version"], report["detail"]["computed"]) == (NIGHTS[2], "1", 2)
    assert {row["lineage_id"] for row in _written(workspace, NIGHTS[2]).values()} == {lineage_of(first)}


def test_the_products_are_those_of_the_newest_night_that_was_grouped(workspace: Path) -> None:
    _publish(workspace, NIGHTS[0], {})
    _deploy(workspace, tiny_bundle(0), NIGHTS[0])
    products = workspace / "work" / "nights" / NIGHTS[0] / "products"
    products.mkdir(parents=True)
    found = dict.fromkeys(["l000000", "l000001"], "l000000")
    grouped = Grouped(found, dict.fromkeys(found, "a digest"), [], [], np.zeros(0, np.float32), "")
    write_grouped(grouped, np.array([0.9, 0.9]), products)
    sealed(products)
    _publish(workspace, NIGHTS[1], {}, before=NIGHTS[0])
    assert release.answer_catalog(NIGHTS[1])["night"] == NIGHTS[1]
    written = _written(workspace, NIGHTS[1])
    assert {name: row["product_id"] for name, row in written.items() if row["product_id"]} == {
        "l000000": "l000000",
        "l000001": "l000000",
    }


def test_before_the_first_deployment_nobody_answers_and_nothing_is_written(workspace: Path) -> None:
    with pytest.raises(ContractError, match="no night is published"):
        release.answer_catalog()
    _publish(workspace, NIGHTS[0], {})
    assert release.answer_catalog() == {"night": NIGHTS[0], "reason": "nothing is deployed"}
    assert not (workspace / "work" / "answers" / NIGHTS[0]).exists()
    with pytest.raises(ContractError, match=f"not published.*{NIGHTS[1]}"):
        release.answer_catalog(NIGHTS[1])


def test_a_bundle_that_answers_and_is_not_kept_says_how_to_restore_it(workspace: Path) -> None:
    _publish(workspace, NIGHTS[0], {})
    _deploy(workspace, tiny_bundle(0), NIGHTS[0])
    shutil.rmtree(workspace / "work" / "bundles" / digest_of(tiny_bundle(0)))
    with pytest.raises(IntegrityError, match=f"ecclip release register --night {NIGHTS[0]}"):
        release.answer_catalog()
