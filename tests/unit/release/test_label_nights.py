"""Four nights of trainings, each on another category tree: their real models are compared on what both know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from registries import MLFLOW_WARNINGS
from snapshots import change_listings, write_snapshot

from ecclip import registry, release
from ecclip.core import settings
from ecclip.nights import work_path
from ecclip.pipeline import STEPS, run_stage, stages_of

pytestmark = [pytest.mark.slow, pytest.mark.ops, pytest.mark.fault(50), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

_PARAMETERS = {
    "train": {"towers": "tiny", "trainer": {"epochs": 1, "sampler": {"batch_size": 32}}},
    # what towers this small know is a matter of luck: shown is what is compared, not who wins
    "gate": {
        "metrics": {"category/both/top1": {"floor": 0.0, "allowed_drop": 1.0}},
        "min_rows": 5,
        "cell_drop": 1.0,
        "frozen_drop": 1.0,
    },
}
# by the leaf of the night before: the nights after the first are finer; renamed and split; merged and coarser
_FINER = {"mugs": ["home", "kitchen", "mugs", "{colour}"]}
_RENAMED_AND_SPLIT = _FINER | {"lamps": ["home", "decor", "lights"], "totes": ["fashion", "bags", "{colour}"]}
_MERGED_AND_COARSER = {"mugs": ["home", "goods"], "lamps": ["home", "goods"], "totes": ["fashion", "bags"]}


def _publish(night: str, places: dict[str, list[str]]) -> None:
    """Write what the catalog of a night leaves for its training, with some categories at other places."""

    def move(row: dict[str, Any]) -> None:
        colour = "warm" if f"{row['title']} ".partition("red")[1] or "yellow" in row["title"] else "cold"
        path = places.get(row["category"][-1], row["category"])
        row["category"] = [level.format(colour=colour) for level in path]

    landed, snapshot = work_path(STEPS["land"].output, night), work_path(STEPS["publish"].output, night)
    write_snapshot(snapshot, listings=300, landed=landed)
    change_listings(snapshot, move)
    shutil.copytree(landed, work_path(STEPS["ingest"].output, night))


def test_four_nights_of_other_labels_are_compared_on_what_both_know(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_TRACKING", "false")
    settings.cache_clear()
    (workspace / "params.yaml").write_text(yaml.safe_dump(_PARAMETERS))
    compared: list[set[str]] = []
    for number, places in enumerate(({}, _FINER, _RENAMED_AND_SPLIT, _MERGED_AND_COARSER), start=1):
        night = f"2026-11-0{number}"
        _publish(night, places)
        for name in stages_of("train_towers"):
            run_stage(name, night)
        version = release.register_night(night)["version"]
        release.gate_night(night)
        verdict = json.loads(work_path("nights/{night}/verdict.json", night).read_text())
        assert (verdict["passed"], verdict["if_meant"]) == (True, {})
        labels = [row for row in verdict["labels"] if (row["against"], row["head"]) == ("the champion", "category")]
        assert len(labels) == (number > 1)
        for row in labels:
            compared.append(set(row["levels"]))
            assert row["left_out"] == 0
            assert sum(row["levels"].values()) >= verdict["compared"][0]["on_common_labels"]["rows"] > 20
        registry.set_champion(version, "test")
    assert compared == [{"3"}, {"2", "3", "4"}, {"1", "2", "3"}]
