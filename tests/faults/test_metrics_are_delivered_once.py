"""A deliverer or a registration that is killed between any two of its steps: one run, every metric once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, Children, mlflow_client
from tracked_trainings import all_once, counts_of, write_tracked

pytestmark = [pytest.mark.heavy, pytest.mark.fault(16), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

NIGHT, KEY, STEPS = "2026-11-01", "0123456789abcdef", 250
PLACES = {
    "_create": 1,
    "_save": 7,
    "_send_metrics": 3,
    "_send_parameters": 1,
    "_set_status": 2,
    "_send_file": 1,
    "_connect": 1,
}
REGISTER_PLACES = ["deliver_all", "_run", "_logged_model", "_log_values", "_log_files", "_create_version"]


def _only_run() -> str:
    experiment = mlflow_client().get_experiment_by_name("ecclip")
    assert experiment is not None
    runs = mlflow_client().search_runs([experiment.experiment_id])
    assert len(runs) == 1
    assert runs[0].info.status == "FINISHED"
    return str(runs[0].info.run_id)


@pytest.mark.parametrize("place", list(PLACES))
def test_a_deliverer_killed_after_any_of_its_steps(
    workspace: Path, tmp_path: Path, children: Children, place: str
) -> None:
    trained = write_tracked(tmp_path / "night" / "train", KEY, STEPS)
    job = {"workspace": str(workspace), "call": "deliver", "args": [str(trained)]}
    # each kill happens in a separate process, which goes on where the one before was killed
    jobs = [{**job, "kill_after": place, "kill_call": call} for call in range(1, PLACES[place] + 1)]
    answers = children.run([*jobs, job], at_once=False)
    assert answers[0] == {"signal": signal.SIGKILL}
    run_id = _only_run()
    assert answers[-1] == {"runs": [run_id]}
    assert counts_of(run_id) == all_once(STEPS)


def test_a_registration_of_a_tracked_training_killed_anywhere(
    workspace: Path, tmp_path: Path, children: Children
) -> None:
    trained = write_tracked(tmp_path / "night" / "train", KEY, STEPS)
    bundle = write_bundle(tmp_path / "bundle", NIGHT)
    args = [str(bundle), NIGHT, str(trained / "metrics.jsonl")]
    job = {"workspace": str(workspace), "call": "register", "args": args}
    answers = children.run([*({**job, "kill_after": place} for place in REGISTER_PLACES), job], at_once=False)
    assert answers[:-1] == [{"signal": signal.SIGKILL}] * len(REGISTER_PLACES)
    assert answers[-1]["version"] == "1"
    counts = counts_of(_only_run())
    assert {place: count for place, count in counts.items() if place in all_once(STEPS)} == all_once(STEPS)
    assert set(counts.values()) == {1}


def test_two_deliveries_at_once(workspace: Path, tmp_path: Path, children: Children) -> None:
    trained = write_tracked(tmp_path / "night" / "train", KEY, STEPS)
    job = {"workspace": str(workspace), "call": "deliver", "args": [str(trained)]}
    answers = children.run([job] * 3, at_once=True)
    run_id = _only_run()
    assert answers == [{"runs": [run_id]}] * 3
    assert counts_of(run_id) == all_once(STEPS)
