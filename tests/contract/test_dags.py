"""The DAGs keep their promises before a scheduler ever sees them."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"
NAMES = [
    "catalog_answers", "deploy_bundle", "nightly_catalog", "product_groups", "reconcile_champion", "reconcile_nights",
    "roll_back", "train_towers", "weekly_retrain",
]  # fmt: skip
HEAVY = ["torch", "pyspark", "pandas", "transformers", "timm", "mlflow", "dvc", "sklearn", "faiss", "onnxruntime"]

POD = """
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: base
      resources: {limits: {nvidia.com/gpu: "1"}}
  tolerations: [{key: nvidia.com/gpu, operator: Exists}]
"""

# its own process: Airflow reads its home when it is imported, and this proves what an import loads
_DESCRIBE = """
import importlib, json, sys
from airflow.sdk import Asset
import airflow.sdk.definitions.decorators  # what Airflow itself loads at its first DAG is not the DAGs' doing
from airflow.providers.standard.decorators.python import python_task
before = set(sys.modules)
found = {"dags": {}}
for name in %(names)r:
    module = importlib.import_module(name)
    dag = getattr(module, name)()
    found["dags"][dag.dag_id] = {
        "max_active_runs": dag.max_active_runs, "catchup": dag.catchup, "tags": sorted(dag.tags),
        "schedule": repr(type(dag.timetable).__name__),
        "periodic": bool(getattr(dag.timetable, "expression", "")),
        "assets": [asset.name for asset in getattr(getattr(dag.timetable, "asset_condition", None), "objects", [])]
        or [getattr(getattr(dag.timetable, "asset_condition", None), "name", None)],
        "edges": sorted((a, b) for a in dag.task_ids for b in dag.get_task(a).downstream_task_ids),
        "tasks": {
            task.task_id: {
                "owner": task.owner, "retries": task.retries, "retry_delay": task.retry_delay.total_seconds(),
                "timeout": task.execution_timeout and task.execution_timeout.total_seconds(), "pool": task.pool,
                "pool_slots": task.pool_slots, "queue": task.queue, "executor_config": sorted(task.executor_config),
                "operator": type(task).__name__, "outlets": [outlet.name for outlet in task.outlets],
            } for task in dag.tasks
        },
    }
found["loaded"] = sorted(set(sys.modules) - before)
print("DESCRIPTION" + json.dumps(found))
"""


def describe(home: Path, **environment: str) -> dict[str, Any]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "ECCLIP_"))}
    env |= {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(DAGS), "ECCLIP_WORKSPACE": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE % {"names": NAMES}], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("DESCRIPTION"))
    return dict(json.loads(line.removeprefix("DESCRIPTION")))


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return describe(tmp_path_factory.mktemp("airflow"), ECCLIP_GPU_POOL="gpu")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAGs on a machine with other settings."""
    template = tmp_path_factory.mktemp("kubernetes") / "gpu.yaml"
    template.write_text(POD)
    return describe(
        tmp_path_factory.mktemp("airflow"),
        ECCLIP_SCHEDULE="none",
        ECCLIP_GPU_POOL="h100",
        ECCLIP_GPU_QUEUE="gpu",
        ECCLIP_GPU_WORKSPACE="own",
        ECCLIP_DVC_PUSH="1",
        ECCLIP_GPU_POD_TEMPLATE=str(template),
        ECCLIP_SERVING_PLATFORM="tensorrt_plan",
        ECCLIP_ENGINE_QUEUE="engines",
        ECCLIP_APPROVAL="true",
        ECCLIP_ENGINE_POD_TEMPLATE=str(template),
    )


