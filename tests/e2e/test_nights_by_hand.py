"""``ecclip nights reconcile`` without Airflow: a published night is trained, judged, deployed and answered by it.

Then the registry is deleted. Real stages, MLflow and Triton; every step is the command that a person types, and what
answers is asked of the server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chain import CHAIN
from registries import MLFLOW_WARNINGS, make_workspace
from serving_server import use_serving_environment
from tiny_training import TOWERS

from ecclip.client import Product, ProductClient
from ecclip.core import settings
from ecclip.formats.answers import read_origin
from ecclip.formats.live import read_live
from ecclip.local import start_services, stop_services
from ecclip.nights import work_path
from ecclip.pipeline import STEPS

pytestmark = [
    pytest.mark.slow, pytest.mark.ops, pytest.mark.fault(46), pytest.mark.fault(47),
    pytest.mark.filterwarnings(*MLFLOW_WARNINGS),
]  # fmt: skip

PARAMETERS = {
    "train": {"towers": TOWERS, "trainer": {"epochs": 1, "workers": 0}},
    "gate": {"metrics": {"category/both/top1": {"floor": 0.0}}, "cell_drop": 1.0},
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_workspace(tmp_path / "workspace", monkeypatch)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    use_serving_environment(monkeypatch)
    yield folder
    stop_services(("triton",))
    settings.cache_clear()


def _type(workspace: Path, command: str) -> tuple[int, str]:
    """Type a command in the workspace; return its exit status and what it printed: its result, or its error."""
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=workspace, env=os.environ, capture_output=True, text=True
    )
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def _catch_up(workspace: Path) -> dict[str, Any]:
    code, said = _type(workspace, "ecclip nights reconcile")
    assert code == 0, said
    result: dict[str, Any] = json.loads(said[said.index("{") :])
    return result


def _answering(address: str) -> str:
    with ProductClient(address) as client:
        return client.ask([Product(title="red steel mug")])[0].lineage


def _publish(workspace: Path, done: Path, night: str) -> None:
    """Leave what the catalog's stages leave of a night."""
    for name in CHAIN:
        shutil.copytree(done / name, work_path(STEPS[name].output, night), copy_function=os.link)
    code, said = _type(workspace, f"ecclip nights add {night}")
    assert code == 0, said


def test_what_is_outstanding_is_done_and_a_lost_registry_never_changes_what_answers(workspace: Path, shop: Any) -> None:
    first, second = (dump.name for dump in shop.dumps[:2])
    _publish(workspace, shop.folder / "0", first)
    address = start_services(("triton",)).addresses["triton"]

    dags = [one.split()[0] for one in _catch_up(workspace)["done"]]
    assert dags[:2] == ["train_towers", "deploy_bundle"]
    assert {*dags[2:]} == {"product_groups", "catalog_answers"}
    live = read_live(workspace / "work" / "model_repository")
    assert live is not None
    assert _answering(address) == live.lineage
    assert read_origin(workspace / "work" / "answers" / first).bundle == live.bundle
    assert _catch_up(workspace)["done"] == []

    shutil.rmtree(workspace / "work" / "mlflow")
    _publish(workspace, shop.folder / "1", second)
    code, said = _type(workspace, "ecclip nights reconcile")
    assert code != 0
    way_out = re.search(r"next: (ecclip [a-z]+ [a-z]+)", said)
    assert way_out, said
    assert _answering(address) == live.lineage
    code, said = _type(workspace, way_out[1])
    assert code == 0, said
    assert _answering(address) == live.lineage

    done = _catch_up(workspace)["done"]
    assert [one.split()[0] for one in done][:2] == ["train_towers", "deploy_bundle"]
    assert f"deploy_bundle {second}" in done[1]
    now = read_live(workspace / "work" / "model_repository")
    assert now is not None
    assert now.bundle != live.bundle
    assert _answering(address) == now.lineage
    code, said = _type(workspace, "ecclip release reconcile")
    assert (code, json.loads(said[said.index("{") :])["digest"]) == (0, now.bundle)
