"""The spool of a training becomes one run with every metric once, and the registration takes that run over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, mlflow_client
from tracked_trainings import all_once, counts_of, write_tracked

from ecclip import registry
from ecclip.core import ContractError, canonical_json, write_atomic
from ecclip.registry.tracking.delivery import Delivery
from ecclip.spool import Spool

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("workspace")]

NIGHT, KEY, STEPS = "2026-11-01", "0123456789abcdef", 250


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return write_tracked(tmp_path / "night" / "train", KEY, STEPS)


def _tracked(trained: Path) -> Path:
    return trained.with_name("train.tracking") / KEY


def _deliver(trained: Path) -> str:
    (run_id,) = registry.deliver_all(trained)
    return run_id


def test_a_delivery_makes_one_run_with_values_times_parameters_files_and_status(trained: Path) -> None:
    run_id = _deliver(trained)
    run = mlflow_client().get_run(run_id)
    assert counts_of(run_id) == all_once(STEPS)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "a training")
    assert run.data.params == {"train.epochs": "2"}
    assert run.data.tags["snapshot_digest"] == "5" * 64
    first, last = (json.loads(line)["time"] for line in _ends((_tracked(trained) / "metrics.jsonl").read_text()))
    assert (run.info.start_time, run.info.end_time) == (first, last)
    assert [file.path for file in mlflow_client().list_artifacts(run_id, "sample")] == ["sample/sample.txt"]
    values = {metric.step: metric.value for metric in mlflow_client().get_metric_history(run_id, "train/loss")}
    assert values == {step: 1 / (step + 3) for step in range(STEPS)}


def _ends(text: str) -> list[str]:
    lines = text.splitlines()
    return [lines[0], lines[-1]]


@pytest.mark.parametrize("lost", ["nothing", "offsets", "state", "state and times", "damaged state"])
def test_what_is_delivered_again_is_there_once(trained: Path, lost: str) -> None:
    tracked = _tracked(trained)
    run_id = _deliver(trained)
    state = tracked / "delivered.json"
    if lost == "offsets":
        write_atomic(state, canonical_json({**json.loads(state.read_text()), "offsets": {}}))
    elif lost == "state":
        state.unlink()
    elif lost == "state and times":
        state.unlink()
        spool = tracked / "metrics.jsonl"
        spool.write_text(spool.read_text().replace('"time":1', '"time":2'))
    elif lost == "damaged state":
        state.write_text('{"offsets": ')
    assert _deliver(trained) == run_id
    assert counts_of(run_id) == all_once(STEPS)


def test_a_deleted_run_is_made_anew(trained: Path) -> None:
    first = _deliver(trained)
    mlflow_client().delete_run(first)
    second = _deliver(trained)
    assert second != first
    assert counts_of(second) == all_once(STEPS)


def test_an_empty_twin_that_a_slow_server_made_is_removed(trained: Path) -> None:
    run_id = _deliver(trained)
    experiment = mlflow_client().get_run(run_id).info.experiment_id
    twin = mlflow_client().create_run(experiment, tags={"training_key": KEY}).info.run_id
    assert _deliver(trained) == run_id
    assert mlflow_client().get_run(twin).info.lifecycle_stage == "deleted"
    assert [run.info.run_id for run in mlflow_client().search_runs([experiment])] == [run_id]


def test_a_training_that_left_no_end_was_killed(trained: Path) -> None:
    spool = _tracked(trained) / "metrics.jsonl"
    spool.write_text("".join(line + "\n" for line in spool.read_text().splitlines()[:-1]) + '{"time":17')
    run_id = _deliver(trained)
    assert mlflow_client().get_run(run_id).info.status == "KILLED"
    assert counts_of(run_id) == all_once(STEPS)


def test_a_resumed_training_runs_again_and_is_finished_then(trained: Path) -> None:
    tracked = _tracked(trained)
    run_id = _deliver(trained)
    spool = Spool(tracked / "metrics.jsonl")
    spool.mark("RUNNING")
    spool.add(STEPS - 1, {"train/loss": 1 / (STEPS + 2)})
    delivery = Delivery(tracked)
    assert delivery.send()
    assert mlflow_client().get_run(run_id).info.status == "RUNNING"
    spool.mark("FINISHED")
    spool.close()
    assert _deliver(trained) == run_id
    assert mlflow_client().get_run(run_id).info.status == "FINISHED"
    assert counts_of(run_id) == all_once(STEPS)


@pytest.mark.parametrize("before", ["all", "part", "none"])
def test_the_registration_delivers_the_rest_and_takes_the_run_over(trained: Path, tmp_path: Path, before: str) -> None:
    if before == "all":
        _deliver(trained)
    elif before == "part":
        assert Delivery(_tracked(trained)).send()
    bundle = write_bundle(tmp_path / "bundle", NIGHT)
    registered = [registry.register(bundle, NIGHT, trained / "metrics.jsonl") for _ in range(2)]
    assert registered[0] == registered[1]
    run = mlflow_client().get_run(registered[0].run_id)
    assert len(mlflow_client().search_runs([run.info.experiment_id])) == 1
    assert (run.data.tags["training_key"], run.data.tags["bundle_digest"]) == (KEY, registered[0].digest)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith(NIGHT)
    counts = counts_of(run.info.run_id)
    assert {place: count for place, count in counts.items() if place in all_once(STEPS)} == all_once(STEPS)
    assert set(counts.values()) == {1}
    assert ("category/both/top1", 0) in counts


def test_a_second_bundle_of_one_training_gets_a_run_that_names_the_first(trained: Path, tmp_path: Path) -> None:
    spool = trained / "metrics.jsonl"
    first = registry.register(write_bundle(tmp_path / "1", NIGHT, seed=1), NIGHT, spool)
    second = registry.register(write_bundle(tmp_path / "2", NIGHT, seed=2), NIGHT, spool)
    assert (first.version, second.version) == ("1", "2")
    assert mlflow_client().get_run(second.run_id).data.tags["training_run"] == first.run_id
    assert len(mlflow_client().get_metric_history(second.run_id, "train/loss")) == STEPS


def test_a_spool_that_is_gone_is_made_up_for_from_the_output(trained: Path, tmp_path: Path) -> None:
    assert Delivery(_tracked(trained)).send()
    for path in _tracked(trained).iterdir():
        path.unlink()
    registered = registry.register(write_bundle(tmp_path / "bundle", NIGHT), NIGHT, trained / "metrics.jsonl")
    counts = counts_of(registered.run_id)
    for name in ("train/loss", "retrieval/text_to_image/recall_at_10"):
        assert [counts[name, step] for step in range(STEPS)] == [1] * STEPS
    assert mlflow_client().get_run(registered.run_id).data.tags["training_key"] == KEY


def test_a_folder_that_is_no_training_is_named(trained: Path) -> None:
    write_atomic(_tracked(trained) / "run.json", "[]")
    with pytest.raises(ContractError, match=r"run\.json"):
        registry.deliver_all(trained)
