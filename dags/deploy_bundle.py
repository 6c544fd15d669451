"""A registered bundle becomes the champion: compared with the old one by the gate, blessed by the server, promoted.

Keyed by the registry's version: that of the event that starts it, or of its parameter, else that of the night's bundle.
A gate that refuses fails its task at once, and the champion goes on answering. A night that a later one has overtaken
is not promoted, and raises no event; if the gate refuses it, too, nothing fails, since nothing is to be done about it.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, chain, dag, get_current_context
from ecclip_tasks import (
    BUNDLE,
    CHAMPION,
    DEFAULTS,
    FIRST_NIGHT,
    NIGHT_PARAM,
    approval_tasks,
    engine_tasks,
    night_task,
    version_of_run,
)


def gate(night: str) -> Any:
    """Compare the night's bundle with the champion."""
    from ecclip.release import gate_night

    return gate_night(night, version_of_run(get_current_context()))


def build_engine(night: str) -> Any:
    """Build the bundle's TensorRT engines on the GPU that serves."""
    from ecclip.release import build_engine_night

    return build_engine_night(night, version_of_run(get_current_context()))


def bless(night: str) -> Any:
    """Load the bundle next to the live one and verify its answers to the golden listings."""
    from ecclip.release import bless_night

    return bless_night(night, version_of_run(get_current_context()))


def promote(night: str) -> Any:
    """Make the blessed bundle live and move @champion to it."""
    from ecclip.release import promote_night

    return promote_night(night, version_of_run(get_current_context()))


@dag(
    schedule=BUNDLE,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params=NIGHT_PARAM
    | {"version": Param(None, type=["null", "string"], description="version of the registry; empty: the event's")},
    tags=["ecclip", "serving"],
    doc_md=__doc__,
)
def deploy_bundle() -> None:
    """Gate, build engines where the server loads some, bless, let a person approve where that is wanted, promote."""
    chain(
        night_task("gate", gate, only_if="passed"),
        *engine_tasks(build_engine),
        night_task("bless", bless, pool="serving", only_if="blessed"),
        *approval_tasks(),
        night_task("promote", promote, pool="serving", outlet=CHAMPION, only_if="promoted"),
    )


deploy_bundle()
