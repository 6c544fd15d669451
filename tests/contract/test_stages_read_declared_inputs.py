"""A stage reads the inputs that the pipeline declares, and nothing else of a workspace.

Each stage runs in a workspace of its own that holds copies of its declared inputs alone: what else it looked for would
not be there. The night starts from a champion, whose bundle is in no workspace at all. The stages that Spark runs are
alone in the same way in tests/unit/catalog/publish/test_publish_chain.py, which runs them anyway.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from chain import CHAIN
from snapshots import write_snapshot
from tiny_training import TOWERS, tiny_towers

from ecclip.core import settings
from ecclip.formats.start import Start, write_start
from ecclip.model import save_towers
from ecclip.nights import NO_NIGHT
from ecclip.pipeline import STEPS, run_stage

pytestmark = pytest.mark.heavy

NIGHT = "2026-11-02"
TRAINER = {"epochs": 1, "sampler": {"batch_size": 24}, "optimizer": {"freeze": []}}
PARAMS = {
    "train": {"towers": TOWERS, "trainer": TRAINER, "validation_listings": 20},
    "evaluate": {"bootstrap_rounds": 20},
    "export": {"golden": 2},
}


AFTER_SPARK = ("score_pairs", "train", "embed", "evaluate", "export", "group_products")


def _declared(name: str) -> list[str]:
    needed = {key: one for key, one in STEPS[name].inputs.items() if key not in STEPS[name].optional}
    return [template.format(night=NIGHT, previous=NO_NIGHT) for template in needed.values()]


def _run_alone(name: str, store: Path, workspace: Path, patch: pytest.MonkeyPatch) -> None:
    """Run a stage where there is nothing but its inputs, and keep what it wrote in ``store``.

    What a night may lack is not there.
    """
    for place in _declared(name):
        shutil.copytree(store / place, workspace / "work" / place)
    (workspace / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (workspace / "work" / "nights.yaml").write_text(yaml.safe_dump({"nights": {NIGHT: {"previous": NO_NIGHT}}}))
    patch.setenv("ECCLIP_WORKSPACE", str(workspace))
    settings.cache_clear()
    assert run_stage(name, NIGHT).outcome == "written"
    output = STEPS[name].output.format(night=NIGHT)
    shutil.copytree(workspace / "work" / output, store / output)
    shutil.rmtree(workspace)


def test_every_stage_is_run_alone_somewhere() -> None:
    outside = {"extract", "start", "reference"}  # they look where the export lies, and into the registry
    assert {*CHAIN, *AFTER_SPARK, *outside} == {*STEPS}


def test_stages_after_the_catalog_need_their_declared_inputs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_TORCH_THREADS", "1")
    monkeypatch.setenv("ECCLIP_TRACKING", "false")
    store = tmp_path / "store"
    write_snapshot(store / "snapshots" / NIGHT, 120, landed=store / "nights" / NIGHT / "land")
    shutil.copytree(store / "nights" / NIGHT / "land", store / "nights" / NIGHT / "ingest")
    shutil.copytree(store / "snapshots" / NIGHT, store / "nights" / NIGHT / "clean")
    save_towers(tiny_towers(), tmp_path / "bundle" / "towers")
    champion = Start(version="1", bundle="b" * 64, towers=tmp_path / "bundle" / "towers")
    for name in ("start", "reference"):
        write_start(champion, store / "nights" / NIGHT / name)
    shutil.rmtree(tmp_path / "bundle")
    for name in AFTER_SPARK:
        _run_alone(name, store, tmp_path / name, monkeypatch)
    night = store / "nights" / NIGHT
    assert json.loads((night / "pairs" / "manifest.json").read_text())["detail"]["champion"] == "1"
    assert json.loads((night / "train" / "manifest.json").read_text())["written"]["steps"] > 0
