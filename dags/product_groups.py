"""The champion's embeddings become product groups: matching and clustering over the whole snapshot."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ecclip_tasks import CHAMPION, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, night_task, stage_task


def record_products(night: str) -> dict[str, Any]:
    """Version the night's product groups and return their digest."""
    from ecclip.core import digest_of, settings
    from ecclip.registry import record_version

    record_version(night, ["group_products"])
    return {"digest": digest_of(settings().work / "nights" / night / "products")}


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
    """Group the products of the night's snapshot, version."""
    stage_task("group_products") >> night_task("version", record_products, pool="dvc")


product_groups()
