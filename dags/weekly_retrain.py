"""Once a week a snapshot is trained from the pretrained weights as well, beside the night's fine-tuning.

Its bundle is registered as a challenger; deploy_bundle compares it with what answers on the same test listings. Nights
of other days than ``retrain.weekday`` are skipped.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.sdk import dag
from ecclip_tasks import BUNDLE, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, SNAPSHOT, chain, night_task, stages_of


def due(night: str) -> Any:
    """Say whether this night is to be retrained."""
    from ecclip.release import retrain_due

    return retrain_due(night)


def retrain(name: str, night: str) -> Any:
    """Run a stage of the training beside the night's own."""
    from ecclip.pipeline import retrain_stage

    return retrain_stage(name, night)


def register(night: str) -> Any:
    """Enter the retrained bundle into the registry as @challenger."""
    from ecclip.release import register_retrained

    return register_retrained(night)


@dag(
    schedule=SNAPSHOT,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params=NIGHT_PARAM,
    tags=["ecclip", "train"],
    doc_md=__doc__,
)
def weekly_retrain() -> None:
    """Ask whether it is the day, run the training's stages from the pretrained weights, register."""
    calls = {name: partial(retrain, name) for name in stages_of("train_towers")}
    first, last = chain("train_towers", remote=False, **calls)
    night_task("due", due, only_if="due") >> first
    last >> night_task("register", register, outlet=BUNDLE)


weekly_retrain()