def _every_task(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{dag}.{name}", task) for dag, one in described["dags"].items() for name, task in one["tasks"].items()]


def test_all_dags_import_and_load_nothing_heavy(described: dict[str, Any]) -> None:
    assert sorted(described["dags"]) == NAMES
    loaded = {name.split(".")[0] for name in described["loaded"]}
    assert loaded & set(HEAVY) == set()
    ours = {name.split(".")[1] for name in described["loaded"] if name.startswith("ecclip.")}
    assert ours == {"atomic", "core", "errors", "fields", "nights", "orchestration", "pipeline", "renames", "spool"}


def test_every_task_has_owner_retries_delay_and_timeout(described: dict[str, Any]) -> None:
    for name, task in _every_task(described):
        assert task["owner"] == "ecclip", name
        assert task["retries"] >= 2, name
        assert task["retry_delay"] > 0, name
        assert task["timeout"], name


def test_every_dag_is_tagged_one_run_at_a_time_and_without_catchup(described: dict[str, Any]) -> None:
    for name, dag in described["dags"].items():
        assert "ecclip" in dag["tags"], name
        assert dag["max_active_runs"] == 1, name
        assert dag["catchup"] is False, name


@pytest.mark.fault(32)
def test_every_pool_exists_with_slots_for_each_of_its_tasks(described: dict[str, Any]) -> None:
    pools = json.loads((DAGS / "pools.json").read_text())
    slots = {name: pool["slots"] for name, pool in pools.items()} | {"default_pool": 128}
    for name, task in _every_task(described):
        assert task["pool"] in slots, name
        assert 0 < task["pool_slots"] <= slots[task["pool"]], name
    used = {task["pool"] for _, task in _every_task(described)}
    assert set(pools) - used == set(), "a pool that no task uses"


def test_the_order_of_a_night(described: dict[str, Any]) -> None:
    orders = {
        "train_towers": ["start", "train", "embed", "evaluate", "export", "register", "version"],
        "deploy_bundle": ["gate", "bless", "promote"],
        "product_groups": ["due", "group_products", "version"],
        "weekly_retrain": ["due", "start", "train", "embed", "evaluate", "export", "register"],
    }
    edges = {name: {*itertools.pairwise(order)} for name, order in orders.items()}
    edges["nightly_catalog"] = {
        *itertools.pairwise(
            ["wait_for_dump", "extract", "land", "ingest", "check", "clean", "group", "publish", "version"]
        ),
        *itertools.pairwise(["clean", "reference", "score_pairs", "publish"]),
    }
    for name, expected in edges.items():
        assert {(first, second) for first, second in described["dags"][name]["edges"]} == expected
        assert set(described["dags"][name]["tasks"]) == {task for edge in expected for task in edge}


def test_assets_chain_the_dags_and_leave_with_their_last_task(described: dict[str, Any]) -> None:
    dags = described["dags"]
    assert dags["nightly_catalog"]["tasks"]["version"]["outlets"] == ["snapshot"]
    assert dags["train_towers"]["tasks"]["version"]["outlets"] == ["bundle"]
    assert dags["deploy_bundle"]["tasks"]["promote"]["outlets"] == ["champion"]
    assert dags["product_groups"]["tasks"]["version"]["outlets"] == ["products"]
    assert dags["weekly_retrain"]["tasks"]["register"]["outlets"] == ["bundle"]
    names = ("train_towers", "weekly_retrain", "deploy_bundle", "product_groups", "catalog_answers")
    assert [dags[name]["assets"] for name in names] == [
        ["snapshot"],
        ["snapshot"],
        ["bundle"],
        ["champion"],
        ["snapshot", "products"],
    ]


def test_a_moved_alias_and_a_rollback_raise_the_champion_event_as_a_night_does(described: dict[str, Any]) -> None:
    dags = described["dags"]
    assert (dags["reconcile_champion"]["assets"], dags["roll_back"]["assets"]) == (["champion_request"], [None])
    for name, task in (("reconcile_champion", "reconcile"), ("roll_back", "roll_back")):
        assert list(dags[name]["tasks"]) == [task]
        assert dags[name]["tasks"][task]["outlets"] == ["champion"]
        assert dags[name]["tasks"][task]["pool"] == "serving"


def test_the_schedule_is_nightly_and_a_machine_can_do_without(
    described: dict[str, Any], elsewhere: dict[str, Any]
) -> None:
    assert described["dags"]["nightly_catalog"]["periodic"]
    assert not elsewhere["dags"]["nightly_catalog"]["periodic"]


def test_gpu_tasks_go_where_the_settings_say(elsewhere: dict[str, Any]) -> None:
    for name in ("train", "embed"):
        task = elsewhere["dags"]["train_towers"]["tasks"][name]
        assert (task["pool"], task["queue"]) == ("h100", "gpu")
        assert task["executor_config"] == ["pod_override"]
    assert elsewhere["dags"]["train_towers"]["tasks"]["evaluate"]["executor_config"] == []


def test_engines_are_built_before_the_blessing_where_the_server_loads_some(
    described: dict[str, Any], elsewhere: dict[str, Any]
) -> None:
    dag = elsewhere["dags"]["deploy_bundle"]
    order = ["gate", "build_engine", "bless", "approve", "promote"]
    assert {(first, second) for first, second in dag["edges"]} == {*itertools.pairwise(order)}
    task = dag["tasks"]["build_engine"]
    assert (task["queue"], task["pool"], task["executor_config"]) == ("engines", "serving", ["pod_override"])
    assert "build_engine" not in described["dags"]["deploy_bundle"]["tasks"]


def test_a_stage_on_a_worker_of_its_own_waits_for_its_inputs_and_is_waited_for(elsewhere: dict[str, Any]) -> None:
    dag = elsewhere["dags"]["train_towers"]
    order = ["start", "submit_train", "train", "fetch_train", "submit_embed", "embed", "fetch_embed", "evaluate"]
    assert {*itertools.pairwise(order)} <= {(first, second) for first, second in dag["edges"]}
    assert {dag["tasks"][name]["queue"] for name in ("train", "embed")} == {"gpu"}
    for name in ("submit_train", "fetch_train", "submit_embed", "fetch_embed"):
        assert (dag["tasks"][name]["queue"], dag["tasks"][name]["pool"]) == ("default", "dvc")


def test_versions_are_pushed_with_patience_after_the_asset_is_out(
    described: dict[str, Any], elsewhere: dict[str, Any]
) -> None:
    for name in ("nightly_catalog", "train_towers", "product_groups"):
        assert "push" not in described["dags"][name]["tasks"]
        dag = elsewhere["dags"][name]
        assert [edge for edge in dag["edges"] if "push" in edge] == [["version", "push"]]  # nothing waits for it
        assert dag["tasks"]["push"]["retries"] >= 5
        assert dag["tasks"]["push"]["outlets"] == []
        assert dag["tasks"]["push"]["pool"] == "default_pool"


def test_a_person_is_asked_before_a_promotion_where_the_settings_want_it(
    described: dict[str, Any], elsewhere: dict[str, Any]
) -> None:
    asked = elsewhere["dags"]["deploy_bundle"]["tasks"]["approve"]
    assert (asked["operator"], asked["timeout"]) == ("ApprovalOperator", None)
    assert "approve" not in described["dags"]["deploy_bundle"]["tasks"]


@pytest.mark.usefixtures("tasks_module")  # Airflow reads its home when it is imported
class TestExecutors:
    """What each executor takes, asked of the providers themselves."""

    def test_every_executor_that_the_project_names_can_be_imported(self) -> None:
        from airflow.executors.local_executor import LocalExecutor
        from airflow.providers.celery.executors.celery_executor import CeleryExecutor
        from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor

        assert {one.__name__ for one in (LocalExecutor, CeleryExecutor, KubernetesExecutor)}

    def test_local_and_celery_are_told_nothing_beside_the_queue(self, tasks_module: Any) -> None:
        assert tasks_module.executor_config(None) == {}

    def test_kubernetes_takes_the_pod_and_keeps_it_in_the_serialised_dag(
        self, tasks_module: Any, tmp_path: Path
    ) -> None:
        from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
        from airflow.serialization.serialized_objects import BaseSerialization

        (tmp_path / "gpu.yaml").write_text(POD)
        config = tasks_module.executor_config(tmp_path / "gpu.yaml")
        assert BaseSerialization.deserialize(BaseSerialization.serialize(config)) == config
        pod = PodGenerator.from_obj(config)
        assert pod.spec.containers[0].name == "base"
        assert pod.spec.containers[0].resources.limits == {"nvidia.com/gpu": "1"}
        with pytest.raises(TypeError):  # what the provider says to a mapping, which JSON in a setting would be
            PodGenerator.from_obj({"pod_override": pod.to_dict()})

    @pytest.mark.parametrize("text", [None, "", "kind: Job\n", "- kind: Pod\n", "kind: [Pod\n"])
    def test_a_file_that_holds_no_pod_is_refused(self, tasks_module: Any, tmp_path: Path, text: str | None) -> None:
        from ecclip.core import ConfigError

        if text is not None:
            (tmp_path / "gpu.yaml").write_text(text)
        with pytest.raises(ConfigError, match="ECCLIP_GPU_POD_TEMPLATE"):
            tasks_module.executor_config(tmp_path / "gpu.yaml")


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.name)
def test_a_dag_file_holds_no_logic(path: Path) -> None:
    if path.stem in NAMES:
        assert len(path.read_text().splitlines()) <= 80
