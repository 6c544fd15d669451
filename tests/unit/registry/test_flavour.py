"""A registered bundle is a model that anybody with MLflow loads: nothing of the workspace is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from mlflow_servers import mlflow_server
from registries import MLFLOW_WARNINGS
from serving_bundles import tiny_bundle

from ecclip import registry
from ecclip.client import Answer
from ecclip.core import settings
from ecclip.formats.bundle import Bundle
from ecclip.formats.service import EXAMPLE
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.golden import read_golden

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

_PREDICT = """
import json, sys, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/ecclip@champion")
import ecclip
example = model.input_example
print("FOUND" + json.dumps({
    "answers": json.loads(model.predict(pandas.read_pickle(sys.argv[2])).to_json(orient="records")),
    "example": list(example.columns),
    "of_the_example": json.loads(model.predict(example[["IMAGE", "TITLE"]]).to_json(orient="records")),
    "code": ecclip.__file__,
    "house": [name for name in sys.modules if name in ("ecclip.core", "ecclip.registry", "torch")],
}))
"""


def _answer(row: dict[str, Any]) -> Answer:
    texts = {name: json.loads(str(row[name])) for name in ("ATTRIBUTES", "AGE_RESTRICTED", "DECISION", "OTHER_TASKS")}
    embedding = np.array(row["EMBEDDING"], np.float32)
    listed = {name: [json.loads(one) for one in row[name]] for name in ("CATEGORY", "CATEGORY_SUGGESTED")}
    return Answer.from_outputs(row | texts | listed | {"EMBEDDING": embedding})


@pytest.mark.slow
@pytest.mark.fault(49)
@pytest.mark.ops
def test_the_server_of_a_moved_workspace_gives_out_what_its_store_has(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecclip.local import start_services, stop_services

    registered = registry.register(tiny_bundle(0), "2026-01-01")
    registry.set_champion(registered.version, "test")
    workspace.rename(tmp_path / "moved")
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path / "moved"))
    settings.cache_clear()
    golden = read_golden(Bundle(tiny_bundle(0)).golden)[:1]
    pandas.DataFrame(
        [(golden[0].product.image, golden[0].product.title, golden[0].product.description)],
        columns=["IMAGE", "TITLE", "DESCRIPTION"],
    ).to_pickle(tmp_path / "frame")
    try:
        address = start_services(("mlflow",)).addresses["mlflow"]
        command = [sys.executable, "-c", _PREDICT, address, str(tmp_path / "frame")]
        ours = ("ECCLIP", "PYTHONPATH", "MLFLOW")  # whoever loads it knows the address alone
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False)
    finally:
        stop_services(("mlflow",))
    assert done.returncode == 0, done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))[len("FOUND") :])
    assert _answer(found["answers"][0]).lineage == registered.digest[:16]
    assert not workspace.exists()


def test_the_champion_is_loaded_and_answers_where_nobody_has_seen_the_workspace(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = read_golden(Bundle(tiny_bundle(0)).golden)
    pandas.DataFrame(
        [(one.product.image, one.product.title, one.product.description) for one in golden],
        columns=["IMAGE", "TITLE", "DESCRIPTION"],
    ).to_pickle(tmp_path / "frame")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with mlflow_server(tmp_path / "mlflow") as server:
        monkeypatch.setenv("ECCLIP_MLFLOW_TRACKING_URI", server.uri)
        settings.cache_clear()
        registered = registry.register(tiny_bundle(0), "2026-01-01")
        registry.set_champion(registered.version, "test")
        (workspace / "work" / "bundles").rename(workspace / "work" / "gone")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECCLIP", "PYTHONPATH"))}
        command = [sys.executable, "-c", _PREDICT, server.uri, str(tmp_path / "frame")]
        done = subprocess.run(command, cwd=elsewhere, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    found = json.loads(line.removeprefix("FOUND"))
    answers = [_answer(row) for row in found["answers"]]
    assert {answer.lineage for answer in answers} == {registered.digest[:16]}
    assert compare(golden, answers, Tolerance(score=1e-3, embedding=1e-4)).reasons == []
    assert found["example"] == [*EXAMPLE]
    assert [(row["ERROR"], len(row["EMBEDDING"])) for row in found["of_the_example"]] == [("", 32)]
    assert found["house"] == []
    assert not found["code"].startswith((str(workspace), str(Path(registry.__file__).parents[2])))
    assert list(elsewhere.iterdir()) == []
