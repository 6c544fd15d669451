"""The main job itself, small: sample dump, real DAGs, real stages, real Triton, answers; then again, unchanged."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from registries import MLFLOW_WARNINGS, mlflow_client

from ecclip import registry
from ecclip.core import digest_of, settings
from ecclip.formats.answers import read_answers
from ecclip.local import (
    NightView,
    TaskView,
    airflow_api,
    demo,
    follow_night,
    start_services,
    status,
    stop_services,
    trigger_night,
)
from ecclip.nights import known_nights, work_path
from ecclip.pipeline import STEPS, stages_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

ROOT = Path(__file__).parents[2]
SERVICES = ("airflow", "triton")
OLDER = "2026-10-30"  # before the sample's first, and no Saturday: that night is trained from the start once more
BEFORE_RELEASE = [*stages_of("nightly_catalog"), *stages_of("train_towers")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("dags", "ecclip", "triton_models", "dvc.yaml", ".dvcignore"):
        (tmp_path / name).symlink_to(ROOT / name)
    parameters = re.sub(r"listings: \d+", "listings: 300", (ROOT / "params.yaml").read_text())
    # so few test listings say little: which of two nights is better is not what is tested
    (tmp_path / "params.yaml").write_text(re.sub(r"allowed_drop: [\d.]+", "allowed_drop: 1.0", parameters))
    (tmp_path / ".dvc").mkdir()
    config = (ROOT / ".dvc" / "config").read_text().replace("[core]", "[core]\n    no_scm = true")
    (tmp_path / ".dvc" / "config").write_text(config)
    (tmp_path / "work").mkdir()
    environments = Path(os.environ.get("ECCLIP_WORKSPACE", ROOT)) / "work" / "env"
    if not (environments / "triton").is_dir():
        pytest.skip("the Triton tree is missing: make setup")
    (tmp_path / "work" / "env").symlink_to(environments)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    stop_services(SERVICES)
    settings.cache_clear()


@pytest.mark.fault(6)
@pytest.mark.timeout(7200)
def test_the_demo_answers_and_however_often_and_late_a_night_is_run_there_is_one_of_each(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = demo(nights=1)
    said = capsys.readouterr().out
    assert "answers of 127.0.0.1" in said
    assert {task.state for task in first[0].tasks.values()} == {"success"}
    digests = {key: task.facts.get("digest") for key, task in first[0].tasks.items() if "outcome" in task.facts}
    assert len(digests) == len(STEPS) + 1  # and the catalog's answers
    table, refused = read_answers(workspace / "work" / "answers" / first[0].night)
    assert (
        table.num_rows + refused.num_rows == first[0].tasks["nightly_catalog", "publish"].facts["written"]["listings"]
    )
    assert table["product_id"].null_count == 0
    assert {name: one["state"] for name, one in status().items()} == dict.fromkeys(status(), "stopped")

    start_services(SERVICES)
    second = demo(nights=1)
    said = capsys.readouterr().out
    assert f"{len(digests)} of {len(digests)} stages were unchanged" in said
    assert {key: second[0].tasks[key].facts.get("digest") for key in digests} == digests
    assert status()["airflow"]["state"] == "running", "services that ran before go on running"

    _run_twice_at_once_and_late(workspace, first[0].night)
    assert not list((workspace / "work").glob("nights/*/.*.tmp-*"))


def _run_twice_at_once_and_late(workspace: Path, newer: str) -> None:
    """Run the night before the one that answers, twice at the same time: written once, one version, no champion."""
    kept, champion = _digests(newer), registry.champion()
    assert champion is not None
    shutil.copytree(workspace / "work" / "dumps" / newer, workspace / "work" / "dumps" / OLDER)
    api = airflow_api()
    runs = [trigger_night(api, OLDER) for _ in range(2)]
    views = [follow_night(api, OLDER, run, _ignore) for run in runs]
    for name in stages_of("nightly_catalog"):
        assert sorted(_fact(view, name, "outcome") for view in views) == ["unchanged", "written"], name
    once = _digests(OLDER)
    for view in views:
        assert {name: _fact(view, name, "digest") for name in BEFORE_RELEASE} == once
        assert view.tasks["deploy_bundle", "bless"].state == "skipped", "a later night answers"
    found = [str(one.version) for one in mlflow_client().search_model_versions("name='ecclip'")]
    assert sorted(found) == ["1", "2"]
    assert (registry.model_version("2").night, registry.model_version("2").digest) == (OLDER, once["export"])
    now = (registry.champion(), registry.reigning())
    assert [one and (one.version, one.digest) for one in now] == [(champion.version, champion.digest)] * 2
    assert [one["night"] for one in known_nights()] == [OLDER, newer]
    assert _digests(newer) == kept


def _digests(night: str) -> dict[str, str]:
    return {name: digest_of(work_path(STEPS[name].output, night)) for name in BEFORE_RELEASE}


def _fact(view: NightView, stage: str, name: str) -> str:
    return next(str(task.facts[name]) for task in view.tasks.values() if task.task == stage)


def _ignore(_: NightView, __: TaskView) -> None:
    """Nobody looks."""
