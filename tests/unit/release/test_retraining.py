"""The weekly retraining: which nights are due, and that it is judged against the fine-tuned champion of its night."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from registries import MLFLOW_WARNINGS
from snapshots import write_snapshot

from ecclip import registry, release
from ecclip.core import ContractError, GateError, settings
from ecclip.formats.start import read_start
from ecclip.nights import work_path
from ecclip.pipeline import STEPS, run_stage, stages_of

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]
_TRAINING = {"towers": "tiny", "trainer": {"epochs": 1, "sampler": {"batch_size": 32}}}


@pytest.mark.parametrize(
    ("weekday", "night", "due"),
    [("saturday", "2026-11-07", True), ("saturday", "2026-11-06", False), ("friday", "2026-11-06", True)],
)
def test_only_nights_of_the_day_are_due(workspace: Path, weekday: str, night: str, due: bool) -> None:
    (workspace / "params.yaml").write_text(yaml.safe_dump({"retrain": {"weekday": weekday}}))
    found = release.retrain_due(night)
    assert (found["due"], bool(found["reason"])) == (due, not due)


def test_never_is_no_day_and_says_so(workspace: Path) -> None:
    (workspace / "params.yaml").write_text("retrain: {weekday: never}")
    assert [release.retrain_due(f"2026-11-{day:02d}")["due"] for day in range(1, 8)] == [False] * 7
    assert release.retrain_due("2026-11-07")["reason"] == "2026-11-07 is a saturday; retrain.weekday is never"


def test_a_worker_with_a_workspace_of_its_own_does_not_retrain(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "params.yaml").write_text("{}")
    monkeypatch.setenv("ECCLIP_GPU_WORKSPACE", "own")
    settings.cache_clear()
    found = release.retrain_due("2026-11-07")
    assert not found["due"]
    assert "does not have this training" in found["reason"]


def test_a_night_that_was_not_retrained_has_nothing_to_register(workspace: Path) -> None:
    with pytest.raises(ContractError, match=r"was not retrained.*ecclip release retrain --night 2026-11-07"):
        release.register_retrained("2026-11-07")


def _publish(night: str, seed: int) -> None:
    """Write what the night's catalog leaves for its training."""
    landed = work_path(STEPS["land"].output, night)
    write_snapshot(work_path(STEPS["publish"].output, night), listings=200, seed=seed, landed=landed)
    shutil.copytree(landed, work_path(STEPS["ingest"].output, night))


@pytest.mark.slow  # six trainings with all that follows them, a minute of a processor
def test_weeks_of_nights_have_fine_tuned_and_retrained_versions(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_TRACKING", "false")
    settings.cache_clear()
    limits = {"metrics": {"category/both/top1": {"floor": 0.0, "allowed_drop": 1.0}}, "min_rows": 5}
    (workspace / "params.yaml").write_text(yaml.safe_dump({"train": _TRAINING, "gate": limits}))
    judged = []
    for number, night in enumerate(("2026-11-06", "2026-11-07", "2026-11-13", "2026-11-14")):
        _publish(night, number)
        for name in stages_of("train_towers"):
            run_stage(name, night)
        tuned = release.register_night(night)["version"]
        registry.set_champion(tuned, "fine-tuned")
        assert read_start(work_path(STEPS["start"].output, night)).kind == ("champion" if number else "pretrained")
        if not release.retrain_due(night)["due"]:
            continue
        again = release.retrain_night(night)
        assert read_start(work_path("nights/{night}/retrain/start", night)).kind == "pretrained"
        with contextlib.suppress(GateError):  # which of the two wins is a matter of luck with towers this small
            release.gate_night(night, again["version"])
        verdict = json.loads(work_path("nights/{night}/verdict.json", night).read_text())
        assert (verdict["version"], verdict["champion"]) == (again["version"], tuned)
        cells = {row["cell"] for row in verdict["cells"]}
        assert "category/both" in cells
        assert any(cell.startswith("category/both, updated: ") for cell in cells)
        judged.append(night)
    assert judged == ["2026-11-07", "2026-11-14"]
