"""The champion's embeddings become product groups: matching and clustering over the whole snapshot."""

from __future__ import annotations

from airflow.sdk import dag
from ecclip_tasks import CHAMPION, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, chain, version_task


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
    """Run the stages of this DAG, version."""
    _, last = chain("product_groups")
    last >> version_task("product_groups")


product_groups()
