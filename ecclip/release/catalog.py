"""Answers for the whole catalog: the newest night's listings, by the bundle that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from ecclip import registry
from ecclip.atomic import MANIFEST
from ecclip.core import ContractError, bind, get_logger, parse_night, settings
from ecclip.formats.answers import read_origin
from ecclip.nights import NO_NIGHT, prepare_workspace, published_nights, work_path
from ecclip.pipeline import STEPS, stage_config
from ecclip.registry import ModelRef

_PRODUCTS = STEPS["group_products"].output


def answer_catalog(night: str | None = None) -> dict[str, Any]:
    """Write the answers to every listing of a night, the newest published one by default, below work/answers.

    They are those of the bundle that answers by ``live.json``. Listings that did not change since an earlier night
    which the same bundle answered are taken over from it. The products are those of the newest night that has been
    grouped. Nothing is written before the first deployment.

    Raises:
        ContractError: the night is not published, or too many of its listings cannot be answered.
        IntegrityError: the bundle that answers is not in the bundle store, or an input is damaged.
        ServiceError: the registry does not answer, or the process that answers has ended.
    """
    from ecclip.serving import AnswersConfig, answers

    chosen = _published(night)
    bind(night=chosen, run=settings().run_id)
    prepare_workspace()
    reference = registry.deployed()
    if reference is None:
        get_logger().info("nothing is deployed: there is nobody to answer the catalog")
        return {"night": chosen, "reason": "nothing is deployed"}
    report = answers(
        cast(AnswersConfig, stage_config("answers")),
        snapshot=settings().work / "snapshots" / chosen,
        products=_newest_products(chosen),
        bundle=registry.stored_bundle(reference),
        previous=_answered_before(chosen, reference),
        output=_folder(chosen),
    )
    return {"night": chosen, "version": reference.version, **report.model_dump(exclude={"seconds"})}


def _published(night: str | None) -> str:
    if night is None:
        nights = published_nights()
        if not nights:
            raise ContractError(
                "no night is published",
                value=settings().work,
                next_step="run the stages of a night up to publish: trigger nightly_catalog, or ecclip demo",
            )
        return nights[-1]
    if parse_night(night) not in published_nights():
        raise ContractError("the night is not published", value=night, next_step=f"ecclip run publish --night {night}")
    return night


def _newest_products(night: str) -> Path:
    grouped = [one for one in published_nights() if one <= night and (work_path(_PRODUCTS, one) / MANIFEST).is_file()]
    return work_path(_PRODUCTS, max(grouped)) if grouped else _folder(NO_NIGHT)


def _answered_before(night: str, reference: ModelRef) -> Path:
    """Return the answers of the newest earlier night that this bundle gave; the folder of no night without any."""
    earlier = [one for one in published_nights() if one < night and (_folder(one) / MANIFEST).is_file()]
    same = [one for one in earlier if read_origin(_folder(one)).bundle == reference.digest]
    return _folder(max(same, default=NO_NIGHT))


def _folder(night: str) -> Path:
    return settings().work / "answers" / night
