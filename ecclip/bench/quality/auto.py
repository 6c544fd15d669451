"""`auto` on the public sets, by the heads and thresholds that would serve: coverage, precision, and broken promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from ecclip.bench.quality.data import Product
from ecclip.bench.result import Result, Row
from ecclip.formats.sampling import sets_thresholds
from ecclip.model import Towers, encode_images, encode_texts
from ecclip.tasks import EvaluateConfig, measure_auto
from ecclip.tasks.guarantee import AutoCell, auto_promises_broken
from ecclip.tasks.kinds import Target
from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE
from ecclip.tasks.rows import THRESHOLDS, Rows

_LEAST = 10  # training listings per class, as in the probes


def enter_auto(
    result: Result, system: str, towers: Towers, products: Sequence[Product], asked: Sequence[tuple[str, str]]
) -> None:
    """Enter coverage and precision of `auto` for each label that is ``asked`` of a set, and the headline of all.

    Headline: ``auto_promises_broken``, the cells whose test listings refute the promise (Holm), and
    ``auto_coverage_category``, the coverage of myntra's category by photo and title.
    """
    cells: dict[str, AutoCell] = {}
    for source in dict.fromkeys(source for source, _ in asked):
        own = [one for one in products if one.source == source]
        targets = [_target(own, label) for of, label in asked if of == source]
        found = measure_auto(_rows(towers, own), targets, EvaluateConfig())
        cells |= {f"{source}, {name.replace('/', ', ')}": cell for name, cell in found.items()}
    for name, cell in sorted(cells.items()):
        result.rows.append(_row(f"auto: coverage, {name}", system, cell.coverage, cell.answers))
        if cell.auto:
            result.rows.append(_row(f"auto: precision, {name}", system, cell.precision, cell.auto))
    result.head(
        auto_promises_broken=len(auto_promises_broken(cells)),
        auto_coverage_category=cells["myntra_fashion, category, both"].coverage,
    )


def _row(what: str, system: str, value: float, count: int) -> Row:
    share = round(value, 4)
    return Row(what, system, share, "share", share, share, count)


def _rows(towers: Towers, products: Sequence[Product]) -> Rows:
    """Return listings as ``evaluate`` sees them."""
    preprocessor, workers = towers.preprocessor(), torch.get_num_threads()
    photos, titles = [one.image for one in products], [one.title for one in products]
    image = encode_images(towers, preprocessor, photos, 16, workers, what="outputs")
    text = encode_texts(towers, preprocessor, titles, 32, workers, what="outputs")
    dim = towers.cfg.embedding_dim
    return Rows(
        listing_ids=np.array([one.listing_id for one in products], dtype=object),
        titles=titles,
        given={},
        groups=np.unique([one.group for one in products], return_inverse=True)[1],
        split=np.array([_split(one) for one in products]),
        image=image[:, :dim],
        text=text[:, :dim],
        image_features=image[:, dim:],
        text_features=text[:, dim:],
    )


def _split(one: Product) -> str:
    return THRESHOLDS if one.split == "validation" and sets_thresholds(one.group) else one.split


def _target(products: Sequence[Product], label: str) -> Target:
    given = [one.labels.get(label) for one in products]
    counts = Counter(value for value, one in zip(given, products, strict=True) if value and one.split == "train")
    labels = sorted(value for value, count in counts.items() if count >= _LEAST)
    number = {value: place for place, value in enumerate(labels)}
    y = [number.get(value, OUTSIDE) if value else NO_LABEL for value in given]
    return Target(label, label, "softmax", labels, np.array(y, dtype=np.int64))
