"""The outstanding work of this workspace: found in its folders and its registry, and begun.

Airflow's DAG ``reconcile_nights`` asks for :func:`reconcile_nights` and starts what it says; the command does the work
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecclip import registry
from ecclip.atomic import MANIFEST
from ecclip.core import ContractError, GateError, bind, digest_of, get_logger, settings
from ecclip.formats.answers import read_origin
from ecclip.formats.bundle import Bundle
from ecclip.nights import published_nights, work_path
from ecclip.pipeline import STEPS, run_stage, stages_of
from ecclip.registry import ModelRef
from ecclip.release.catalog import answer_catalog
from ecclip.release.nights import bless_night, build_engine_night, gate_night, promote_night, register_night
from ecclip.release.outstanding import DECIDED, PASSED, UNDECIDED, Night, Outstanding, Version, Work, World, outstanding
from ecclip.release.products import products_due
from ecclip.release.steps import deployment_lock


def reconcile_nights() -> Outstanding:
    """Return the outstanding work, and say on the versions that a later night has overtaken that it has.

    Raises:
        IntegrityError: the registry does not know what answers; names the way out.
        ServiceError: the registry does not answer, or another deployment works for too long.
    """
    bind(run=settings().run_id)
    with deployment_lock():
        found = outstanding(_world())
        for version, reason in found.passed_over.items():
            registry.end_challenge(version, reason)
            get_logger().warning("a version is overtaken", version=version, reason=reason)
    for night, reason in found.overtaken.items():
        get_logger().warning("a night is overtaken", night=night, reason=reason)
    for work in found.work:
        get_logger().info("to be done", dag=work.dag, night=work.night, why=work.why)
    return found


def catch_up() -> dict[str, Any]:
    """Do the outstanding work here, one after the other, until nothing is left or the same is found again.

    Raises:
        EcclipError: what a step of it raises, but for a gate's refusal; what was done before stays done.
    """
    done: dict[str, str] = {}
    while True:
        found = reconcile_nights()
        left = next((work for work in found.work if work.run_id not in done), None)
        if left is None:
            return {"done": [*done.values()], "overtaken": dict(found.overtaken)}
        done[left.run_id] = f"{left.dag} {left.night}: {left.why}{_do(left)}"


def _world() -> World:
    answers = registry.deployed()
    versions = registry.all_versions() if registry.has_store() else []
    return World(
        nights=[_night(night) for night in published_nights()],
        versions=[Version(one.version, one.night, one.digest, _fate(one)) for one in versions if one.digest],
        answering="" if answers is None else answers.digest,
        answering_night="" if answers is None else answers.night,
    )


def _night(night: str) -> Night:
    snapshot, bundle = settings().work / "snapshots" / night, work_path(STEPS["export"].output, night)
    answered, products = settings().work / "answers" / night, work_path(STEPS["group_products"].output, night)
    has_bundle = (bundle / MANIFEST).is_file()
    return Night(
        night=night,
        snapshot=digest_of(snapshot),
        trained_on=str(_lineage(bundle).get("snapshot", "")) if has_bundle else "",
        bundle=digest_of(bundle) if has_bundle else "",
        answered_by=read_origin(answered).bundle if (answered / MANIFEST).is_file() else "",
        has_products=(products / MANIFEST).is_file(),
    )


def _lineage(bundle: Path) -> dict[str, str]:
    try:
        return Bundle(bundle).lineage()
    except ContractError:
        return {}  # of another version of ecclip: it is made anew


def _fate(one: ModelRef) -> str:
    settled = {"champion_reason", "rolled_back", "overtaken", "refused_reason"} & {*one.tags}
    if settled or "refused" in (one.tags.get("gate"), one.tags.get("blessing")):
        return DECIDED
    if one.tags.get("gate") != "passed":
        return UNDECIDED
    # a person may have rejected it: asking once more is theirs to want
    return DECIDED if settings().approval else PASSED


def _do(work: Work) -> str:
    """Do a piece of work; a gate's refusal is an outcome, and returned."""
    try:
        _DO[work.dag](work)
    except GateError as refusal:
        return f"; refused: {refusal}"
    return ""


def _train(work: Work) -> None:
    for name in stages_of(work.dag):
        run_stage(name, work.night)
    register_night(work.night)


def _deploy(work: Work) -> None:
    version = work.conf["version"]
    if not gate_night(work.night, version)["passed"]:
        return  # overtaken, as the version says now
    if settings().serving_platform == "tensorrt_plan":
        build_engine_night(work.night, version)
    if bless_night(work.night, version)["blessed"]:
        promote_night(work.night, version)


def _group(work: Work) -> None:
    if products_due(work.night)["due"]:
        run_stage("group_products", work.night)


_DO: dict[str, Callable[[Work], Any]] = {
    "train_towers": _train,
    "deploy_bundle": _deploy,
    "product_groups": _group,
    "catalog_answers": lambda work: answer_catalog(work.night),
}
