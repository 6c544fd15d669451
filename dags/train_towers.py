"""A new snapshot becomes a bundle: towers, heads, report and ONNX graphs, registered and versioned."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context
from ecclip_tasks import BUNDLE, DEFAULTS, FIRST_NIGHT, GPU, NIGHT_PARAM, SNAPSHOT, night_task, stage_task


def start(night: str) -> Any:
    """Fix from which weights training starts, once the nights before are decided."""
    from ecclip.pipeline import run_stage
    from ecclip.release import await_decision

    await_decision(night)
    return run_stage("start", night)


def register(night: str) -> Any:
    """Enter the night's bundle into the registry as @challenger."""
    from ecclip.release import register_night

    return register_night(night)


def record_bundle(night: str) -> dict[str, Any]:
    """Version the night's model folders and return the bundle's digest and registry version."""
    from ecclip.registry import record_version

    record_version(night, ["start", "train", "embed", "evaluate", "export"])
    registered = get_current_context()["ti"].xcom_pull(task_ids="register")
    return {"digest": registered["digest"], "version": registered["version"]}


@dag(
    schedule=SNAPSHOT,
    start_date=FIRST_NIGHT,
    catchup=False,
    # a night starts from the champion that the one before it may have made
    max_active_runs=1,
    default_args=DEFAULTS,
    params=NIGHT_PARAM,
    tags=["ecclip", "train"],
    doc_md=__doc__,
)
def train_towers() -> None:
    """Start, train, embed, evaluate, export, register, version."""
    (
        night_task("start", start)
        >> stage_task("train", **GPU)
        >> stage_task("embed", **GPU)
        >> stage_task("evaluate")
        >> stage_task("export")
        >> night_task("register", register)
        >> night_task("version", record_bundle, pool="dvc", outlet=BUNDLE)
    )


train_towers()
