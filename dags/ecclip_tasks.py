"""How a stage becomes a task: the night, the run id, and which errors a retry cannot fix."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Asset, CronDataIntervalTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ecclip.core import (
    ConfigError,
    ContractError,
    GateError,
    get_logger,
    keep_private,
    lack_of_space,
    night_of,
    parse_night,
    require_same_code,
    settings,
)
from ecclip.orchestration import Alert, DumpSensor
from ecclip.pipeline import STEPS, edges_of, run_stage, stages_of

SNAPSHOT, BUNDLE, PRODUCTS = (Asset(step.asset) for step in STEPS.values() if step.asset)
CHAMPION = Asset("champion")

FIRST_NIGHT = datetime(2026, 1, 1, tzinfo=UTC)  # start date of the DAGs; earlier nights are run by hand
NIGHT_PARAM = {
    "night": Param(None, type=["null", "string"], format="date", description="the night (ISO date); empty: the run's")
}
DEFAULTS: dict[str, Any] = {
    "owner": "ecclip",
    "retries": 2,
    "retry_delay": timedelta(seconds=float(os.environ.get("ECCLIP_RETRY_DELAY_S", "60"))),
    "execution_timeout": timedelta(hours=2),  # by judgment
    "on_failure_callback": Alert(night=lambda context: night_of_run(context)),
}


def executor_config(template: Path | None, setting: str = "ECCLIP_GPU_POD_TEMPLATE") -> dict[str, Any]:
    """Return the executor_config of a task that needs a GPU: the pod for Kubernetes, nothing for Local and Celery.

    ``setting`` is the name of the setting that says the template.

    Raises:
        ConfigError: there is no such file, no pod in it, or no Kubernetes provider that could read it.
    """
    if template is None:
        return {}
    try:
        from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    except ImportError as error:
        step = "pip install apache-airflow-providers-cncf-kubernetes (requirements/production.txt)"
        raise ConfigError("a pod template needs the Kubernetes provider", value=template, next_step=step) from error
    if not _is_pod(template):
        raise ConfigError(
            f"{setting} names no file of a pod",
            value=template,
            limit="kind: Pod",
            next_step="correct the setting, or the file",
        )
    return {"pod_override": PodGenerator.deserialize_model_file(str(template))}


def _is_pod(template: Path) -> bool:
    try:
        described = yaml.safe_load(template.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(described, dict) and described.get("kind") == "Pod"


GPU: dict[str, Any] = {
    "queue": settings().gpu_queue,
    "pool": settings().gpu_pool,
    "executor_config": executor_config(settings().gpu_pod_template),
    "execution_timeout": timedelta(hours=12),  # a training; by judgment
}
# no GPU task: it builds in the image and on the machine of the server
ENGINE: dict[str, Any] = {
    "queue": settings().engine_queue,
    "pool": "serving",
    "executor_config": executor_config(settings().engine_pod_template, "ECCLIP_ENGINE_POD_TEMPLATE"),
}
_STARTED = ("train_towers", "deploy_bundle", "product_groups", "catalog_answers")  # what outstanding work may need
_NO_RETRY = (GateError, ContractError, ConfigError)


def nightly_schedule() -> CronDataIntervalTimetable | None:
    """Return the schedule of ``ECCLIP_SCHEDULE`` (cron in ``ECCLIP_TIMEZONE``; default midnight); "none": None."""
    cron = os.environ.get("ECCLIP_SCHEDULE", "0 0 * * *")
    return None if cron == "none" else CronDataIntervalTimetable(cron, timezone=settings().timezone)


def night_of_run(context: Mapping[str, Any]) -> str:
    """Return the night of a run: what its conf says, else its asset event, else its data interval's start.

    A version in its conf means that version's night. A run started by hand with a logical date means that date; where
    several asset events wait for one run, the newest night is taken: an older one is overtaken.

    Raises:
        ConfigError: the run says no night.
    """
    if night := (context.get("params") or {}).get("night"):
        return parse_night(night)
    if version := (context.get("params") or {}).get("version"):
        from ecclip.registry import model_version

        return model_version(version).night
    nights = sorted({parse_night(event.extra["night"]) for event in _events(context) if event.extra.get("night")})
    if nights:
        if nights[:-1]:
            get_logger().warning("older nights are overtaken", taken=nights[-1], overtaken=nights[:-1])
        return nights[-1]
    by_hand = context["dag_run"].run_type == "manual"  # an enum of texts: its str() is not its value
    start = context.get("logical_date") if by_hand else context.get("data_interval_start")
    if start is None:
        raise ConfigError("the run says no night", next_step='trigger it with conf {"night": "2026-11-01"}')
    return night_of(start)


def version_of_run(context: Mapping[str, Any]) -> str | None:
    """Return the registry's version that a run means: what its conf says, else its asset event; None: its night's."""
    params = context.get("params") or {}
    if params.get("version") or params.get("night"):
        return params.get("version")
    night = night_of_run(context)
    told = [event.extra.get("version") for event in _events(context) if event.extra.get("night") == night]
    return str(told[-1]) if told and told[-1] else None


def _events(context: Mapping[str, Any]) -> list[Any]:
    return [event for group in (context.get("triggering_asset_events") or {}).values() for event in group]


def chain(dag: str, *, remote: bool = True, **calls: Callable[[str], Any]) -> tuple[list[Any], list[Any]]:
    """Return the first and the last of the tasks that run a DAG's stages, in the pipeline's order, where it says.

    ``calls`` names what a task does for the stage of that name instead of running it. ``remote``: a stage with a GPU
    goes to a worker with a workspace of its own where the settings have one.
    """
    placed = {"spark": {"pool": "spark"}, "gpu": GPU, "worker": {}}
    tasks = {}  # the first and the last of those that run a stage
    for name in stages_of(dag):
        if remote and STEPS[name].runs_on == "gpu" and settings().gpu_workspace == "own":
            tasks[name] = _remotely(name)
        else:
            one = night_task(name, calls.get(name, partial(_run_stage, name)), **placed[STEPS[name].runs_on])
            tasks[name] = (one, one)
    edges = edges_of(dag)
    for before, after in edges:
        tasks[before][1] >> tasks[after][0]
    first = [task for name, (task, _) in tasks.items() if name not in {after for _, after in edges}]
    last = [task for name, (_, task) in tasks.items() if name not in {before for before, _ in edges}]
    return first, last


def _remotely(name: str) -> tuple[Any, Any]:
    """Return the first and the last of the tasks by which a stage runs on a worker with a workspace of its own.

    Both ends change dvc.lock and share its pool; request and result go between them as XComs.
    """

    def submit(night: str) -> dict[str, str]:
        from ecclip import remote_execution

        return {"request": remote_execution.submit(name, night).model_dump_json()}

    def execute(_: str) -> dict[str, str]:
        from ecclip import remote_execution

        told = get_current_context()["ti"].xcom_pull(task_ids=f"submit_{name}")
        request = remote_execution.StageRequest.model_validate_json(told["request"])
        return {"result": remote_execution.execute(request).model_dump_json()}

    def fetch(_: str) -> Any:
        from ecclip import remote_execution

        told = get_current_context()["ti"].xcom_pull(task_ids=name)
        return remote_execution.fetch(remote_execution.StageResult.model_validate_json(told["result"]))

    submitted = night_task(f"submit_{name}", submit, pool="dvc")
    executed = night_task(name, execute, **GPU)
    fetched = night_task(f"fetch_{name}", fetch, pool="dvc")
    submitted >> executed >> fetched
    return submitted, fetched


def engine_tasks(build: Callable[[str], Any]) -> list[Any]:
    """Return the task that builds engines where the server loads some, and no task elsewhere."""
    if settings().serving_platform != "tensorrt_plan":
        return []
    return [night_task("build_engine", build, **ENGINE)]


def approval_tasks() -> list[Any]:
    """Return the task in which a person approves or rejects a blessed version, where the settings want one.

    It holds no worker while it waits, without limit; rejected, what comes after it is skipped, without an event.
    """
    if not settings().approval:
        return []
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    facts = "ti.xcom_pull(task_ids='bless')"
    asked = ApprovalOperator(
        task_id="approve",
        subject=f"Promote version {{{{ {facts}['version'] }}}} of the night {{{{ {facts}['night'] }}}}?",
        body="The gate passed it and the server gave its golden answers; see its page in MLflow.",
        execution_timeout=None,  # of the asking; nothing limits the answer
    )
    return [asked]


def version_task(dag: str, more: Callable[[], dict[str, Any]] = dict) -> Any:
    """Return the task that versions what the stages of a DAG wrote and publishes the DAG's asset, if it has one.

    The asset carries the digest of the last stage's output, and what ``more`` returns.
    """

    def version(night: str) -> dict[str, Any]:
        from ecclip.core import digest_of
        from ecclip.nights import work_path
        from ecclip.registry import record_version

        stages = stages_of(dag)
        record_version(night, [name for name in stages if not STEPS[name].external])
        return {"digest": digest_of(work_path(STEPS[stages[-1]].output, night)), **more()}

    assets = [STEPS[name].asset for name in stages_of(dag) if STEPS[name].asset]
    recorded = night_task("version", version, pool="dvc", outlet=Asset(assets[0]) if assets else None)
    recorded >> push_tasks(dag)
    return recorded


def push_tasks(dag: str) -> list[Any]:
    """Return the task that pushes what a DAG has recorded to the DVC remote, where the settings want it.

    The asset is out before it begins, and it holds no lock that others wait for: a remote that is slow or down delays
    no answer. What one night could not send stays in the cache; clearing the task sends it.
    """
    if not settings().dvc_push:
        return []

    def push(night: str) -> Any:
        from ecclip.registry import push_night

        return push_night(night, [name for name in stages_of(dag) if not STEPS[name].external])

    return [night_task("push", push, retries=5, retry_exponential_backoff=True, max_retry_delay=timedelta(hours=1))]


def _run_stage(name: str, night: str) -> Any:
    return run_stage(name, night)


def wait_for_dump() -> DumpSensor:
    """Return the task that waits for the export of the run's night and holds no worker meanwhile."""
    return DumpSensor(task_id="wait_for_dump", night=night_of_run, execution_timeout=timedelta(minutes=10))


