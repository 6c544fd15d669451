"""An earlier champion answers again: triggered by hand, it does what moving @champion to that version does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param, dag
from ecclip_tasks import CHAMPION, DEFAULTS, FIRST_NIGHT, release_task


def roll_back_to(params: Mapping[str, Any]) -> Any:
    """Move @champion to the version, and reconcile."""
    from ecclip.release import roll_back as roll_back_release

    return roll_back_release(params["to"], params["reason"])


@dag(
    schedule=None,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params={
        "to": Param(None, type=["null", "string"], description="version of the registry; empty: the champion before"),
        "reason": Param("", type="string", description="why; it is kept on the versions and in the audit file"),
    },
    tags=["ecclip", "serving"],
    doc_md=__doc__,
)
def roll_back() -> None:
    """Roll back."""
    release_task("roll_back", roll_back_to, pool="serving", outlet=CHAMPION)


roll_back()
