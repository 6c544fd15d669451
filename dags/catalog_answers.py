"""What the deployed bundle says of the whole catalog becomes a table, as soon as catalog, champion or products changed.

It is always the newest published night that is answered, by what answers now; what did not change is not asked again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context
from ecclip_tasks import DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, PRODUCTS, SNAPSHOT, night_task


def answers(_: str) -> Any:
    """Write the answers of the night that the run's conf says, or else of the newest one."""
    from ecclip.release import answer_catalog

    return answer_catalog(get_current_context()["params"].get("night"))


@dag(
    schedule=SNAPSHOT | PRODUCTS,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params=NIGHT_PARAM,
    tags=["ecclip", "serving"],
    doc_md=__doc__,
)
def catalog_answers() -> None:
    """Answer the catalog."""
    night_task("answers", answers)


catalog_answers()
