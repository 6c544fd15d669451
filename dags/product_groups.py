"""The champion's embeddings become product groups: matching and clustering over the whole snapshot.

Skipped where the night's embeddings are by now those of a model that never answered.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ecclip_tasks import CHAMPION, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, chain, night_task, version_task


def due(night: str) -> Any:
    """Say whether the night's embeddings are those of a model that has answered."""
    from ecclip.release import products_due

    return products_due(night)


@dag(
    schedule=CHAMPION,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params=NIGHT_PARAM,
    tags=["ecclip", "tasks"],
    doc_md=__doc__,
)
def product_groups() -> None:
    """Ask whose embeddings these are, run the stages of this DAG, version."""
    first, last = chain("product_groups")
    night_task("due", due, only_if="due") >> first
    last >> version_task("product_groups")


product_groups()