def night_task(
    name: str, call: Callable[[str], Any], *, outlet: Asset | None = None, only_if: str = "", **operator: Any
) -> Any:
    """Return a task that calls ``call(night)`` and passes on small facts: digest, version, counts.

    A refused gate, a broken contract or a wrong setting fails at once; anything else is tried again, what is not there
    yet too. Where the fact ``only_if`` is false the task is skipped, without an event, for the ``reason`` given.
    """

    def work(context: Mapping[str, Any]) -> dict[str, Any]:
        night = night_of_run(context)
        facts = {"night": night, **_facts(call(night))}
        if only_if and not facts[only_if]:
            raise AirflowSkipException(facts["reason"])
        return facts

    return _task(name, work, outlet, operator)


def release_task(
    name: str, call: Callable[[Mapping[str, Any]], Any], *, outlet: Asset | None = None, **operator: Any
) -> Any:
    """Return a task of no night: it calls ``call(params)``, and is skipped, without an event, if nothing changed."""

    def work(context: Mapping[str, Any]) -> dict[str, Any]:
        facts = _facts(call(context["params"]))
        if not facts["changed"]:
            raise AirflowSkipException(facts["done"] or "alias and answers agree")
        return facts

    return _task(name, work, outlet, operator)


def outstanding_tasks() -> None:
    """Find the work that no event has started, and start a run for each piece whose DAG has no run.

    A run is named by what it was found in, so that a night that fails is not started again and again.
    """
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

    def find(context: Mapping[str, Any]) -> list[dict[str, Any]]:
        from ecclip.release import reconcile_nights

        busy = {dag: context["ti"].get_dr_count(dag, states=["queued", "running"]) for dag in _STARTED}
        return [
            {"trigger_dag_id": one.dag, "trigger_run_id": one.run_id, "conf": {"night": one.night, **one.conf}}
            for one in reconcile_nights().work
            if not busy[one.dag]
        ]

    found = _task("find", find, None, {"pool": "serving"})
    TriggerDagRunOperator.partial(task_id="start", logical_date=None, skip_when_already_exists=True).expand_kwargs(
        found
    )


def _task(name: str, work: Callable[[Mapping[str, Any]], Any], outlet: Asset | None, operator: dict[str, Any]) -> Any:
    @task(task_id=name, outlets=[outlet] if outlet else [], multiple_outputs=False, **operator)
    def run() -> Any:
        context = get_current_context()
        # before the first settings() of the work itself: the parsing of this file has read them already
        os.environ["ECCLIP_RUN_ID"] = str(context["run_id"])
        settings.cache_clear()
        keep_private()
        try:
            require_same_code()
            facts = work(context)
        except _NO_RETRY as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            if (known := lack_of_space(error)) is not None:
                raise known from error
            raise
        if outlet:
            kept = ("night", "digest", "version")
            context["outlet_events"][outlet].extra.update({key: facts[key] for key in kept if key in facts})
        return facts

    return run()


def _facts(value: Any) -> dict[str, Any]:
    """Return what is small and plain in a result: it becomes an XCom, and files stay files."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    plain = (str, int, float, bool, type(None))
    found = {key: item for key, item in dict(value or {}).items() if isinstance(item, plain)}
    counts = {key: value[key] for key in ("read", "written", "dropped") if key in found or key in dict(value or {})}
    return found | counts
