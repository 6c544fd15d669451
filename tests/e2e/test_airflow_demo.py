"""The main job itself, small: sample dump, real DAGs, real stages, real Triton, answers; then again, unchanged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecclip.core import settings
from ecclip.formats.answers import read_answers
from ecclip.local import demo, status
from ecclip.pipeline import STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("dags", "ecclip", "triton_models", "dvc.yaml", ".dvcignore"):
        (tmp_path / name).symlink_to(ROOT / name)
    parameters = re.sub(r"listings: \d+", "listings: 300", (ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(parameters)
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
    settings.cache_clear()


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_demo_answers_and_its_second_run_changes_nothing(
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

    second = demo(nights=1)
    said = capsys.readouterr().out
    assert f"{len(digests)} of {len(digests)} stages were unchanged" in said
    assert {key: second[0].tasks[key].facts.get("digest") for key in digests} == digests
    assert not list((workspace / "work").glob("nights/*/.*.tmp-*"))
