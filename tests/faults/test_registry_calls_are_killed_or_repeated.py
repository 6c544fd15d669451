"""However often, by however many and however far a bundle is registered or promoted: one version, one champion."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, Children, mlflow_client

from ecclip import registry
from ecclip.core import settings

NIGHT = "2026-11-01"
STEPS = 1100  # more than one batch of metrics
PLACES = ["_run", "_logged_model", "_log_values", "_log_bundle", "_log_files", "_create_version"]

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]


def _job(workspace: Path, folder: Path, **more: str) -> dict[str, object]:
    bundle = folder / "bundle"
    if not bundle.exists():
        write_bundle(bundle, NIGHT)
    spool = folder / "metrics.jsonl"
    lines = [json.dumps({"step": step, "name": "loss", "value": 1 / (step + 1)}) for step in range(STEPS)]
    spool.write_text("\n".join(lines) + "\n")
    return {"workspace": str(workspace), "call": "register", "args": [str(bundle), NIGHT, str(spool)], **more}


def _assert_registered_once() -> None:
    store = mlflow_client()
    experiment = store.get_experiment_by_name("ecclip")
    assert experiment is not None
    runs = store.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    assert len(store.search_logged_models([experiment.experiment_id])) == 1
    assert [str(version.version) for version in store.search_model_versions("name='ecclip'")] == ["1"]
    run_id = runs[0].info.run_id
    assert len(store.get_metric_history(run_id, "train/loss")) == STEPS
    assert len(store.get_metric_history(run_id, "category/both/top1")) == 1
    assert store.get_run(run_id).info.status == "FINISHED"
    assert {file.path for file in store.list_artifacts(run_id)} == {"report.html", "report.json", "bundle.json"}
    assert registry.model_version("1").aliases == ("challenger",)
    assert list((settings().work / "bundles").glob(".*tmp*")) == []


@pytest.mark.fault(6)
def test_the_same_registration_three_times_makes_one_version(
    workspace: Path, tmp_path: Path, children: Children
) -> None:
    answers = children.run([_job(workspace, tmp_path)] * 3, at_once=False)
    assert [answer.get("version") for answer in answers] == ["1", "1", "1"]
    _assert_registered_once()


@pytest.mark.fault(6)
def test_two_registrations_at_once_make_one_version(workspace: Path, tmp_path: Path, children: Children) -> None:
    answers = children.run([_job(workspace, tmp_path)] * 2, at_once=True)
    assert [answer.get("version") for answer in answers] == ["1", "1"]
    _assert_registered_once()


@pytest.mark.fault(6)
def test_a_registration_killed_anywhere_is_completed_by_the_next_one(
    workspace: Path, tmp_path: Path, children: Children
) -> None:
    jobs = [_job(workspace, tmp_path, kill_after=place) for place in PLACES]
    answers = children.run([*jobs, _job(workspace, tmp_path)], at_once=False)
    assert answers[: len(PLACES)] == [{"signal": signal.SIGKILL}] * len(PLACES)
    assert answers[-1]["version"] == "1"
    _assert_registered_once()


@pytest.mark.fault(19)
def test_of_two_promoters_at_once_one_wins_and_the_other_is_told(
    workspace: Path, tmp_path: Path, children: Children
) -> None:
    old, left, right = (
        registry.register(write_bundle(tmp_path / str(seed), f"2026-11-0{seed}", seed=seed), f"2026-11-0{seed}").version
        for seed in (1, 2, 3)
    )
    registry.set_champion(old, "first")
    job = {"workspace": str(workspace), "call": "set_champion"}
    against = registry.model_version(old).digest
    answers = children.run([{**job, "args": [left, against]}, {**job, "args": [right, against]}], at_once=True)
    refused = [answer for answer in answers if "error" in answer]
    assert len(refused) == 1
    assert refused[0]["error"] == "GateError"
    assert "run the gate again" in refused[0]["message"]
    winner = next(answer["version"] for answer in answers if "error" not in answer)
    reigning = registry.champion()
    assert reigning is not None
    assert reigning.version == winner
    lines = [json.loads(line) for line in (workspace / "work/mlflow/audit.jsonl").read_text().splitlines()]
    assert [line["version"] for line in lines] == [old, winner]
