"""A shift of domain: heads and towers of a shop's studio photos are asked about photos that people took at home."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecclip.bench.quality.evaluated import right_answers, rows_of, target_of
from ecclip.bench.tasks.cells import CHEAP, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.photos.cheap import cheap_answers
from ecclip.bench.tasks.photos.labels import CATEGORY, PHOTO_SYSTEMS, Answers, judge, seen
from ecclip.bench.tasks.photos.shops import Shop, shifted, shop_of
from ecclip.bench.tasks.photos.towers import DIM, photos_by
from ecclip.tasks import EvaluateConfig
from ecclip.tasks.kinds import Target
from ecclip.tasks.kinds.task import NO_LABEL

_STUDIO, _HOME = "myntra_fashion", "clothing_small"


def measure_shift(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return accuracy and balanced accuracy on home photos; studio photos of splits train and validation teach it."""
    studio, home = shop_of(data, _STUDIO), shop_of(data, _HOME)
    products = [*(one for one in shifted(studio).products if one.split != "test"), *home.products]
    both = Shop(f"{_STUDIO} to {_HOME}", products)
    target = target_of(products, CATEGORY, NO_LABEL)
    return judge(_answers(cell, studio, home, both, target, work), cell.modality, target, both.groups)


def _answers(cell: Cell, studio: Shop, home: Shop, both: Shop, target: Target, work: Path) -> Answers:
    if cell.system == CHEAP:
        return cheap_answers(both.products, np.array(both.split), target, cell.modality)
    known = np.array(studio.split) != "test"
    photos = [photos_by(cell.system, studio, studio, work)[known], photos_by(cell.system, studio, home, work)]
    image = np.concatenate(photos)
    rows = rows_of(both.products, {"0": image, "text": np.zeros_like(image)}, 0, DIM, both.split)
    return right_answers(seen(rows, "image"), target, EvaluateConfig())


PART = Part(side_by_side(measure_shift, [_HOME], CATEGORY, "image", PHOTO_SYSTEMS))
