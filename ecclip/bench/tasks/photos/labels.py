"""Category and attributes with closed values: from the photo, from the title, from both, and across."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecclip.bench.quality.evaluated import right_answers, target_of
from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import (
    CHEAP,
    FROZEN,
    ON_VALIDATION,
    SUPERVISED,
    Cell,
    Measured,
    Part,
    side_by_side,
)
from ecclip.bench.tasks.photos.cheap import cheap_answers
from ecclip.bench.tasks.photos.shops import Shop, shop_of
from ecclip.bench.tasks.photos.towers import FROZEN_SIZES, rows_by
from ecclip.tasks import EvaluateConfig, Rows
from ecclip.tasks.kinds import Target
from ecclip.tasks.kinds.task import NO_LABEL

PHOTO_SYSTEMS = (CHEAP, *FROZEN_SIZES, SUPERVISED, OURS)
CATEGORY, ATTRIBUTES = "category", "attributes"
_CROSS = "cross"  # of the test photo's embedding and titles' of split train
Answers = Mapping[str, np.ndarray]  # by split and modality: 1, 0, or NaN where a listing is not asked, float64 [N]


def measure_label(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return accuracy and balanced accuracy over the test listings of a set whose label ten train listings have.

    A cell's set is followed by the name of the label where that is not the category.
    """
    name, label = [*cell.dataset.split(" "), CATEGORY][:2]
    shop = shop_of(data, name)
    target = target_of(shop.products, label, NO_LABEL)
    return judge(answers_of(cell, shop, target, work), cell.modality, target, shop.groups)


def answers_of(cell: Cell, shop: Shop, target: Target, work: Path) -> Answers:
    """Return where the system of a cell is right about the listings of a shop."""
    if cell.system == CHEAP:
        return cheap_answers(shop.products, np.array(shop.split), target, cell.modality)
    rows = rows_by(cell.system, shop, work)
    if cell.modality == _CROSS:
        return _across(rows, target)
    return right_answers(seen(rows, cell.modality), target, EvaluateConfig())


def judge(answers: Answers, modality: str, target: Target, groups: np.ndarray) -> dict[str, Measured]:
    """Return the figures of answers; the balanced accuracy is the mean over the classes of the test listings."""
    test, validation = (answers[f"{split} {modality}"] for split in ("test", "validation"))
    asked, held_out = ~np.isnan(test), ~np.isnan(validation)
    weight = 1.0 / np.maximum(np.bincount(target.y[asked], minlength=len(target.labels)), 1)[target.y[asked]]
    ones = np.ones(int(asked.sum()))
    return {
        "accuracy": Measured(test[asked], ones, groups[asked]),
        "balanced accuracy": Measured(test[asked] * weight, weight, groups[asked]),
        ON_VALIDATION: Measured(validation[held_out], np.ones(int(held_out.sum())), groups[held_out]),
    }


def seen(rows: Rows, modality: str) -> Rows:
    """Return the rows without what a modality does not see: heads of photos need no titles beside them."""
    if modality == "image":
        return replace(rows, text=np.full_like(rows.text, np.nan))
    return replace(rows, image=np.full_like(rows.image, np.nan)) if modality == "text" else rows


def _across(rows: Rows, target: Target) -> Answers:
    """Return where the train title nearest to a photo, by their embeddings, has the label of the photo's listing."""
    taught = np.flatnonzero((rows.split == "train") & (target.y >= 0))
    found = target.y[taught[(rows.image @ rows.text[taught].T).argmax(axis=1)]]
    right = (found == target.y).astype(np.float64)
    return {
        f"{split} {_CROSS}": np.where((rows.split == split) & (target.y >= 0) & rows.has("image"), right, np.nan)
        for split in ("test", "validation")
    }


_COLOURS = ("myntra_fashion baseColour", "hm_articles baseColour")
PART = Part(
    [
        *side_by_side(measure_label, ("flipkart1050",), CATEGORY, "image", PHOTO_SYSTEMS),
        *side_by_side(measure_label, ("flipkart1050",), CATEGORY, "text", (CHEAP, FROZEN, SUPERVISED, OURS)),
        *side_by_side(measure_label, ("flipkart1050",), CATEGORY, "both", PHOTO_SYSTEMS),
        *side_by_side(measure_label, ("bigbasket",), CATEGORY, "text"),
        *side_by_side(measure_label, ("hm_articles", "myntra_fashion"), CATEGORY, "image", PHOTO_SYSTEMS),
        *side_by_side(measure_label, ("hm_articles", "myntra_fashion"), CATEGORY, _CROSS, (*FROZEN_SIZES, OURS)),
        *side_by_side(measure_label, _COLOURS, ATTRIBUTES, "image", PHOTO_SYSTEMS),
        *side_by_side(
            measure_label, ("myntra_fashion gender", "myntra_fashion usage"), ATTRIBUTES, "image", PHOTO_SYSTEMS
        ),
    ]
)
