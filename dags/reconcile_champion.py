"""What a person asks for by moving @champion in MLflow is granted or refused; alias, record and answers agree again.

Started by the watcher within seconds, and every five minutes in case the watcher or an event of it was lost.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag
from ecclip_tasks import CHAMPION, DEFAULTS, FIRST_NIGHT, release_task

from ecclip.orchestration import AliasTrigger

REQUEST = Asset("champion_request", watchers=[AssetWatcher(name="alias", trigger=AliasTrigger())])


def reconcile(_: Any) -> Any:
    """Grant or refuse what @champion asks for, and repair what else differs."""
    from ecclip.release import reconcile as reconcile_release

    return reconcile_release()


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=[REQUEST]),
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["ecclip", "serving"],
    doc_md=__doc__,
)
def reconcile_champion() -> None:
    """Reconcile."""
    release_task("reconcile", reconcile, pool="serving", outlet=CHAMPION)


reconcile_champion()
