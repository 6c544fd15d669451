"""A new snapshot becomes a bundle: towers, heads, report and ONNX graphs, registered and versioned."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context
from ecclip_tasks import DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, SNAPSHOT, chain, night_task, version_task


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


def registered_version() -> dict[str, Any]:
    """Return the registry's version of the night's bundle, for those whom the asset triggers."""
    return {"version": get_current_context()["ti"].xcom_pull(task_ids="register")["version"]}


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
    """Run the stages of this DAG in the pipeline's order, register, version."""
    _, last = chain("train_towers", start=start)
    last >> night_task("register", register) >> version_task("train_towers", registered_version)


train_towers()
