"""What no event has started is started: snapshots without bundle, bundles without verdict, champions without answers.

Airflow drops an event that comes while a run is queued; what is to be done follows from the state. Every quarter of an
hour, by judgment: several times as often as nights come, and seldom enough to cost nothing.
"""

from __future__ import annotations

from airflow.sdk import CronTriggerTimetable, dag
from ecclip_tasks import DEFAULTS, FIRST_NIGHT, outstanding_tasks


@dag(
    schedule=CronTriggerTimetable("*/15 * * * *", timezone="UTC"),
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["ecclip"],
    doc_md=__doc__,
)
def reconcile_nights() -> None:
    """Find, and start."""
    outstanding_tasks()


reconcile_nights()
