"""The night's dump becomes a snapshot: checked, cleaned, grouped, published and versioned.

Keyed by the start of the data interval (UTC); running a night again gives the same bytes, so backfills are safe.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ecclip_tasks import (
    DEFAULTS,
    FIRST_NIGHT,
    GPU,
    NIGHT_PARAM,
    SNAPSHOT,
    night_task,
    nightly_schedule,
    stage_task,
    wait_for_dump,
)


def record_snapshot(night: str) -> dict[str, Any]:
    """Version the night's catalog folders and return the snapshot's digest."""
    from ecclip.core import digest_of, settings
    from ecclip.registry import record_version

    record_version(night, ["land", "ingest", "check", "clean", "group", "reference", "score_pairs", "publish"])
    return {"digest": digest_of(settings().work / "snapshots" / night)}


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
    """Wait, extract, land, ingest, check, clean; group, and compare photos with titles; publish, version."""
    clean = stage_task("clean", pool="spark")
    publish = stage_task("publish", pool="spark")
    land = wait_for_dump() >> stage_task("extract", pool="spark") >> stage_task("land")
    land >> stage_task("ingest", pool="spark") >> stage_task("check", pool="spark") >> clean
    clean >> stage_task("group", pool="spark") >> publish
    clean >> stage_task("reference") >> stage_task("score_pairs", **GPU) >> publish
    publish >> night_task("version", record_snapshot, pool="dvc", outlet=SNAPSHOT)


nightly_catalog()
