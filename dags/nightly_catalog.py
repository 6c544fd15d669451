"""The night's dump becomes a snapshot: checked, cleaned, grouped, published and versioned.

Keyed by the date on which the data interval starts; running a night again gives the same bytes, so backfills are safe.
"""

from __future__ import annotations

from airflow.sdk import dag
from ecclip_tasks import (
    DEFAULTS,
    FIRST_NIGHT,
    NIGHT_PARAM,
    chain,
    nightly_schedule,
    version_task,
    wait_for_dump,
)


@dag(
    schedule=nightly_schedule(),
    start_date=FIRST_NIGHT,
    catchup=False,
    # a night takes group ids and limits from the one before it: never two at once
    max_active_runs=1,
    default_args=DEFAULTS,
    params=NIGHT_PARAM,
    tags=["ecclip", "catalog"],
    doc_md=__doc__,
)
def nightly_catalog() -> None:
    """Wait for the export, run the stages of this DAG in the pipeline's order, version."""
    first, last = chain("nightly_catalog")
    wait_for_dump() >> first
    last >> version_task("nightly_catalog")


nightly_catalog()
