"""The steps with side effects outside a night's folders: register, gate, bless, promote; what a person asks for; and
the answers for the whole catalog.

Called by the command line and by the Airflow tasks. Each can be run again at any time: what is done stays done, and
what was interrupted is completed.
"""

from ecclip.release import outstanding
from ecclip.release.agreement import requested, state
from ecclip.release.catalog import answer_catalog
from ecclip.release.catching_up import catch_up, reconcile_nights
from ecclip.release.nights import (
    await_decision,
    bless_night,
    build_engine_night,
    gate_night,
    promote_night,
    register_night,
)
from ecclip.release.products import products_due
from ecclip.release.rebuilding import rebuild_registry
from ecclip.release.requests import reconcile, roll_back
from ecclip.release.retraining import RetrainConfig, register_retrained, retrain_due, retrain_night
from ecclip.release.scoring import Examination

__all__ = [
    "Examination",
    "RetrainConfig",
    "answer_catalog",
    "await_decision",
    "bless_night",
    "build_engine_night",
    "catch_up",
    "gate_night",
    "outstanding",
    "products_due",
    "promote_night",
    "rebuild_registry",
    "reconcile",
    "reconcile_nights",
    "register_night",
    "register_retrained",
    "requested",
    "retrain_due",
    "retrain_night",
    "roll_back",
    "state",
]
